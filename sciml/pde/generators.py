"""What `sciml data` makes of fields; imports nothing that takes time."""

from sciml.io.generator import Generator

GENERATORS = {
    "navier-stokes": Generator(
        "sciml.pde.equations.navier_stokes:generate_navier_stokes",
        "vorticity on the torus, as in the FNO paper",
        """\
usage: sciml data navier-stokes --out FILE.h5 --viscosity NU --n-samples N ...

FNO's Navier-Stokes data: vorticity on the unit torus, one frame a unit of time. The same command again continues;
a larger n-samples appends. Words are joined by - or _.

  out                   HDF5 file to write
  viscosity             kinematic viscosity; FNO's data use 1e-3 (t-final 50), 1e-4 (30), 1e-5 (20)
  n-samples             samples that the file shall hold
  grid                  [64] points stored along each axis; a divisor of solver-grid
  solver-grid           [64] points computed along each axis
  t-final               [20.0] last time stored, a whole number
  dt                    [0.005] time step of the solver
  seed                  [0] of the initial fields
  batch-size            [16] samples computed together, and lost if the program is killed
  device                [cpu] torch device that computes, cpu or cuda
""",
    ),
    "burgers": Generator(
        "sciml.pde.equations.burgers:generate_burgers",
        "viscous Burgers between walls",
        """\
usage: sciml data burgers --out FILE.h5 --n-samples N ...

Viscous Burgers on an interval, wall values drawn for each sample. The same command again continues; a larger n-samples
appends. Words are joined by - or _.

  out                   HDF5 file to write
  n-samples             samples that the file shall hold
  viscosity             [0.01] kinematic viscosity
  grid                  [512] cells stored; a divisor of solver-grid
  solver-grid           [512] cells computed; at least 1.73/viscosity
  t-final               [1.0] last time stored
  n-frames              [11] equally spaced times stored, with the initial one
  dt                    [0.0005] time step of the solver; at most 0.29/solver-grid
  seed                  [0] of the initial and wall values
  batch-size            [50] samples computed together, and lost if the program is killed
""",
    ),
}
