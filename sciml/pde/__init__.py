"""Neural operators with learnable transforms, and the equations to train them on."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sciml.pde.data import PDEData
    from sciml.pde.data import PDEDataModule as PDEDataModule
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

_MODULE = {
    "Burgers": "equations.burgers",
    "Evaluation": "results.evaluation",
    "Predictions": "results.predictions",
    "read_evaluation": "results.storage",
    "read_predictions": "results.predictions",
    "write_evaluation": "results.storage",
    "write_predictions": "results.predictions",
    "MonarchSpectralConv": "models.spectral_conv",
    "NavierStokes": "equations.navier_stokes",
    "PDEData": "data",
    "PDEDataModule": "data",
    "PDETask": "task",
    "RelativeL2Loss": "losses",
    "Symmetry": "symmetry",
    "fno": "models.fno",
    "generate_burgers": "equations.burgers",
    "generate_navier_stokes": "equations.navier_stokes",
    "monarchize": "models.fno",
    "solve_burgers": "equations.burgers",
    "solve_navier_stokes": "equations.navier_stokes",
}
__all__ = [
    "Burgers",
    "Evaluation",
    "MonarchSpectralConv",
    "NavierStokes",
    "PDEData",
    "PDETask",
    "Predictions",
    "RelativeL2Loss",
    "Symmetry",
    "fno",
    "generate_burgers",
    "generate_navier_stokes",
    "monarchize",
    "read_evaluation",
    "read_predictions",
    "solve_burgers",
    "solve_navier_stokes",
    "write_evaluation",
    "write_predictions",
]


def __getattr__(name: str) -> Any:
    # On first use: neuralop and lightning take seconds to import, and a generator needs neither.
    if name not in _MODULE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULE[name]}"), name)
