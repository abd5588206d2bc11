"""What is used of a training and a test source: which samples, which frames, and which points of the grid."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from sciml.errors import BadSchema, ConfigError
from sciml.pde.formats.frames import Frames
from sciml.pde.formats.loading import fitting_subsample, read_fields, subsampled_grid
from sciml.pde.formats.source import Source


class Place(NamedTuple):
    """Where a split lies: samples start … stop − 1 of a source, and of `subsample` points along each axis the first."""

    source: Source
    subsample: int
    start: int
    stop: int


@dataclass(frozen=True)
class Selection:
    """Train is the first n_train samples of `source`, val the next n_val, test the last n_test of `test_source`."""

    source: Source
    test_source: Source
    frames: Frames
    n_train: int
    n_val: int
    n_test: int
    subsample: int
    test_subsample: int

    def place(self, split: str) -> Place:
        """Of train, val, test or predict; the last two are the same samples."""
        if split == "train":
            return Place(self.source, self.subsample, 0, self.n_train)
        if split == "val":
            return Place(self.source, self.subsample, self.n_train, self.n_train + self.n_val)
        n = self.test_source.n_samples
        return Place(self.test_source, self.test_subsample, n - self.n_test, n)

    def grid(self, split: str) -> tuple[int, ...]:
        """Points along each axis that are used."""
        return subsampled_grid(*self.place(split)[:2])

    def inputs(self) -> Tensor:
        """The test samples' inputs; targets, stored or not, are not read."""
        source = self.test_source
        seen = slice(None) if source.time is None else self.frames.seen
        (inputs,) = self._read("predict", seen, source.names[:1])
        return inputs

    def pairs(self, split: str) -> tuple[Tensor, Tensor]:
        """Inputs and targets."""
        if self.place(split).source.time is None:
            input, target = self._read(split)
            return input, target
        (fields,) = self._read(split, self.frames.kept)
        return fields[:, : self.frames.input], fields[:, self.frames.input :]

    def trajectories(self, split: str) -> Tensor:
        """All frames, of a source that has time."""
        (fields,) = self._read(split)
        return fields

    def _read(self, split: str, frames: slice = slice(None), names: Sequence[str] | None = None) -> list[Tensor]:
        source, subsample, start, stop = self.place(split)
        return read_fields(source, start, stop, subsample=subsample, frames=frames, names=names)

    def require_targets(self, split: str) -> None:
        """Raise BadSchema unless a split has what predicting does without: targets, at the times of the training's."""
        source = self.place(split).source
        if not self.frames.has_targets(source):
            missing = f"{source.path}: {source.names[0]} alone, no targets" + " y" * (source.names[0] == "x")
            missing = missing if source.time is None else self.frames.missing(source)
            raise BadSchema(f"{missing}; that is enough for `sciml predict` alone")
        if source.time is not None and not self.frames.same_start(source, self.source):
            raise self._other_times(source)

    def check(self, asked: Mapping[str, int | None], *, windows: bool, grid: Sequence[int] | None) -> None:
        """Raise ConfigError or BadSchema unless both sources hold what predicting needs, and fit each other.

        Args:
            asked: The settings input_frames and output_frames.
            windows: Whether each start frame is to be trained on.
            grid: The grid that is asked for, or None.
        """
        for source in (self.source, self.test_source):
            self._check_frames(source, asked, windows)
        self._check_samples()
        self._check_match()
        self._check_grid(grid)
        for split in ("train", "test"):
            self.grid(split)

    def _check_frames(self, source: Source, asked: Mapping[str, int | None], windows: bool) -> None:
        """Settings of frames are for trajectories; of pairs without targets one says how many channels to predict."""
        if source.time is None:
            unused = {**asked, "windows": windows or None, "time_stride": self.frames.stride - 1 or None}
            if self.source.target_channels is None and self.test_source.target_channels is None:
                unused.pop("output_frames")
            for name in (name for name, value in unused.items() if value is not None):
                raise ConfigError(f"{name} is set, but {source.path} has pairs without time; leave it out")
            return
        for name, value in asked.items():
            if value is None or value < 1:
                raise ConfigError(f"{name}={value}: {source.path} has trajectories, expected at least 1")
        if len(self.frames.stored_times(source)) < self.frames.input:
            raise BadSchema(f"{self.frames.missing(source)}: too few to predict from; set data.input_frames lower")

    def _check_samples(self) -> None:
        """The splits do not overlap; of a source without targets no training is asked."""
        training = {"n_train": self.n_train, "n_val": self.n_val} if self.frames.has_targets(self.source) else {}
        testing = {"n_test": self.n_test}
        together = self.source.is_same(self.test_source)
        for source, asked in ((self.source, training | testing if together else training), (self.test_source, testing)):
            if sum(asked.values()) > source.n_samples:
                listed = " + ".join(f"{name}={n}" for name, n in asked.items())
                raise BadSchema(
                    f"{source.path}: {source.names[0]}: {source.n_samples} samples stored, {sum(asked.values())} asked "
                    f"({listed}); ask for fewer or generate more; other data to test on or to predict from are given "
                    "as data.test_path"
                )

    def _check_match(self) -> None:
        """One quantity, number of axes and spacing in time; to predict, a source may start later."""
        train, test = self.source, self.test_source
        if (train.names[0], len(train.grid)) != (test.names[0], len(test.grid)):
            raise BadSchema(
                f"{test.path}: expected {train.names} on a {len(train.grid)}-D grid, as in {train.path}; "
                f"found {test.names} on {test.grid}"
            )
        if train.time is not None and not self.frames.same_spacing(train, test):
            raise self._other_times(test)

    def _check_grid(self, grid: Sequence[int] | None) -> None:
        """The training data's grid is the one that was asked for, and means one thing."""
        if grid is None:
            for source in (self.source, self.test_source):
                if source.ambiguous:
                    raise ConfigError(
                        f"{source.path}: {source.ambiguous}; say which: name the points of each axis in data.grid"
                    )
            return
        found, path = self.grid("train"), self.source.path
        if found != tuple(grid) and self.frames.has_targets(self.source):  # else it is there to predict from alone
            factor = fitting_subsample(self.source, grid)
            remedy = "generate data of that grid" if factor is None else f"data.subsample={factor} fits"
            raise ConfigError(
                f"data.grid: the configuration is made for {list(grid)}, but {path} has {list(self.source.grid)} and "
                f"subsample={self.subsample} leaves {list(found)}; {remedy}, or set data.grid and "
                "model.net.init_args.grid to the grid that you want"
            )

    def _other_times(self, source: Source) -> BadSchema:
        expected, found = (self.frames.stored_times(one) for one in (self.source, source))
        return BadSchema(f"{source.path}: time: expected {expected}, as in {self.source.path}, found {found}")
