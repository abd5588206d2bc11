"""Multi-coil MRI: fastMRI files, masks, coils, simulation, and reconstruction networks with learnable transforms."""

from importlib import import_module
from typing import Any

_HOME = {
    "Fourier2d": "fourier",
    "ImageUNet": "unet",
    "MRIDataModule": "data",
    "Mask": "masks",
    "MoDL": "modl",
    "Sense": "sense",
    "SenseOperator": "sense",
    "SliceBatch": "batches",
    "VarNet": "varnet",
    "espirit_maps": "coils",
    "fft2c": "fourier",
    "generate_mri": "simulate",
    "ifft2c": "fourier",
    "undersampling_mask": "masks",
}
__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    """Modules are imported when a name is first asked for: h5py, scipy and sigpy take their time."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
