"""Batches of PDE data for Lightning: rollouts from trajectories, static maps from pairs."""

import logging
from collections.abc import Mapping
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from torch import Tensor

from sciml.errors import ConfigError
from sciml.pde.batches import Batch, Inputs, Pairs, Statistics, Windows
from sciml.pde.equations.equation import Sampling
from sciml.pde.formats.arrays import array_source
from sciml.pde.formats.frames import Frames
from sciml.pde.formats.selection import Selection
from sciml.pde.formats.source import Source, open_source
from sciml.pde.symmetry import Symmetry
from sciml.training.data import DataModule, check_ranges, check_split

__all__ = ["Batch", "PDEData", "PDEDataModule", "Statistics"]

logger = logging.getLogger(__name__)


class PDEData(DataModule):
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
        augment: Show each training sample in another way each epoch: `sciml.pde.Symmetry()`, for data of our
            generators.
        subsample: Points of the file to one point used, along each axis.
        test_subsample: The same for the test samples; leave out for `subsample`.
        grid: The grid, after subsampling, that the network is made for; other training data is refused. Also says
            how many axes the grid has, where the shape of the stored array can be read in two ways.
        batch_size: Samples to a batch on each device: N devices train as one does with N times as many.
        num_workers: Loader processes; 0 is fastest, since all data is in memory.
        seed: Of the training order and of augmentation, with the epoch.

    Raises:
        ConfigError: A number out of range. All else is found when the files are opened, by `setup` or by what first
            asks for them: an argument that does not apply to this kind of file, another grid than `grid`, an array
            that can be read in two ways.
        BadSchema: More samples or frames asked than stored, training and test files that do not match, no targets
            where they are needed.
        NonFinite: NaN or infinity among the times, or in a sample that is used.
        CorruptFile, UnsafeFile: See `sciml.pde.formats.source.open_source`.
    """

    augmentation = Symmetry
    untested = (*DataModule.untested, "n_train", "n_val", "windows", "grid")
    replaceable = (*DataModule.replaceable, "path", "test_*", "n_test")
    unless_set: ClassVar[Mapping[str, str]] = {"test_path": "path", "test_subsample": "subsample"}
    augment: Symmetry | None

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
        augment: Symmetry | None = None,
        subsample: int = 1,
        test_subsample: int | None = None,
        grid: list[int] | None = None,
        batch_size: int = 20,
        num_workers: int = 0,
        seed: int = 0,
    ) -> None:
        super().__init__(batch_size=batch_size, num_workers=num_workers, seed=seed, augment=augment)
        check_ranges(n_train=(n_train, 1), n_test=(n_test, 1), n_val=(n_val, 0), time_stride=(time_stride, 1))
        check_ranges(subsample=(subsample, 1), test_subsample=(test_subsample, 1))
        if grid is not None and not (1 <= len(grid) <= 3 and min(grid) >= 1):
            raise ConfigError(f"{grid=}: expected the points along each of 1 to 3 axes")
        self.path, self.test_path = path, test_path
        self.n_train, self.n_val, self.n_test = n_train, n_val, n_test
        self.input_frames, self.output_frames = input_frames, output_frames
        self.time_stride, self.windows = time_stride, windows
        self.subsample = subsample
        self.test_subsample = subsample if test_subsample is None else test_subsample
        self._grid = grid
        self._arrays: Source | None = None

    @classmethod
    def from_arrays(
        cls,
        input: Any = None,
        target: Any = None,
        *,
        trajectories: Any = None,
        time: Any = None,
        sampling: Sampling = "periodic",
        length: float = 1.0,
        **settings: Any,
    ) -> "PDEData":
        """Arrays or tensors in memory as data: trajectories, or pairs of input and target; checked as files are.

        Args:
            input: (N, channel, *grid), or (N, *grid) for one channel, which `grid` among the settings tells apart.
            target: The same of what is to be predicted; leave out to predict.
            trajectories: (N, T, *grid), in the place of input and target.
            time: (T,), the time of each frame; by default 0, 1, 2, …
            sampling: periodic (point values on a torus), cells (averages over cells), or points (ends included or not).
            length: Side of the domain.
            settings: The arguments of `PDEData` but for `path`.
        """
        data, grid = cls("arrays in memory", **settings), settings.get("grid")
        options: dict[str, Any] = {"axes": grid and len(grid), "sampling": sampling, "length": length}
        data._arrays = array_source(input, target, trajectories=trajectories, time=time, **options)
        return data

    @property
    def has_validation(self) -> bool:
        return self.n_val > 0

    @cached_property
    def selection(self) -> Selection:
        """What is used of the files, which are opened and checked."""
        axes = None if self._grid is None else len(self._grid)
        source = self._arrays or open_source(self.path, axes)
        test_source = source if self.test_path is None else open_source(self.test_path, axes)
        frames = Frames(self.input_frames or 0, self.output_frames or 0, self.time_stride)
        counts = {name: getattr(self, name) for name in ("n_train", "n_val", "n_test", "subsample", "test_subsample")}
        selection = Selection(source, test_source, frames, **counts)
        asked = {"input_frames": self.input_frames, "output_frames": self.output_frames}
        selection.check(asked, windows=self.windows, grid=self._grid)
        return selection

    @property
    def source(self) -> Source:
        """The training and validation samples."""
        return self.selection.source

    @property
    def test_source(self) -> Source:
        return self.selection.test_source

    @property
    def grid(self) -> tuple[int, ...]:
        """Points of the training samples along each axis, after subsampling."""
        return self.selection.grid("train")

    @property
    def test_grid(self) -> tuple[int, ...]:
        return self.selection.grid("test")

    @property
    def input_time(self) -> np.ndarray | None:
        """Physical times of the first input frames of the test samples; None for pairs."""
        source, frames = self.test_source, self.selection.frames
        return None if source.time is None else frames.stored_times(source)[: frames.input]

    @property
    def time(self) -> np.ndarray | None:
        """Physical times of the frames that follow and are to be predicted; None for pairs, and where not known.

        Beyond the stored frames they go on as in `source`, else with the spacing of the stored ones, if it is uniform.
        """
        times = self.selection.frames.times(self.test_source, like=self.source)
        return None if times is None else times[self.selection.frames.input :]

    @property
    def horizon(self) -> int | None:
        """Frames (channels of pairs) to predict; None: as many as the network returns, for inputs without targets."""
        return self.output_frames or self.test_source.target_channels or self.source.target_channels

    @property
    def statistics(self) -> Statistics:
        """Of the training set, which is read if it was not yet."""
        return self.dataset("train").statistics(per_channel=self.source.time is None)

    def setup(self, stage: str | None = None) -> None:
        """Reads and checks what the stage needs; what was read before is kept."""
        if stage == "fit":  # or a test file without targets would be found out after the training only
            self.selection.require_targets("test")
        super().setup(stage)

    def open_dataset(self, split: str) -> Pairs | Windows | Inputs:
        """Reads a split's samples into memory; to predict, the inputs alone."""
        selection = self.selection
        if split == "predict":
            return Inputs(selection.inputs())
        selection.require_targets(split)
        options: dict[str, Any] = {}
        if split == "train" and self.augment is not None:
            augment = self.augment.of(self.source.attributes, self.grid)
            options = {"seed": self.seed, "augment": augment}
        if self.windows and split == "train":
            data: Pairs | Windows = Windows(selection.trajectories(split), selection.frames, **options)
        else:
            data = Pairs(*selection.pairs(split), **options)
        _count_zeros(data.fields[1], selection.place(split).source, split)
        return data

    def describe(self, split: str = "test") -> dict[str, Any]:
        """Which data a split (train, val, test or predict) takes, in plain JSON values.

        Equal for two data modules whose samples are the same; says nothing of batches, workers or order.
        """
        source, subsample, start, stop = self.selection.place(check_split(split))
        return {
            "path": source.place,
            "samples": [start, stop],
            "grid": list(self.selection.grid(split)),
            "input_frames": self.input_frames,
            "output_frames": self.output_frames,
            "time_stride": self.time_stride,
            "subsample": subsample,
        }


PDEDataModule = PDEData


def _count_zeros(targets: Tensor, source: Source, split: str) -> None:
    """A relative error needs a target that is not zero: says how many samples have none."""
    zeros = int((~targets.flatten(1).any(1)).sum())
    if zeros:
        logger.warning(
            "%s: %d of the %d %s samples have targets that are zero everywhere: left out of loss and errors",
            source.path, zeros, len(targets), split,
        )  # fmt: skip
