"""Multi-coil MRI: fastMRI files, masks, coils, simulation, and reconstruction networks with learnable transforms."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sciml.mri.batches import SliceBatch
    from sciml.mri.coils import espirit_maps
    from sciml.mri.data import MRIDataModule
    from sciml.mri.fourier import Fourier2d, fft2c, ifft2c
    from sciml.mri.masks import Mask, undersampling_mask
    from sciml.mri.modl import MoDL
    from sciml.mri.sense import Sense, SenseOperator
    from sciml.mri.simulate import generate_mri
    from sciml.mri.unet import ImageUNet
    from sciml.mri.varnet import VarNet

_MODULE = {
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
__all__ = [
    "Fourier2d",
    "ImageUNet",
    "MRIDataModule",
    "Mask",
    "MoDL",
    "Sense",
    "SenseOperator",
    "SliceBatch",
    "VarNet",
    "espirit_maps",
    "fft2c",
    "generate_mri",
    "ifft2c",
    "undersampling_mask",
]


def __getattr__(name: str) -> Any:
    # On first use: h5py, scipy and sigpy take their time to import.
    if name not in _MODULE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULE[name]}"), name)
