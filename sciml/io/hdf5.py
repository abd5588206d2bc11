"""Reading HDF5 files that may be damaged or hostile, and writing them so that a crash loses nothing.

h5py follows links into other files, believes any size that a file declares, and writes in place. Everything raised here
names the file, and the dataset and sample where there is one.
"""

import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Literal

import h5py
import numpy as np

from sciml.errors import BadSchema, ConfigError, CorruptFile, UnsafeFile, listed
from sciml.io.atomic import replacing

# deflate cannot shrink data by more than 1032:1 (zlib's technical notes); LZF and szip shrink less
MAX_COMPRESSION = 1032
MAX_LINKS = 16


@contextmanager
def reading(path: str | os.PathLike[str]) -> Iterator[h5py.File]:
    """An HDF5 file opened for reading; the block should do nothing else, for its errors are taken for the file's.

    Raises:
        CorruptFile: The file is truncated, damaged or no HDF5 file.
        BlockingIOError: Another process has it open for writing.
    """
    try:
        file = h5py.File(path, "r")
    except (FileNotFoundError, PermissionError, IsADirectoryError):
        raise
    except BlockingIOError as error:
        raise BlockingIOError(f"{path}: open for writing by another process; wait for it") from error
    except OSError as error:
        raise CorruptFile(f"{path}: truncated, damaged or not an HDF5 file ({error}); fetch it again") from error
    try:
        with file:
            yield file
    except (CorruptFile, BadSchema, UnsafeFile, ConfigError):
        raise
    except (RuntimeError, OSError, TypeError, ValueError) as error:  # what h5py raises where metadata are damaged
        raise CorruptFile(f"{path}: damaged ({error}); fetch or generate it again") from error


def keys(file: h5py.File) -> list[str]:
    """Sorted paths of everything in the file, links not followed."""
    found: list[str | bytes] = []
    file.visit_links(found.append)
    return sorted(name.decode(errors="replace") if isinstance(name, bytes) else name for name in found)


def dataset(file: h5py.File, key: str, *, rows: int | None = None) -> h5py.Dataset:
    """The dataset `key`, if its bytes lie in this file.

    Args:
        file: An open file.
        key: Path of the dataset.
        rows: How many entries of the first axis will be read; None: all. An incomplete file may
            declare more than it has.

    Raises:
        BadSchema: No such dataset; the message lists what there is.
        UnsafeFile: Its bytes lie in another file, or it declares more bytes than the file can hold.
        CorruptFile: Its header cannot be read.
    """
    _refuse_links_out(file, key)
    try:
        found = file[key]
    except (KeyError, OSError) as error:
        raise CorruptFile(f"{file.filename}: {key}: unreadable header ({error}); fetch it again") from error
    if not isinstance(found, h5py.Dataset):
        raise BadSchema(f"{file.filename}: {key}: expected a dataset, found a {type(found).__name__.lower()}")
    if found.is_virtual or found.external:
        kind = "a virtual dataset" if found.is_virtual else "external storage"
        raise UnsafeFile(f"{file.filename}: {key}: {kind}, its bytes lie in other files; copy the data in")
    _refuse_overdeclared(found, rows)
    return found


def read_samples(data: h5py.Dataset, start: int, stop: int, *, axis: Literal[0, -1] = 0) -> np.ndarray:
    """Entries start..stop-1 of the first axis, or of the last (axis=-1), all of the others.

    Raises:
        CorruptFile: A chunk fails its checksum or does not decompress; names the first such sample.
    """
    try:
        return data[_select(axis, slice(start, stop))]
    except OSError as error:
        sample = next((i for i in range(start, stop) if not _readable(data, _select(axis, i))), start)
        raise CorruptFile(
            f"{data.file.filename}: {data.name.lstrip('/')}: sample {sample} is damaged ({error}); "
            "fetch or generate the file again"
        ) from error


def verify(path: str | os.PathLike[str]) -> list[str]:
    """Reads a whole file, chunk by chunk; returns its problems, one line each, none if it is sound."""
    try:
        with reading(path) as file:
            rows = complete_rows(file)
            return [problem for key in keys(file) for problem in _problems(file, key, rows)]
    except (OSError, KeyError) as error:
        return [str(error) if str(path) in str(error) else f"{path}: {error}"]


@contextmanager
def writing(path: str | os.PathLike[str]) -> Iterator[h5py.File]:
    """A new HDF5 file that appears at `path`, whole, when the block ends without error (see `replacing`).

    In HDF5 1.10's format, whose metadata have checksums too; the default format's have none.
    """
    with replacing(path) as temporary, h5py.File(temporary, "w", libver=("v110", "v110")) as file:
        yield file


def add_samples(file: h5py.File, key: str, data: np.ndarray, attributes: Mapping[str, Any] | None = None) -> None:
    """Stores (sample, ...) data with a checksum (fletcher32) a sample, so that a flipped bit is found."""
    stored = file.create_dataset(key, data=data, chunks=(1, *data.shape[1:]), fletcher32=True)
    stored.attrs.update(attributes or {})


def complete_rows(file: h5py.File) -> int | None:
    """How many samples a generator has finished (attribute `n_complete`); None if the file does not say."""
    complete = attribute(file, "n_complete")
    if complete is not None and (not isinstance(complete, (int, float)) or complete != complete // 1):
        raise BadSchema(f"{file.filename}: attribute n_complete: expected a whole number, found {complete!r:.60}")
    return None if complete is None else int(complete)


def _missing(file: h5py.File, key: str) -> BadSchema:
    return BadSchema(f"{file.filename}: no dataset {key!r}; the file has {listed(keys(file))}")


def _refuse_links_out(file: h5py.File, key: str, depth: int = 0) -> None:
    """Walks the path link by link, since opening an external link would already open the other file."""
    if depth > MAX_LINKS:
        raise UnsafeFile(f"{file.filename}: {key}: soft links nested deeper than {MAX_LINKS}")
    parts = [part for part in key.split("/") if part]
    for i in range(1, len(parts) + 1):
        prefix = "/".join(parts[:i])
        link = file.get(prefix, getlink=True)
        if isinstance(link, h5py.ExternalLink):
            raise UnsafeFile(f"{file.filename}: {prefix}: link to another file, {link.filename}; copy the data in")
        if isinstance(link, h5py.SoftLink):
            base = "" if link.path.startswith("/") else "/".join(parts[: i - 1])
            _refuse_links_out(file, "/".join([base, link.path, *parts[i:]]), depth + 1)
            return
        if link is None:
            raise _missing(file, key)


def _refuse_overdeclared(data: h5py.Dataset, rows: int | None) -> None:
    shape = data.shape if rows is None or not data.shape else (min(rows, data.shape[0]), *data.shape[1:])
    declared = math.prod(shape or ()) * data.dtype.itemsize
    held = min(data.id.get_storage_size(), os.path.getsize(data.file.filename))
    bound = held * MAX_COMPRESSION if data.compression else held
    missing = 0
    if data.chunks and declared <= bound:
        needed = math.prod(-(-n // c) for n, c in zip(shape, data.chunks, strict=True))
        missing = max(0, needed - data.id.get_num_chunks())
    if declared > bound or missing:
        raise UnsafeFile(
            f"{data.file.filename}: {data.name.lstrip('/')}: declares {data.shape} {data.dtype}, "
            f"{declared:,} bytes, but the file holds {held:,}: never written in full, or forged; "
            "generate or fetch it again"
        )


def _select(axis: Literal[0, -1], index: int | slice) -> tuple[Any, ...]:
    return (..., index) if axis else (index,)


def _readable(data: h5py.Dataset, selection: tuple[Any, ...]) -> bool:
    try:
        data[selection]
    except OSError:
        return False
    return True


def _problems(file: h5py.File, key: str, rows: int | None) -> Iterator[str]:
    try:
        linked = isinstance(file.get(key, getlink=True), h5py.HardLink)
        if linked and file.get(key, getclass=True) is h5py.Group:
            return
        data = dataset(file, key, rows=rows)
    except (BadSchema, CorruptFile, UnsafeFile, KeyError, OSError) as error:
        yield str(error)
        return
    for chunk in data.iter_chunks() if data.chunks else [()]:
        if chunk and rows is not None and chunk[0].start >= rows:
            continue
        at = f"{file.filename}: {key}" + (f": sample {chunk[0].start}" if chunk else "")
        try:
            values = data[chunk]
        except OSError as error:
            yield f"{at} is damaged ({error})"
            continue
        if data.dtype.kind in "fc" and (bad := int(np.size(values) - np.isfinite(values).sum())):
            yield f"{at} has {bad} values that are NaN or infinite"


def attribute(owner: h5py.File | h5py.Group | h5py.Dataset, key: str, default: Any = None) -> Any:
    """The attribute `key` as a plain str, int, float, bool or complex; `default` where it is missing or empty.

    Raises BadSchema for an array of several values.
    """
    value = plain(owner.attrs.get(key))
    if isinstance(value, np.ndarray | list | tuple):
        raise BadSchema(f"{owner.file.filename}: attribute {key}: expected one value, found {np.shape(value)}")
    return default if value is None else value


def plain(value: Any) -> Any:
    """The scalar that an array of one element, a NumPy scalar or bytes stand for, as MATLAB and others write them.

    None for an empty value; what has several elements stays as it is.
    """
    if isinstance(value, h5py.Empty):
        return None
    if isinstance(value, np.ndarray | np.generic) and value.size == 1:
        value = value.item()
    return value.decode(errors="replace").rstrip("\0") if isinstance(value, bytes) else value


def attributes(owner: h5py.File | h5py.Dataset) -> dict[str, Any]:
    """All attributes, each as `plain` gives it. Without those of types that NumPy has not."""
    found = {}
    for name in owner.attrs:
        with suppress(TypeError, ValueError):
            found[name] = plain(owner.attrs[name])
    return found
