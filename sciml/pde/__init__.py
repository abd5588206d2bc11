"""Neural operators with learnable transforms, and the equations to train them on."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sciml.pde.burgers import solve_burgers
    from sciml.pde.data import PDEDataModule
    from sciml.pde.nets import fno, monarchize
    from sciml.pde.solver import solve_navier_stokes
    from sciml.pde.spectral_conv import MonarchSpectralConv

_MODULE = {
    "MonarchSpectralConv": "spectral_conv",
    "PDEDataModule": "data",
    "fno": "nets",
    "monarchize": "nets",
    "solve_burgers": "burgers",
    "solve_navier_stokes": "solver",
}
__all__ = ["MonarchSpectralConv", "PDEDataModule", "fno", "monarchize", "solve_burgers", "solve_navier_stokes"]


def __getattr__(name: str) -> Any:
    # On first use: neuralop and lightning take seconds to import, and a generator needs neither.
    if name not in _MODULE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULE[name]}"), name)
