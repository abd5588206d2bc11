"""Neural operators with learnable transforms, and the equations to train them on."""
# ruff: noqa: F401 - the names below, for type checkers

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sciml.pde.data import PDEData, PDEDataModule
    from sciml.pde.equations.burgers import Burgers, generate_burgers, solve_burgers
    from sciml.pde.equations.navier_stokes import NavierStokes, generate_navier_stokes, solve_navier_stokes
    from sciml.pde.losses import RelativeL2Loss
    from sciml.pde.models.fno import fno, monarchize
    from sciml.pde.models.spectral_conv import MonarchSpectralConv
    from sciml.pde.results.evaluation import Evaluation
    from sciml.pde.results.predictions import Predictions, read_predictions, write_predictions
    from sciml.pde.results.storage import read_evaluation, write_evaluation
    from sciml.pde.symmetry import Symmetry
    from sciml.pde.task import PDETask

_NAMES = {
    "data": ["PDEData", "PDEDataModule"],
    "equations.burgers": ["Burgers", "generate_burgers", "solve_burgers"],
    "equations.navier_stokes": ["NavierStokes", "generate_navier_stokes", "solve_navier_stokes"],
    "losses": ["RelativeL2Loss"],
    "models.fno": ["fno", "monarchize"],
    "models.spectral_conv": ["MonarchSpectralConv"],
    "results.evaluation": ["Evaluation"],
    "results.predictions": ["Predictions", "read_predictions", "write_predictions"],
    "results.storage": ["read_evaluation", "write_evaluation"],
    "symmetry": ["Symmetry"],
    "task": ["PDETask"],
}
_MODULE = {name: module for module, names in _NAMES.items() for name in names}
__all__ = sorted(_MODULE.keys() - {"PDEDataModule"})  # a second name


def __getattr__(name: str) -> Any:
    # On first use: neuralop and lightning take seconds to import, and a generator needs neither.
    if name not in _MODULE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULE[name]}"), name)
