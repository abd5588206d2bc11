"""fastMRI's HDF5 files, read and written: one volume a file, checked before anything is computed with it.

kspace              (slice, coil, y, x) complex64; single-coil (slice, y, x)
reconstruction_rss  (slice, h, w) float32, the target; single-coil reconstruction_esc; absent in test files
ismrmrd_header      XML; optional
mask                (x,) of test files; (y, x) is read too
sens_maps           (slice, coil, y, x) complex64; ours, optional
attributes          acquisition, max (of the target), norm, patient_id
"""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal, NamedTuple

import h5py
import numpy as np

from sciml import hdf5
from sciml.errors import BadSchema, NonFinite
from sciml.mri.header import Header, parse_header, write_header

logger = logging.getLogger(__name__)

Challenge = Literal["multicoil", "singlecoil"]
TARGETS: dict[str, str] = {"multicoil": "reconstruction_rss", "singlecoil": "reconstruction_esc"}


@dataclass(frozen=True)
class VolumeInfo:
    """What a file says of its volume; plain values, so that it can be pickled and kept as JSON.

    Attributes:
        path: The file.
        shape: (slices, coils, y, x) of k-space; one coil for single-coil files.
        target: Key of the target, or None.
        target_size: (h, w): of the target, else what the header says is reconstructed, else (y, x).
        has_mask, has_maps: Whether `mask` and `sens_maps` are there.
        padding: Columns left ≤ x < right were measured.
        acquisition: Such as CORPD_FBK, AXT2; "unknown" if the file does not say.
        maximum: attribute `max`; None if there is none.
    """

    path: str
    shape: tuple[int, int, int, int]
    target: str | None
    target_size: tuple[int, int]
    has_mask: bool
    has_maps: bool
    padding: tuple[int, int]
    acquisition: str
    maximum: float | None

    @property
    def name(self) -> str:
        return Path(self.path).name


class Slice(NamedTuple):
    """One slice: k-space (coil, y, x) complex64; target (h, w) float32, maps and mask if the file has them."""

    kspace: np.ndarray
    target: np.ndarray | None
    maps: np.ndarray | None
    mask: np.ndarray | None


def open_volume(path: str | os.PathLike[str], challenge: Challenge = "multicoil") -> VolumeInfo:
    """Read and check a file's header.

    Raises:
        CorruptFile, UnsafeFile: see `sciml.hdf5`.
        BadSchema: A key is missing, axes or types are others, or sizes contradict each other.
    """
    with hdf5.reading(path) as file, _schema(path):
        shape = _kspace_shape(file, challenge)
        header = _header(file, shape)
        target = TARGETS[challenge] if TARGETS[challenge] in file else None
        size = (header.recon if header else shape[2:]) if target is None else _target_size(file, target, shape)
        _check_mask(file, shape)
        _check_maps(file, shape)
        return VolumeInfo(
            path=str(path),
            shape=shape,
            target=target,
            target_size=(min(size[0], shape[2]), min(size[1], shape[3])),
            has_mask="mask" in file,
            has_maps="sens_maps" in file,
            padding=_padding(header, shape[3]),
            acquisition=str(file.attrs.get("acquisition", "unknown")),
            maximum=_maximum(file),
        )


def read_slice(info: VolumeInfo, index: int, *, maps: bool = False) -> Slice:
    """One slice, cast to single precision, unmeasured columns set to zero.

    The file is opened for the read: nothing is shared between worker processes, nothing needs closing.

    Raises:
        CorruptFile: a damaged chunk; names the slice.
        NonFinite: NaN or infinity; names the slice and counts them.
    """
    with hdf5.reading(info.path) as file:
        kspace = _one(file, "kspace", index, np.complex64)
        target = None if info.target is None else _one(file, info.target, index, np.float32)
        sens = _one(file, "sens_maps", index, np.complex64) if maps else None
        mask = np.asarray(hdf5.dataset(file, "mask")[()]).astype(bool) if info.has_mask else None
    kspace = kspace.reshape(info.shape[1:])
    left, right = info.padding
    kspace[..., :left] = 0
    kspace[..., right:] = 0
    return Slice(kspace, target, sens, mask)


def write_volume(
    path: str | os.PathLike[str],
    kspace: np.ndarray,
    *,
    target: np.ndarray | None = None,
    mask: np.ndarray | None = None,
    maps: np.ndarray | None = None,
    header: str | None = None,
    acquisition: str = "simulated",
    patient_id: str = "",
    attributes: dict[str, object] | None = None,
) -> None:
    """Write a volume in fastMRI's layout, whole or not at all, a checksum a slice.

    Args:
        path: The file.
        kspace: (slice, coil, y, x), or (slice, y, x) single-coil; zero where `mask` is False.
        target: (slice, h, w) magnitude; `max` and `norm` (its L2 norm) are taken from it.
        mask: (x,) bool of a test file.
        maps: (slice, coil, y, x) coil sensitivities.
        header: ISMRMRD XML; by default one that agrees with the arrays.
        acquisition, patient_id: attributes.
        attributes: further ones.
    """
    single = kspace.ndim == 3
    size = kspace.shape[-2:]
    with hdf5.writing(path) as file:
        hdf5.add_samples(file, "kspace", kspace.astype(np.complex64))
        if target is not None:
            hdf5.add_samples(file, TARGETS["singlecoil" if single else "multicoil"], target.astype(np.float32))
            file.attrs.update(max=float(target.max()), norm=float(np.linalg.norm(target)))
        if mask is not None:
            file["mask"] = mask.astype(np.float32)
        if maps is not None:
            hdf5.add_samples(file, "sens_maps", maps.astype(np.complex64))
        file["ismrmrd_header"] = header or write_header(size, size if target is None else target.shape[-2:])
        file.attrs.update(acquisition=acquisition, patient_id=patient_id or Path(path).stem)
        file.attrs.update(attributes or {})


def write_reconstruction(folder: str | os.PathLike[str], name: str, volume: np.ndarray) -> Path:
    """`reconstruction` (slice, y, x) float32 in a file of the volume's name, as fastMRI's leaderboard took it."""
    path = Path(folder) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with hdf5.writing(path) as file:
        hdf5.add_samples(file, "reconstruction", volume.astype(np.float32))
    return path


@contextmanager
def _schema(path: str | os.PathLike[str]) -> Iterator[None]:
    """Puts the file's name before what the checks say."""
    try:
        yield
    except BadSchema as error:
        raise BadSchema(str(error) if str(path) in str(error) else f"{path}: {error}") from error


def _kspace_shape(file: h5py.File, challenge: str) -> tuple[int, int, int, int]:
    data = hdf5.dataset(file, "kspace")
    axes = {"multicoil": "(slice, coil, y, x)", "singlecoil": "(slice, y, x)"}[challenge]
    if data.dtype.kind != "c":
        raise BadSchema(
            f"kspace: expected complex {axes}, found {data.dtype} {data.shape}; real k-space has lost its phase"
        )
    other = {4: "multicoil", 3: "singlecoil"}.get(data.ndim)
    if other != challenge:
        remedy = f"; set data.challenge: {other}" if other else ""
        raise BadSchema(f"kspace: expected {axes} for {challenge}, found {data.shape}{remedy}")
    if 0 in data.shape:
        raise BadSchema(f"kspace: expected {axes}, found {data.shape}: empty")
    n = data.shape
    return (n[0], n[1], n[2], n[3]) if data.ndim == 4 else (n[0], 1, n[1], n[2])


def _header(file: h5py.File, shape: tuple[int, int, int, int]) -> Header | None:
    if "ismrmrd_header" not in file:
        return None
    header = parse_header(hdf5.dataset(file, "ismrmrd_header")[()], "ismrmrd_header")
    if header.encoded != shape[2:]:
        raise BadSchema(f"ismrmrd_header: encoded matrix {header.encoded}, but kspace is (y, x) = {shape[2:]}")
    return header


def _padding(header: Header | None, width: int) -> tuple[int, int]:
    left, right = header.padding if header else (0, width)
    if not 0 <= left < right <= width:
        raise BadSchema(f"ismrmrd_header: encoding limits give the columns {left} to {right} of {width}")
    return left, right


def _target_size(file: h5py.File, key: str, shape: tuple[int, int, int, int]) -> tuple[int, int]:
    data = hdf5.dataset(file, key)
    if data.ndim != 3 or data.shape[0] != shape[0] or data.dtype.kind not in "fiu":
        raise BadSchema(
            f"{key}: expected real ({shape[0]}, h, w), as kspace has slices; found {data.dtype} {data.shape}"
        )
    if data.shape[1] > shape[2] or data.shape[2] > shape[3]:
        raise BadSchema(f"{key}: {data.shape[1:]} is larger than the image that kspace {shape[2:]} gives")
    return data.shape[1], data.shape[2]


def _check_mask(file: h5py.File, shape: tuple[int, int, int, int]) -> None:
    if "mask" in file and (found := hdf5.dataset(file, "mask").shape) not in (shape[3:], shape[2:]):
        raise BadSchema(f"mask: expected {shape[3:]} or {shape[2:]}, as kspace {shape}; found {found}")


def _check_maps(file: h5py.File, shape: tuple[int, int, int, int]) -> None:
    if "sens_maps" in file:
        data = hdf5.dataset(file, "sens_maps")
        if data.shape != shape or data.dtype.kind != "c":
            raise BadSchema(f"sens_maps: expected complex {shape}, as kspace; found {data.dtype} {data.shape}")


def _maximum(file: h5py.File) -> float | None:
    value = file.attrs.get("max")
    if value is not None and not (np.isfinite(value) and value >= 0):
        raise BadSchema(f"attribute max: expected the target's maximum, found {value}")
    return None if value is None else float(value)


def _one(file: h5py.File, key: str, index: int, dtype: type) -> np.ndarray:
    data = hdf5.dataset(file, key)
    values = hdf5.read_samples(data, index, index + 1)[0]
    if values.dtype != dtype:
        _log_cast(str(values.dtype), np.dtype(dtype).name)
        values = values.astype(dtype)
    if not _surely_finite(values) and (bad := int(np.size(values) - np.isfinite(values).sum())):
        raise NonFinite(
            f"{file.filename}: {key}: slice {index} has {bad} values that are NaN or infinite; repair or remove it"
        )
    return values


def _surely_finite(values: np.ndarray) -> bool:
    """Whether the sum of squares is finite: one pass by BLAS, several times as fast as looking at each value."""
    plain = np.ravel(values).view(np.float32)
    with np.errstate(all="ignore"):
        return bool(np.isfinite(np.dot(plain, plain)))


@cache
def _log_cast(found: str, used: str) -> None:
    """Once a process and type."""
    logger.warning("data stored as %s are used as %s", found, used)
