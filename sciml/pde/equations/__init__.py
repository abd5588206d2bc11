"""The equations whose data `sciml data` makes."""

from sciml.pde.equations.burgers import Burgers
from sciml.pde.equations.navier_stokes import NavierStokes

__all__ = ["Burgers", "NavierStokes"]
