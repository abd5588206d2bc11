"""Batches of PDE data for Lightning: rollouts from trajectories, static maps from pairs."""

import logging
import os
from collections.abc import Sized
from typing import Any, cast

import lightning
import numpy as np
from torch.utils.data import BatchSampler, Dataset, SequentialSampler

from sciml.errors import BadSchema, ConfigError
from sciml.pde.batches import Batch, EpochShuffle, InputBatch, Inputs, Pairs, Statistics, Windows, mean_std
from sciml.pde.equations.symmetry import Augmented, check_symmetric
from sciml.pde.formats.frames import Frames
from sciml.pde.formats.loading import fitting_subsample, read_fields, subsampled_grid
from sciml.pde.formats.readers import Source, open_source
from sciml.training.loaders import Loader
from sciml.training.ranks import world

__all__ = ["Batch", "PDEDataModule", "Statistics"]

logger = logging.getLogger(__name__)


class PDEDataModule(lightning.LightningDataModule):
    """Training, validation and test batches of PDE data.

    Reads our HDF5, FNO's `.mat` and neuraloperator's `.pt`, told apart by content. Train is the first
    `n_train` samples, validation the next `n_val`, test the last `n_test` (of `test_path` if given); they
    never overlap. A static map within a trajectory, u(0) to u(k dt), is one frame in, one out and `time_stride`
    k. Point values are subsampled by taking every s-th point, cell averages (Burgers) by averaging s cells,
    which keeps cell centres cell centres.

    To predict, the last `n_test` samples need no targets: trajectories of the input frames alone, or `.pt` with x
    alone, are enough. Of such a file nothing else is asked, so it may be given as `path` too.

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
            `sciml.pde.equations.symmetry`); for data of our generators.
        subsample: Points of the file to one point used, along each axis.
        test_subsample: The same for the test samples; leave out for `subsample`.
        grid: The grid, after subsampling, that the network is made for; other training data is refused. Also says
            how many axes the grid has, where the shape of the stored array can be read in two ways.
        batch_size: Samples to a batch on each device: N devices train as one does with N times as many.
        num_workers: Loader processes; 0 is fastest, since all data is in memory.
        seed: Training order is a function of seed and epoch.

    Raises:
        ConfigError: An argument out of range, or one that does not apply to this kind of file; another grid than
            `grid`, or an array that can be read in two ways.
        BadSchema: More samples asked than stored, training and test files that do not match; found by `setup`,
            which knows whether targets are needed: more frames asked than stored, or no targets.
        NonFinite: NaN or infinity among the times; or in a sample that is used, found by `setup`.
        CorruptFile, UnsafeFile: See `sciml.pde.formats.readers.open_source`.
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
        grid: list[int] | None = None,
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
        self._check_ranges(grid)
        axes = None if grid is None else len(grid)
        self.source = open_source(path, axes)
        self.test_source = self.source if test_path is None else open_source(test_path, axes)
        for source in (self.source, self.test_source):
            self._check_frames(source)
        self._check_samples()
        self._check_match()
        self._check_grid(grid)
        self.grid = subsampled_grid(self.source, self.subsample)
        self.test_grid = subsampled_grid(self.test_source, self.test_subsample)
        if augment:
            check_symmetric(self.source.attributes, self.grid)
        self._sets: dict[str, Pairs | Windows] = {}
        self._inputs: Inputs | None = None
        if n_val == 0:  # an overridden hook means to Lightning that there is a validation set
            self.val_dataloader = super().val_dataloader  # type: ignore[method-assign]

    @property
    def input_time(self) -> np.ndarray | None:
        """Physical times of the first input frames of the test samples; None for pairs."""
        source = self.test_source
        return None if source.time is None else self._frames.stored_times(source)[: self.input_frames]

    @property
    def time(self) -> np.ndarray | None:
        """Physical times of the frames that follow `input_time` and are to be predicted.

        Beyond the stored frames they go on as in the training file, else with the spacing of the stored ones. None
        for pairs, and where the spacing is not uniform or unknown.
        """
        if self.test_source.time is None:
            return None
        times = self._frames.times(self.test_source, like=self.source)
        return None if times is None else times[self.input_frames :]

    @property
    def horizon(self) -> int | None:
        """Frames (channels of pairs) to predict; None: as many as the network returns, for inputs without targets."""
        return self.output_frames or self.test_source.target_channels or self.source.target_channels

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
        if stage == "predict":
            self._predict_set()
            return
        if stage == "fit":  # or a test file without targets would be found out after the training only
            self._check_targets("test")
        splits = {"fit": ["train", "val"], "validate": ["val"], "test": ["test"]}
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

    def predict_dataloader(self) -> Loader[InputBatch]:
        return self._loader(self._predict_set())

    def describe(self, split: str = "test") -> dict[str, Any]:
        """Which data a split (train, val, test or predict) takes, in plain JSON values.

        Equal for two data modules whose samples are the same; says nothing of batches, workers or order.
        """
        source, factor, start, stop = self._location(split)
        return {
            "path": str(source.path.resolve()),
            "samples": [start, stop],
            "grid": list(subsampled_grid(source, factor)),
            "input_frames": self.input_frames,
            "output_frames": self.output_frames,
            "time_stride": self.time_stride,
            "subsample": factor,
        }

    @property
    def _frames(self) -> Frames:
        return Frames(self.input_frames or 0, self.output_frames or 0, self.time_stride)

    def _location(self, split: str) -> tuple[Source, int, int, int]:
        """Where a split lies: file, subsampling, first sample and one past the last."""
        if split == "train":
            return self.source, self.subsample, 0, self.n_train
        if split == "val":
            return self.source, self.subsample, self.n_train, self.n_train + self.n_val
        if split not in ("test", "predict"):
            raise ConfigError(f"split {split!r}: expected train, val, test or predict")
        source = self.test_source
        return source, self.test_subsample, source.n_samples - self.n_test, source.n_samples

    def _set(self, split: str) -> Pairs | Windows:
        if split not in self._sets:
            self._check_targets(split)
            self._sets[split] = self._read(split)
            self._count_zeros(split)
        return self._sets[split]

    def _predict_set(self) -> Inputs:
        """The test samples' inputs; targets, stored or not, are not read."""
        if self._inputs is None:
            source, factor, start, stop = self._location("predict")
            frames = slice(None) if source.time is None else self._frames.seen
            (inputs,) = read_fields(source, start, stop, subsample=factor, frames=frames, names=source.names[:1])
            self._inputs = Inputs(inputs)
        return self._inputs

    def _read(self, split: str) -> Pairs | Windows:
        source, factor, start, stop = self._location(split)
        if source.time is None:
            return Pairs(*read_fields(source, start, stop, subsample=factor))
        if self.windows and split == "train":
            (frames,) = read_fields(source, start, stop, subsample=factor)
            return Windows(frames, *self._frames)
        (frames,) = read_fields(source, start, stop, subsample=factor, frames=self._frames.kept)
        return Pairs(frames[:, : self.input_frames], frames[:, self.input_frames :])

    def _count_zeros(self, split: str) -> None:
        """A relative error needs a target that is not zero: says how many samples have none."""
        data = self._sets[split]
        targets = data.frames if isinstance(data, Windows) else data.target
        zeros = int((~targets.flatten(1).any(1)).sum())
        if zeros:
            logger.warning(
                "%s: %d of the %d %s samples have targets that are zero everywhere: left out of loss and errors",
                self._location(split)[0].path, zeros, len(targets), split,
            )  # fmt: skip

    def _loader(self, data: Dataset[Any], shuffled: EpochShuffle | None = None) -> Loader[Any]:
        size = self.batch_size if shuffled is None else self.batch_size * world()
        order = BatchSampler(shuffled or SequentialSampler(cast(Sized, data)), size, drop_last=False)
        training = shuffled is not None
        return Loader(data, order, training=training, num_workers=self.num_workers, seed=self.seed)

    def _check_ranges(self, grid: list[int] | None) -> None:
        at_least_1 = ("n_train", "n_test", "time_stride", "subsample", "test_subsample", "batch_size")
        lowest = {**dict.fromkeys(at_least_1, 1), "n_val": 0, "num_workers": 0, "seed": 0}
        for name, bound in lowest.items():
            if getattr(self, name) < bound:
                raise ConfigError(f"{name}={getattr(self, name)}: expected an integer of at least {bound}")
        if grid is not None and not (1 <= len(grid) <= 3 and min(grid) >= 1):
            raise ConfigError(f"{grid=}: expected the points along each of 1 to 3 axes")

    def _check_frames(self, source: Source) -> None:
        asked = {"input_frames": self.input_frames, "output_frames": self.output_frames}
        if source.time is None:
            unused = {**asked, "windows": self.windows or None, "time_stride": self.time_stride - 1 or None}
            if self.source.target_channels is None and self.test_source.target_channels is None:
                unused.pop("output_frames")  # says how many channels to predict
            for name in (name for name, value in unused.items() if value is not None):
                raise ConfigError(f"{name} is set, but {source.path} has pairs without time; leave it out")
            return
        for name, value in asked.items():
            if value is None or value < 1:
                raise ConfigError(f"{name}={value}: {source.path} has trajectories, expected at least 1")
        if len(self._frames.stored_times(source)) < self._frames.input:
            raise BadSchema(f"{self._frames.missing(source)}: too few to predict from; set data.input_frames lower")

    def _has_targets(self, source: Source) -> bool:
        return source.target_channels is not None if source.time is None else self._frames.complete(source)

    def _check_targets(self, split: str) -> None:
        """What a split needs beyond what predicting needs: targets, and frames at the training file's times."""
        source = self._location(split)[0]
        if not self._has_targets(source):
            missing = f"{source.path}: x alone, no targets y" if source.time is None else self._frames.missing(source)
            raise BadSchema(f"{missing}; that is enough for `sciml predict` alone")
        if source.time is not None and not self._frames.same_start(source, self.source):
            raise self._other_times(source)

    def _other_times(self, source: Source) -> BadSchema:
        expected, found = (self._frames.stored_times(one) for one in (self.source, source))
        return BadSchema(f"{source.path}: time: expected {expected}, as in {self.source.path}, found {found}")

    def _check_samples(self) -> None:
        one_file = os.path.samefile(self.source.path, self.test_source.path)
        counts = {"n_train": self.n_train, "n_val": self.n_val} if self._has_targets(self.source) else {}
        wanted = [(self.source, counts | ({"n_test": self.n_test} if one_file else {}))]
        wanted += [] if one_file else [(self.test_source, {"n_test": self.n_test})]
        for source, asked in wanted:
            if sum(asked.values()) > source.n_samples:
                listed = " + ".join(f"{name}={n}" for name, n in asked.items())
                raise BadSchema(
                    f"{source.path}: {source.names[0]}: {source.n_samples} samples stored, "
                    f"{sum(asked.values())} asked ({listed}); ask for fewer or generate more; other data to test on or "
                    "to predict from are given as data.test_path"
                )

    def _check_match(self) -> None:
        train, test = self.source, self.test_source
        if (train.names[0], len(train.grid)) != (test.names[0], len(test.grid)):
            raise BadSchema(
                f"{test.path}: expected {train.names} on a {len(train.grid)}-D grid, as in {train.path}; "
                f"found {test.names} on {test.grid}"
            )
        if train.time is not None and not self._frames.same_spacing(train, test):
            raise self._other_times(test)  # to predict, a file may start later and hold the inputs alone

    def _check_grid(self, grid: list[int] | None) -> None:
        """The training data's grid is the one that was asked for, and means one thing."""
        if grid is None:
            for source in (self.source, self.test_source):
                if source.ambiguous:
                    raise ConfigError(
                        f"{source.path}: {source.ambiguous}; say which: name the points of each axis in data.grid"
                    )
            return
        found = subsampled_grid(self.source, self.subsample)
        if found != tuple(grid) and self._has_targets(self.source):  # else it is there to predict from alone
            factor = fitting_subsample(self.source, grid)
            remedy = "generate data of that grid" if factor is None else f"data.subsample={factor} fits"
            raise ConfigError(
                f"data.grid: the configuration is made for {list(grid)}, but {self.source.path} has "
                f"{list(self.source.grid)} and subsample={self.subsample} leaves {list(found)}; {remedy}, or set "
                "data.grid and model.net.init_args.grid to the grid that you want"
            )


PDEData = PDEDataModule
