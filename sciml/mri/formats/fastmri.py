"""fastMRI's HDF5 files, read and written: one volume a file, checked before anything is computed with it.

kspace              (slice, coil, y, x) complex64; single-coil (slice, y, x)
reconstruction_rss  (slice, h, w) float32, the target; single-coil reconstruction_esc; absent in test files
ismrmrd_header      XML; optional
mask                (x,) of test files; (y, x) is read too
sens_maps           (slice, coil, y, x) complex64; ours, optional
attributes          acquisition, max (of the target), norm, patient_id
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import h5py
import numpy as np

from sciml.errors import BadSchema, CorruptFile, NonFinite, UnsafeFile
from sciml.io import hdf5
from sciml.mri.formats.header import write_header
from sciml.mri.formats.schema import (
    TARGETS,
    check_maps,
    kspace_shape,
    measured_columns,
    read_header,
    read_mask,
    reconstructed_size,
    target_size,
)
from sciml.mri.formats.values import check_magnitudes, read_one, target_maximum

Challenge = Literal["multicoil", "singlecoil"]


@dataclass(frozen=True)
class VolumeInfo:
    """What a file says of its volume; plain values, so that it can be pickled and kept as JSON.

    Attributes:
        path: The file.
        shape: (slices, coils, y, x) of k-space; one coil for single-coil files.
        target: Key of the target, or None.
        target_size: (h, w): of the target, else what the header says is reconstructed, else (y, x).
        has_mask, has_maps: Whether `mask` and `sens_maps` are there.
        undersampled: Whether that mask leaves out columns or points that would have been measured.
        padding: Columns left ≤ x < right were measured.
        acquisition: Such as CORPD_FBK, AXT2; "unknown" if the file does not say.
        maximum: Of the target: attribute `max`, or taken from the target where there is none (or 0); None without both.
    """

    path: str
    shape: tuple[int, int, int, int]
    target: str | None
    target_size: tuple[int, int]
    has_mask: bool
    has_maps: bool
    undersampled: bool
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
        CorruptFile, UnsafeFile: see `sciml.io.hdf5`.
        BadSchema: A key is missing, axes or types are others, or sizes contradict each other.
        NonFinite: NaN or infinity in the mask or in `max`, or in a target whose maximum has to be found.
    """
    with hdf5.reading(path) as file, _named(path):
        shape = kspace_shape(file, challenge)
        header = read_header(file, shape)
        left, right = measured_columns(header, shape[3])
        target = TARGETS[challenge] if TARGETS[challenge] in file else None
        mask = read_mask(file, shape)
        check_maps(file, shape)
        return VolumeInfo(
            path=str(path),
            shape=shape,
            target=target,
            target_size=target_size(file, target, shape) if target else reconstructed_size(header, shape),
            has_mask=mask is not None,
            has_maps="sens_maps" in file,
            undersampled=mask is not None and not bool(mask[..., left:right].all()),
            padding=(left, right),
            acquisition=str(hdf5.attribute(file, "acquisition", "unknown")),
            maximum=target_maximum(file, target),
        )


def read_slice(info: VolumeInfo, index: int, *, maps: bool = False) -> Slice:
    """One slice, cast to single precision, unmeasured columns set to zero.

    The file is opened for the read: nothing is shared between worker processes, nothing needs closing.

    Raises:
        CorruptFile: a damaged chunk; names the slice.
        NonFinite: NaN or infinity; names the slice and counts them.
        BadSchema: The file is no longer the one that `info` describes.
    """
    with hdf5.reading(info.path) as file, _named(info.path):
        _check_unchanged(file, info)
        kspace = read_one(file, "kspace", index, np.complex64)
        target = None
        if info.target is not None:
            target = read_one(file, info.target, index, np.float32)
            check_magnitudes(target, info.target, index, info.maximum)
        sens = read_one(file, "sens_maps", index, np.complex64) if maps else None
        mask = read_mask(file, info.shape) if info.has_mask else None
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
        acquisition: attribute.
        attributes: further ones; `patient_id` is by default the name of the file.
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
        file.attrs.update(acquisition=acquisition, patient_id=Path(path).stem)
        file.attrs.update(attributes or {})


def write_reconstruction(folder: str | os.PathLike[str], name: str, volume: np.ndarray) -> Path:
    """`reconstruction` (slice, y, x) float32 in a file of the volume's name, as fastMRI's leaderboard took it."""
    path = Path(folder) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with hdf5.writing(path) as file:
        hdf5.add_samples(file, "reconstruction", volume.astype(np.float32))
    return path


@contextmanager
def _named(path: str | os.PathLike[str]) -> Iterator[None]:
    """Puts the file's name before what the checks say, and before what h5py says of types that make no sense."""
    try:
        yield
    except UnsafeFile:
        raise
    except (BadSchema, NonFinite) as error:
        raise type(error)(str(error) if str(path) in str(error) else f"{path}: {error}") from error
    except (ValueError, TypeError, KeyError) as error:
        raise CorruptFile(f"{path}: damaged ({error}); fetch it again") from error


def _check_unchanged(file: h5py.File, info: VolumeInfo) -> None:
    found = hdf5.dataset(file, "kspace").shape
    target = None if info.target is None else hdf5.dataset(file, info.target).shape
    sizes = found if len(found) == 4 else (found[0], 1, *found[1:])
    if sizes != info.shape or target not in (None, (info.shape[0], *info.target_size)):
        raise BadSchema(f"kspace {found}, target {target}: another file than at the start; run again")
