"""Whether sources hold what is asked of them, and fit each other."""

from collections.abc import Mapping, Sequence

from sciml.errors import BadSchema, ConfigError
from sciml.pde.formats.frames import Frames
from sciml.pde.formats.loading import fitting_subsample, subsampled_grid
from sciml.pde.formats.source import Source


def require_inputs(source: Source, frames: Frames) -> None:
    """Raise BadSchema for trajectories that are too short to predict from."""
    if source.time is not None and len(frames.stored_times(source)) < frames.input:
        raise BadSchema(f"{frames.missing(source)}: too few to predict from; set data.input_frames lower")


def require_targets(source: Source, frames: Frames, like: Source) -> None:
    """Raise BadSchema unless there are targets, and frames at the times of those in `like`, which predicting lacks."""
    if not frames.has_targets(source):
        missing = f"{source.path}: {source.names[0]} alone, no targets" + " y" * (source.names[0] == "x")
        missing = missing if source.time is None else frames.missing(source)
        raise BadSchema(f"{missing}; that is enough for `sciml predict` alone")
    if source.time is not None and not frames.same_start(source, like):
        raise _other_times(source, frames, like)


def require_match(source: Source, frames: Frames, like: Source) -> None:
    """Raise BadSchema for another quantity, number of axes or spacing in time than in `like`.

    A source to predict from may start later and hold the inputs alone.
    """
    if (like.names[0], len(like.grid)) != (source.names[0], len(source.grid)):
        raise BadSchema(
            f"{source.path}: expected {like.names} on a {len(like.grid)}-D grid, as in {like.path}; "
            f"found {source.names} on {source.grid}"
        )
    if like.time is not None and not frames.same_spacing(like, source):
        raise _other_times(source, frames, like)


def require_samples(source: Source, asked: Mapping[str, int]) -> None:
    """Raise BadSchema when more samples are asked for, by the names of the settings, than there are."""
    if sum(asked.values()) > source.n_samples:
        listed = " + ".join(f"{name}={n}" for name, n in asked.items())
        raise BadSchema(
            f"{source.path}: {source.names[0]}: {source.n_samples} samples stored, {sum(asked.values())} asked "
            f"({listed}); ask for fewer or generate more; other data to test on or to predict from are given as "
            "data.test_path"
        )


def require_one_reading(source: Source) -> None:
    """Raise ConfigError for an array whose shape can be read in two ways."""
    if source.ambiguous:
        raise ConfigError(f"{source.path}: {source.ambiguous}; say which: name the points of each axis in data.grid")


def require_grid(source: Source, subsample: int, grid: Sequence[int]) -> None:
    """Raise ConfigError unless subsampling leaves this grid."""
    found = subsampled_grid(source, subsample)
    if found != tuple(grid):
        factor = fitting_subsample(source, grid)
        remedy = "generate data of that grid" if factor is None else f"data.subsample={factor} fits"
        raise ConfigError(
            f"data.grid: the configuration is made for {list(grid)}, but {source.path} has {list(source.grid)} and "
            f"{subsample=} leaves {list(found)}; {remedy}, or set data.grid and model.net.init_args.grid to the grid "
            "that you want"
        )


def _other_times(source: Source, frames: Frames, like: Source) -> BadSchema:
    expected, found = (frames.stored_times(one) for one in (like, source))
    return BadSchema(f"{source.path}: time: expected {expected}, as in {like.path}, found {found}")
