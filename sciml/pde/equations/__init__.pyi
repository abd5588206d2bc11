from .burgers import Burgers as Burgers
from .navier_stokes import NavierStokes as NavierStokes
