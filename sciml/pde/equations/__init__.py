"""The equations whose data `sciml data` makes."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sciml.pde.equations.burgers import Burgers
    from sciml.pde.equations.navier_stokes import NavierStokes

_MODULE = {"Burgers": "burgers", "NavierStokes": "navier_stokes"}
__all__ = ["Burgers", "NavierStokes"]


def __getattr__(name: str) -> Any:
    if name not in _MODULE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULE[name]}"), name)
