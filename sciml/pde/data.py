"""Batches of PDE data for Lightning: rollouts from trajectories, static maps from pairs."""

import os

import lightning
import numpy as np
from torch.utils.data import BatchSampler, SequentialSampler

from sciml.errors import BadSchema, ConfigError
from sciml.loaders import Loader
from sciml.pde.batches import Batch, EpochShuffle, Pairs, Statistics, Windows, mean_std
from sciml.pde.loading import read_fields, subsampled_grid
from sciml.pde.readers import Source, open_source
from sciml.pde.symmetry import Augmented, check_symmetric
from sciml.ranks import world

__all__ = ["Batch", "PDEDataModule", "Statistics"]


class PDEDataModule(lightning.LightningDataModule):
    """Training, validation and test batches of PDE data.

    Reads our HDF5, FNO's `.mat` and neuraloperator's `.pt`, told apart by content. Train is the first
    `n_train` samples, validation the next `n_val`, test the last `n_test` (of `test_path` if given); they
    never overlap. A static map within a trajectory, u(0) to u(k dt), is one frame in, one out and `time_stride`
    k. Point values are subsampled by taking every s-th point, cell averages (Burgers) by averaging s cells,
    which keeps cell centres cell centres.

    Args:
        path: File with the training samples, and the test samples unless `test_path` is given.
        n_train: Number of training samples.
        n_test: Number of test samples.
        n_val: Number of validation samples; 0: no validation.
        test_path: File with the test samples; its resolution may differ (zero-shot super-resolution).
        input_frames: Frames of a trajectory that the network sees; leave out for `.pt` pairs.
        output_frames: Frames that follow and are to be predicted; leave out for `.pt` pairs.
        time_stride: Stored frames from one frame used to the next.
        windows: Train on every start frame of a trajectory, not on the first alone.
        augment: Show each training sample under a symmetry of its equation, another one each epoch (see
            `sciml.pde.symmetry`); for data of our generators.
        subsample: Points of the file to one point used, along each axis.
        test_subsample: The same for the test samples; leave out for `subsample`.
        batch_size: Samples to a batch on each device: N devices train as one does with N times as many.
        num_workers: Loader processes; 0 is fastest, since all data is in memory.
        seed: Training order is a function of seed and epoch.

    Raises:
        ConfigError: An argument out of range, or one that does not apply to this kind of file.
        BadSchema: More samples or frames asked than stored, training and test files that do not match.
        NonFinite: NaN or infinity in a sample that is used, found by `setup`.
        CorruptFile, UnsafeFile: See `sciml.pde.readers.open_source`.
    """

    def __init__(
        self,
        path: str,
        *,
        n_train: int,
        n_test: int,
        n_val: int = 0,
        test_path: str | None = None,
        input_frames: int | None = None,
        output_frames: int | None = None,
        time_stride: int = 1,
        windows: bool = False,
        augment: bool = False,
        subsample: int = 1,
        test_subsample: int | None = None,
        batch_size: int = 20,
        num_workers: int = 0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.n_train, self.n_val, self.n_test = n_train, n_val, n_test
        self.input_frames, self.output_frames = input_frames, output_frames
        self.time_stride, self.windows, self.augment = time_stride, windows, augment
        self.subsample = subsample
        self.test_subsample = subsample if test_subsample is None else test_subsample
        self.batch_size, self.num_workers, self.seed = batch_size, num_workers, seed
        self._check_ranges()
        self.source = open_source(path)
        self.test_source = self.source if test_path is None else open_source(test_path)
        for source in (self.source, self.test_source):
            self._check_frames(source)
        self._check_samples()
        self._check_match()
        self.grid = subsampled_grid(self.source, self.subsample)
        self.test_grid = subsampled_grid(self.test_source, self.test_subsample)
        if augment:
            check_symmetric(self.source.attributes, self.grid)
        self._sets: dict[str, Pairs | Windows] = {}
        if n_val == 0:  # an overridden hook means to Lightning that there is a validation set
            self.val_dataloader = super().val_dataloader  # type: ignore[method-assign]

    @property
    def input_time(self) -> np.ndarray | None:
        """Physical times of the first input frames; None for pairs."""
        return self._times(self.source, 0, self.input_frames or 0)

    @property
    def time(self) -> np.ndarray | None:
        """Physical times of the target frames that follow `input_time`; None for pairs."""
        return self._times(self.source, self.input_frames or 0, self._n_frames)

    @property
    def statistics(self) -> Statistics:
        """Of the training set, which is read if it was not yet."""
        data = self._set("train")
        fields = (data.frames, data.frames) if isinstance(data, Windows) else (data.input, data.target)
        per_channel = self.source.time is None
        return Statistics(*(value for field in fields for value in mean_std(field, per_channel)))

    def setup(self, stage: str | None = None) -> None:
        """Reads and checks what the stage needs; what was read before is kept."""
        if stage == "validate" and self.n_val == 0:
            raise ConfigError("n_val=0: expected at least 1 to validate")
        splits = {"fit": ["train", "val"], "validate": ["val"], "test": ["test"], "predict": ["test"]}
        for split in splits.get(stage or "", ["train", "val", "test"]):
            if split != "val" or self.n_val:
                self._set(split)

    def train_dataloader(self) -> Loader[Batch]:
        data = self._set("train")
        order = EpochShuffle(len(data), self.seed, numbered=self.augment)
        return self._loader(Augmented(data, self.seed) if self.augment else data, order)

    def val_dataloader(self) -> Loader[Batch]:
        return self._loader(self._set("val"))

    def test_dataloader(self) -> Loader[Batch]:
        return self._loader(self._set("test"))

    def predict_dataloader(self) -> Loader[Batch]:
        return self.test_dataloader()

    @property
    def _n_frames(self) -> int:
        return (self.input_frames or 0) + (self.output_frames or 0)

    @property
    def _span(self) -> int:
        """Stored frames from the first one used to the last, both counted."""
        return (self._n_frames - 1) * self.time_stride + 1

    def _times(self, source: Source, first: int, last: int) -> np.ndarray | None:
        return None if source.time is None else source.time[: self._span : self.time_stride][first:last]

    def _set(self, split: str) -> Pairs | Windows:
        if split not in self._sets:
            self._sets[split] = self._read(split)
        return self._sets[split]

    def _read(self, split: str) -> Pairs | Windows:
        source, factor = self.source, self.subsample
        if split == "train":
            start, stop = 0, self.n_train
        elif split == "val":
            start, stop = self.n_train, self.n_train + self.n_val
        else:
            source, factor = self.test_source, self.test_subsample
            start, stop = source.n_samples - self.n_test, source.n_samples
        if source.time is None:
            return Pairs(*read_fields(source, start, stop, subsample=factor))
        if self.windows and split == "train":
            (frames,) = read_fields(source, start, stop, subsample=factor)
            return Windows(frames, self.input_frames or 0, self.output_frames or 0, self.time_stride)
        kept = slice(0, self._span, self.time_stride)
        (frames,) = read_fields(source, start, stop, subsample=factor, frames=kept)
        return Pairs(frames[:, : self.input_frames], frames[:, self.input_frames :])

    def _loader(self, data: Pairs | Windows | Augmented, shuffled: EpochShuffle | None = None) -> Loader[Batch]:
        size = self.batch_size if shuffled is None else self.batch_size * world()
        order = BatchSampler(shuffled or SequentialSampler(data), size, drop_last=False)
        training = shuffled is not None
        return Loader(data, order, training=training, num_workers=self.num_workers, seed=self.seed)

    def _check_ranges(self) -> None:
        at_least_1 = ("n_train", "n_test", "time_stride", "subsample", "test_subsample", "batch_size")
        lowest = {**dict.fromkeys(at_least_1, 1), "n_val": 0, "num_workers": 0, "seed": 0}
        for name, bound in lowest.items():
            if getattr(self, name) < bound:
                raise ConfigError(f"{name}={getattr(self, name)}: expected an integer of at least {bound}")

    def _check_frames(self, source: Source) -> None:
        asked = {"input_frames": self.input_frames, "output_frames": self.output_frames}
        if source.time is None:
            unused = {**asked, "windows": self.windows or None, "time_stride": self.time_stride - 1 or None}
            for name in (name for name, value in unused.items() if value is not None):
                raise ConfigError(f"{name} is set, but {source.path} has pairs without time; leave it out")
            return
        for name, value in asked.items():
            if value is None or value < 1:
                raise ConfigError(f"{name}={value}: {source.path} has trajectories, expected at least 1")
        if self._span > len(source.time):
            raise BadSchema(
                f"{source.path}: {source.names[0]}: {len(source.time)} frames stored, {self._span} asked "
                f"(input_frames={self.input_frames}, output_frames={self.output_frames}, "
                f"time_stride={self.time_stride})"
            )

    def _check_samples(self) -> None:
        one_file = os.path.samefile(self.source.path, self.test_source.path)
        counts = {"n_train": self.n_train, "n_val": self.n_val}
        wanted = [(self.source, counts | ({"n_test": self.n_test} if one_file else {}))]
        wanted += [] if one_file else [(self.test_source, {"n_test": self.n_test})]
        for source, asked in wanted:
            if sum(asked.values()) > source.n_samples:
                listed = " + ".join(f"{name}={n}" for name, n in asked.items())
                raise BadSchema(
                    f"{source.path}: {source.names[0]}: {source.n_samples} samples stored, "
                    f"{sum(asked.values())} asked ({listed}); ask for fewer or generate more"
                )

    def _check_match(self) -> None:
        train, test = self.source, self.test_source
        if (train.names, len(train.grid)) != (test.names, len(test.grid)):
            raise BadSchema(
                f"{test.path}: expected {train.names} on a {len(train.grid)}-D grid, as in {train.path}; "
                f"found {test.names} on {test.grid}"
            )
        expected, found = (self._times(source, 0, self._n_frames) for source in (train, test))
        if expected is not None and found is not None and not np.allclose(expected, found):
            raise BadSchema(f"{test.path}: time: expected {expected}, as in {train.path}, found {found}")
