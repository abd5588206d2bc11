"""Multi-coil MRI: fastMRI files, masks, coils, simulation, and reconstruction networks with learnable transforms."""

# ruff: noqa: F401 - the imports below are the names of __all__, for editors and type checkers

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sciml.mri.batches import SliceBatch
    from sciml.mri.data import MRIData, MRIDataModule
    from sciml.mri.losses import SSIMLoss
    from sciml.mri.models.modl import MoDL
    from sciml.mri.models.sense import Sense, SenseOperator
    from sciml.mri.models.unet import ImageUNet
    from sciml.mri.models.varnet import VarNet
    from sciml.mri.physics.fourier import Fourier2d, fft2c, ifft2c
    from sciml.mri.physics.maps import espirit_maps
    from sciml.mri.physics.masks import Mask, undersampling_mask
    from sciml.mri.physics.moved import MovedObject
    from sciml.mri.physics.simulate import generate_mri
    from sciml.mri.reconstructions import read_reconstructions, write_reconstructions
    from sciml.mri.results import write_images
    from sciml.mri.task import MRITask

_MODULE = {
    "SSIMLoss": "losses",
    "read_reconstructions": "reconstructions",
    "write_images": "results",
    "write_reconstructions": "reconstructions",
    "Fourier2d": "physics.fourier",
    "ImageUNet": "models.unet",
    "MRIData": "data",
    "MRIDataModule": "data",
    "MRITask": "task",
    "Mask": "physics.masks",
    "MoDL": "models.modl",
    "MovedObject": "physics.moved",
    "Sense": "models.sense",
    "SenseOperator": "models.sense",
    "SliceBatch": "batches",
    "VarNet": "models.varnet",
    "espirit_maps": "physics.maps",
    "fft2c": "physics.fourier",
    "generate_mri": "physics.simulate",
    "ifft2c": "physics.fourier",
    "undersampling_mask": "physics.masks",
}
__all__ = sorted(set(_MODULE) - {"MRIDataModule"})


def __getattr__(name: str) -> Any:
    # On first use: h5py, scipy and sigpy take their time to import.
    if name not in _MODULE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULE[name]}"), name)
