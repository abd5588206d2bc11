"""HDF5 data sets that are computed batch by batch and survive being killed.

A file appears whole or not at all. Batches are first written as parts, in a folder `<file>.parts` beside it,
each renamed into place when it is on disk; when no part is missing, they are joined with the samples that the
file already had, and the result replaces the file. A killed process therefore loses the batches it was
working on and nothing else, and the same call continues. (Writing into one open HDF5 file would not do: a
process that dies between two writes of its metadata leaves it unreadable.)
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from tqdm import tqdm

from sciml.errors import BadSchema, NonFinite
from sciml.io.hdf5 import reading, writing
from sciml.io.jobs import continuable
from sciml.pde.equations.equation import Arrays
from sciml.pde.equations.samples import Samples


@dataclass(frozen=True)
class DataSet:
    """A file and the samples that it shall hold."""

    path: Path
    samples: Samples

    @property
    def parts(self) -> Path:
        return self.path.with_name(self.path.name + ".parts")


def write_data_set(data: DataSet, *, n_samples: int, batch_size: int) -> None:
    """Bring the file to at least n_samples samples, without computing again what the file or a part holds.

    Writes the samples' arrays (float32, chunked a sample at a time, fletcher32), `time` (float64) and the
    attributes, with `n_complete`, the number of samples. Batches are batch_size rounded up to whole groups.

    Raises:
        BadSchema: the file or a part holds data of other parameters.
        BlockingIOError: another process is writing the file.
        CorruptFile: the file or a part cannot be read.
        Interrupted: stopped by SIGINT or SIGTERM; says what is kept.
        NonFinite: a sample could not be computed.
    """
    with continuable(data.path, lambda: f"{_kept(data)} samples"):
        stored = n_stored(data.path, data.samples.attributes) if data.path.exists() else 0
        if stored < n_samples:
            _extend(data, stored, n_samples, batch_size)


def _extend(data: DataSet, stored: int, n_samples: int, batch_size: int) -> None:
    data.parts.mkdir(parents=True, exist_ok=True)
    for litter in [*data.parts.glob(".*.partial"), *data.parts.glob("*.tmp")]:  # of a killed process
        litter.unlink()
    ready = _ready(data)
    group = data.samples.group or 1
    missing = list(_missing(stored, n_samples, ready, -(-batch_size // group) * group))
    done = n_samples - sum(map(len, missing))
    try:
        with tqdm(total=n_samples, initial=done, unit="sample", disable=None) as bar:
            for batch, arrays in data.samples.solved(missing):
                _write(data.parts / f"{batch.start:08d}.h5", data, [arrays])
                bar.update(len(batch))
        _write(data.path, data, _joined(data, stored, n_samples))
        for start, count in _ready(data).items():
            if start + count <= n_samples:  # others are of a larger n_samples asked for before
                (data.parts / f"{start:08d}.h5").unlink()
    except NonFinite as error:
        raise NonFinite(f"{data.path}: {error}") from error
    finally:
        with suppress(OSError):  # no litter where nothing is ready
            data.parts.rmdir()


def _ready(data: DataSet) -> dict[int, int]:
    """First sample and count of each part."""
    return {int(part.stem): n_stored(part, data.samples.attributes) for part in sorted(data.parts.glob("*.h5"))}


def _kept(data: DataSet) -> int:
    n = n_stored(data.path, data.samples.attributes) if data.path.exists() else 0
    return n + sum(max(0, start + count - max(n, start)) for start, count in _ready(data).items())


def n_stored(path: Path, attributes: Mapping[str, object]) -> int:
    """Number of samples in a file of these attributes; BadSchema if it has others, CorruptFile if unreadable."""
    with reading(path) as file:
        found = {k: v.item() if isinstance(v, np.generic) else v for k, v in file.attrs.items()}
        if "n_frames" not in found and "time" in file:
            found["n_frames"] = len(file["time"])  # earlier versions did not record it
    for name, expected in attributes.items():
        if name == "scheme" and name not in found:
            raise BadSchema(
                f"{path}: attribute 'scheme': expected {expected!r}, found none: made by an earlier version, whose "
                f"samples differ; it can be read, not continued; choose another file, or delete {path}"
            )
        if not np.all(found.get(name) == expected):  # an attribute may be an array
            raise BadSchema(
                f"{path}: attribute {name!r}: expected {expected!r} as asked for, found {found.get(name)!r}; "
                f"ask for the file's own parameters, choose another file, or delete {path}"
            )
    if "n_complete" not in found:
        raise BadSchema(f"{path}: attribute 'n_complete': expected a count, found none; delete {path}")
    return int(found["n_complete"])


def _missing(first: int, stop: int, ready: dict[int, int], batch_size: int) -> Iterator[range]:
    """Ranges of samples in first:stop that no ready part {start: count} holds, cut at multiples of batch_size."""
    position = first
    for start in [*sorted(ready), stop]:
        while position < min(start, stop):
            batch = range(position, min((position // batch_size + 1) * batch_size, start, stop))
            yield batch
            position = batch.stop
        position = max(position, start + ready.get(start, 0))


def _joined(data: DataSet, stored: int, n_samples: int) -> Iterator[Arrays]:
    """The file's first samples, then the parts', up to n_samples, a part at a time."""
    if stored:
        yield from _read(data.path, 0, stored)
    position = stored
    for part in sorted(data.parts.glob("*.h5")):
        start = int(part.stem)
        for arrays in _read(part, position - start, n_samples - start):
            position += len(next(iter(arrays.values())))
            yield arrays


def _read(path: Path, first: int, stop: int, at_once: int = 64) -> Iterator[Arrays]:
    with reading(path) as file:
        names = [name for name in file if name != "time"]
        stop = min(stop, int(file.attrs["n_complete"]))
        for start in range(first, stop, at_once):
            yield {name: file[name][start : min(start + at_once, stop)] for name in names}


def _write(path: Path, data: DataSet, blocks: Iterable[Arrays]) -> None:
    """Write a file of the schema, which appears at `path` whole."""
    with writing(path) as file:
        file["time"] = data.samples.discretization.times.astype(np.float64)
        file.attrs.update(data.samples.attributes)
        file.attrs["n_complete"] = 0
        for arrays in blocks:
            _append(file, arrays)


def _append(file: h5py.File, arrays: Arrays) -> None:
    first = int(file.attrs["n_complete"])
    for name, array in arrays.items():
        shape = array.shape[1:]
        if name not in file:
            file.create_dataset(
                name, (0, *shape), "float32", maxshape=(None, *shape), chunks=(1, *shape), fletcher32=True
            )
        file[name].resize(first + len(array), axis=0)
        file[name][first:] = array
    file.attrs["n_complete"] = first + len(array)
