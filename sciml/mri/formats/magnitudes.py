"""Magnitude images of an anatomy: the packaged template, a NIfTI volume, or a stack in HDF5 or NumPy."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from sciml.errors import BadSchema, ConfigError, CorruptFile, NonFinite, listed
from sciml.io import hdf5

MISSING = "needs the extra `demo`: pip install 'sciml[demo]'"
STACKS = (".h5", ".hdf5", ".npy", ".npz")


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
