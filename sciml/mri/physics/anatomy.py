"""Magnitude images of real anatomy, and new subjects made from one of them."""

import hashlib
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from scipy import ndimage

from sciml.errors import BadSchema, ConfigError, CorruptFile, NonFinite, listed
from sciml.io import hdf5

MISSING = "needs the extra `demo`: pip install 'sciml[demo]'"
THICKNESS = 5  # voxels from slice to slice of a deformed volume; mm for the 1 mm template
OBJECT = 0.05  # of the maximum: what is brighter belongs to the object
_LARGEST_SCALE = 1.1
_SMALLEST_SHARE = 1e-3  # of a slice's pixels: with fewer of the object the slice is empty
_ANATOMY_SHARE = 1e-2  # of a slice's pixels: a plane tilted about a slice with this much still meets the object
_THINNEST = 1 / 4  # of the slices' width: in a thinner volume planes tilted by 8° leave it


def load_anatomy(source: str) -> np.ndarray:
    """Magnitude (image or slice, y, x), float32: mni152, a NIfTI volume, or an HDF5 or NumPy stack.

    Axial slices with the front of the head upward for `mni152`, the T1 template that nilearn packages (1 mm; ICBM
    2009a symmetric, Fonov et al. 2011), and for NIfTI.

    Raises:
        ConfigError: the extra `demo` is not installed, or the file's type is unknown.
        BadSchema: no 3-D real array, or several of them.
        CorruptFile: a NIfTI or NumPy file that cannot be read.
        NonFinite: NaN or infinite values.
    """
    with np.errstate(over="ignore"):  # beyond float32 it is infinite, and found below
        anatomy = _load(source)
    if not anatomy.size:
        raise BadSchema(f"{source}: expected images, found the shape {anatomy.shape}")
    bad = anatomy.size - np.count_nonzero(np.isfinite(anatomy))
    if bad:
        raise NonFinite(
            f"{source}: {bad} of {anatomy.size} values are NaN or infinite; set them to 0, or leave them out"
        )
    return anatomy


def _load(source: str) -> np.ndarray:
    if source == "mni152":
        return _axial(_mni152())
    path = Path(source)
    if path.name.endswith((".nii", ".nii.gz")):
        return _axial(_nifti(path))
    if path.suffix in (".h5", ".hdf5"):
        with hdf5.reading(path) as file:
            key = _only({k: file[k] for k in hdf5.keys(file) if isinstance(file[k], h5py.Dataset)}, path)
            return np.asarray(hdf5.dataset(file, key)[()], dtype=np.float32)
    if path.suffix in (".npy", ".npz"):
        loaded = _opened(path, lambda: np.load(path, allow_pickle=False))
        arrays = {path.stem: loaded} if path.suffix == ".npy" else dict(loaded)
        return arrays[_only(arrays, path)].astype(np.float32)
    raise ConfigError(f"source: {source!r}; expected mni152, or a .nii, .nii.gz, .h5, .npy or .npz file")


def digest(anatomy: np.ndarray) -> str:
    """A checksum of shape and values, to know the same anatomy again."""
    content = hashlib.sha256(repr(anatomy.shape).encode())
    content.update(np.ascontiguousarray(anatomy, dtype="<f4").data)
    return content.hexdigest()[:16]


def holds_tissue(slices: np.ndarray) -> np.ndarray:
    """Which slices (slice, y, x) of a subject show more than its background."""
    return _share(slices) >= _SMALLEST_SHARE


def most_slices(volume: np.ndarray) -> int:
    """Slices that a deformed subject can have, each with tissue, whatever is drawn.

    Raises:
        BadSchema: The volume is too thin to be tilted, or nothing in it exceeds 0.
    """
    least = math.ceil(_THINNEST * max(volume.shape[1:]))
    if len(volume) < least:
        raise BadSchema(
            f"{len(volume)} slices of {volume.shape[1]} x {volume.shape[2]}: too thin to be deformed, "
            f"expected at least {least} and cubic voxels; set deform false"
        )
    low, high = _tissue(volume)
    return int((high - low) / (_LARGEST_SCALE * THICKNESS)) + 1


def _share(slices: np.ndarray) -> np.ndarray:
    """The object's share of each slice's pixels."""
    return np.asarray((slices > OBJECT * max(slices.max(), 0)).mean((1, 2)))


def _tissue(volume: np.ndarray) -> tuple[int, int]:
    """First and last slice between which the anatomy lies."""
    found = np.flatnonzero(_share(volume) >= _ANATOMY_SHARE)
    if not len(found):
        raise BadSchema(f"{len(volume)} slices, none with tissue (pixels above 0 and {OBJECT:.0%} of the maximum)")
    return int(found[0]), int(found[-1])


def square(image: np.ndarray, grid: int) -> np.ndarray:
    """(…, y, x) cropped to its central square, then brought to grid × grid by cutting or padding its spectrum."""
    side = min(image.shape[-2:])
    top, left = ((n - side) // 2 for n in image.shape[-2:])
    image = image[..., top : top + side, left : left + side]
    if side == grid:
        return image
    kspace = np.fft.fftshift(np.fft.fft2(image), axes=(-2, -1))
    cut = side // 2 - grid // 2
    if grid < side:
        kspace = kspace[..., cut : cut + grid, cut : cut + grid]
    else:
        before = (grid // 2 - side // 2, grid - side - (grid // 2 - side // 2))
        kspace = np.pad(kspace, [(0, 0)] * (image.ndim - 2) + [before, before])
    return np.abs(np.fft.ifft2(np.fft.ifftshift(kspace, axes=(-2, -1)))) * (grid / side) ** 2


def subject(volume: np.ndarray, n_slices: int, rng: np.random.Generator) -> np.ndarray:
    """Slices of a new subject (slice, y, x): another contrast, affinely and elastically deformed.

    Contrast: intensities go through a random piecewise-linear curve that keeps 0, so tissues change their order as
    between T1 and T2 weighting. Affine: rotations up to 8°, scales of 0.9 to 1.1, shifts up to 4 % of the field of
    view. Elastic: smooth displacements of some 3 %. Slices lie near the middle, THICKNESS voxels apart, and within the
    anatomy, if they are no more than `most_slices`.
    """
    z, y, x = volume.shape
    knots = np.linspace(0, 1, 6)
    curve = np.concatenate([[0.0], rng.uniform(0.15, 1.0, 5)])
    middle = rng.uniform(-0.12, 0.12) * z  # from the volume's, z/2
    matrix = _rotation(rng.uniform(-8, 8, 3)) * rng.uniform(0.9, _LARGEST_SCALE, 3)
    shift = rng.uniform(-0.04, 0.04, 3) * volume.shape
    # A slice at height h above the middle meets the anatomy's axis at z/2 + shift + matrix[0, 0]·h.
    lowest, highest = ((end - z / 2 - shift[0]) / matrix[0, 0] for end in _tissue(volume))
    half = THICKNESS * (n_slices - 1) / 2
    middle = min(max(middle, lowest + half), highest - half)
    heights = middle + THICKNESS * (np.arange(n_slices) - (n_slices - 1) / 2)
    axes = [heights, np.arange(y) - y / 2, np.arange(x) - x / 2]
    points = np.stack(np.meshgrid(*axes, indexing="ij"))
    coordinates = np.tensordot(matrix, points, 1) + (shift + np.array(volume.shape) / 2)[:, None, None, None]
    coarse = rng.standard_normal((3, max(2, n_slices), 6, 6))
    elastic = [ndimage.zoom(c, np.array(points.shape[1:]) / c.shape, order=3, mode="nearest") for c in coarse]
    coordinates += 0.012 * max(y, x) * np.stack(elastic)
    values = ndimage.map_coordinates(volume / volume.max(), coordinates, order=1)
    return np.interp(values, knots, curve)


def _rotation(degrees: np.ndarray) -> np.ndarray:
    a, b, c = np.deg2rad(degrees)
    about = [((1, 2), a), ((0, 2), b), ((0, 1), c)]
    matrix = np.eye(3)
    for (i, j), angle in about:
        turn = np.eye(3)
        turn[[i, i, j, j], [i, j, i, j]] = np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)
        matrix = matrix @ turn
    return matrix


def _axial(volume: np.ndarray) -> np.ndarray:
    """(x, y, z) of an image in RAS orientation to (z, y, x) with the front on top, padded to square slices."""
    slices = volume.transpose(2, 1, 0)[:, ::-1]
    side = max(slices.shape[1:])
    margins = [((side - n) // 2, side - n - (side - n) // 2) for n in slices.shape[1:]]
    return np.pad(slices, [(0, 0), *margins]).astype(np.float32)


def _nifti(path: Path) -> np.ndarray:
    try:
        import nibabel
    except ImportError as error:
        raise ConfigError(f"{path}: NIfTI {MISSING}") from error
    image: Any = _opened(path, lambda: nibabel.as_closest_canonical(nibabel.load(path)))
    if image.ndim != 3:
        raise BadSchema(f"{path}: expected a volume (x, y, z), found {image.shape}")
    return np.asarray(_opened(path, image.get_fdata), dtype=np.float32)


def _opened(path: Path, read: Callable[[], Any]) -> Any:
    """What `read` gives; its errors, which differ from format to format, as one that names the file."""
    try:
        return read()
    except Exception as error:
        raise CorruptFile(f"{path}: cannot be read ({error}); check the path, or fetch the file again") from error


def _mni152() -> np.ndarray:
    try:
        import nilearn.datasets
    except ImportError as error:
        raise ConfigError(f"source: mni152 {MISSING}") from error
    return np.asarray(nilearn.datasets.load_mni152_template(resolution=1).get_fdata(), dtype=np.float32)


def _only(arrays: dict[str, Any], path: Path) -> str:
    fitting = [k for k, a in arrays.items() if a.ndim == 3 and a.dtype.kind in "fiu"]
    if len(fitting) != 1:
        found = listed(f"{k} {a.dtype} {a.shape}" for k, a in arrays.items())
        raise BadSchema(f"{path}: expected one real array (image, y, x), found {found}")
    return fitting[0]
