"""What a fastMRI file must hold: keys, axes, types and sizes that agree. Errors are named by the caller's file."""

import h5py
import numpy as np

from sciml.errors import BadSchema, NonFinite
from sciml.io import hdf5
from sciml.mri.formats.header import Header, parse_header

Shape = tuple[int, int, int, int]
TARGETS: dict[str, str] = {"multicoil": "reconstruction_rss", "singlecoil": "reconstruction_esc"}


def kspace_shape(file: h5py.File, challenge: str) -> Shape:
    """(slices, coils, y, x); one coil for single-coil data."""
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


def read_header(file: h5py.File, shape: Shape) -> Header | None:
    """The ISMRMRD header, checked against k-space; None if there is none."""
    if "ismrmrd_header" not in file:
        return None
    data = hdf5.dataset(file, "ismrmrd_header")
    text = hdf5.plain(data[()]) if data.size == 1 else None
    if not isinstance(text, str):
        raise BadSchema(f"ismrmrd_header: expected one text, XML; found {data.dtype} {data.shape}; remove the dataset")
    header = parse_header(text, "ismrmrd_header")
    if header.encoded != shape[2:]:
        raise BadSchema(f"ismrmrd_header: encoded matrix {header.encoded}, but kspace is (y, x) = {shape[2:]}")
    return header


def measured_columns(header: Header | None, width: int) -> tuple[int, int]:
    """Left ≤ x < right were measured."""
    left, right = header.padding if header else (0, width)
    if not 0 <= left < right <= width:
        raise BadSchema(f"ismrmrd_header: encoding limits give the columns {left} to {right} of {width}")
    return left, right


def target_size(file: h5py.File, key: str, shape: Shape) -> tuple[int, int]:
    """(h, w) of the target, which must fit k-space."""
    data = hdf5.dataset(file, key)
    if data.ndim != 3 or data.shape[0] != shape[0] or data.dtype.kind not in "fiu":
        raise BadSchema(
            f"{key}: expected real ({shape[0]}, h, w), as kspace has slices; found {data.dtype} {data.shape}"
        )
    if data.shape[1] > shape[2] or data.shape[2] > shape[3]:
        raise BadSchema(f"{key}: {data.shape[1:]} is larger than the image that kspace {shape[2:]} gives")
    return data.shape[1], data.shape[2]


def reconstructed_size(header: Header | None, shape: Shape) -> tuple[int, int]:
    """What is written of a volume without a target, as fastMRI's test step crops.

    The header's size; of an image narrower than that (brain FLAIR 203 is one) the square of its width.
    """
    height, width = shape[2:]
    size = header.recon if header else (height, width)
    return (min(size[0], height), size[1]) if size[1] <= width else (min(width, height), width)


def read_mask(file: h5py.File, shape: Shape) -> np.ndarray | None:
    """The file's own mask (x,) or (y, x), bool; None if there is none."""
    if "mask" not in file:
        return None
    data = hdf5.dataset(file, "mask")
    if data.shape not in (shape[3:], shape[2:]):
        raise BadSchema(f"mask: expected {shape[3:]} or {shape[2:]}, as kspace {shape}; found {data.shape}")
    if data.dtype.kind not in "biuf":
        raise BadSchema(f"mask: expected 1 where k-space was sampled and 0 elsewhere, found {data.dtype}")
    values = np.asarray(data[()])
    if bad := int((~np.isfinite(values)).sum()):
        raise NonFinite(f"mask: {bad} of {values.size} values are NaN or infinite; expected 0 and 1, repair it")
    other = values[(values != 0) & (values != 1)]
    if other.size:
        raise BadSchema(f"mask: expected 0 and 1, found {other[0]} and {other.size - 1} other such values; repair it")
    if not values.any():
        raise BadSchema("mask: samples nothing; expected 1 where k-space was sampled")
    return values.astype(bool)


def check_maps(file: h5py.File, shape: Shape) -> None:
    """Coil maps, if there are any, must have the shape of k-space."""
    if "sens_maps" in file:
        data = hdf5.dataset(file, "sens_maps")
        if data.shape != shape or data.dtype.kind != "c":
            raise BadSchema(f"sens_maps: expected complex {shape}, as kspace; found {data.dtype} {data.shape}")
