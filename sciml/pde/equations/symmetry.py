"""Symmetries that carry a solution into a solution, to make few trajectories into more.

**Flow forced as FNO's.** f = F(x + y), F(ξ) = 0.1 (sin 2πξ + cos 2πξ), and the vorticity equation on the torus are left
as they are by three maps and their products:

    translation along the forcing's lines    w'(x, y) = w(x - s, y + s)
    rotation by half a turn                  w'(x, y) = w(1/4 - x, -y)          since F(1/4 - ξ) = F(ξ)
    reflection of the pseudoscalar w         w'(x, y) = -w(y + 1/2, x)          since F(ξ + 1/2) = -F(ξ)

**Burgers between walls** is left as it is by u'(x) = -u(1 - x), which exchanges the walls.

The FFT layer commutes with translations by itself; a learned transform does not, and has to be taught.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from torch import Tensor

from sciml.errors import ConfigError
from sciml.pde.equations.random_fields import FORCING


def flow_symmetry(fields: Tensor, *, shift: int, rotate: bool, reflect: bool) -> Tensor:
    """Fields (…, y, x), n×n with n a multiple of 4, under a reflection, then a rotation, then a translation."""
    n = fields.shape[-1]
    if reflect:
        fields = -fields.roll(-n // 2, -1).mT
    if rotate:
        fields = fields.flip(-2, -1).roll((1, n // 4 + 1), (-2, -1))
    return fields.roll((-shift, shift), (-2, -1))


def wall_symmetry(fields: Tensor, *, reflect: bool) -> Tensor:
    """Cell means (…, x) between walls, reflected or not."""
    return -fields.flip(-1) if reflect else fields


def random_symmetry(fields: Tensor, rng: np.random.Generator) -> Tensor:
    """Fields of one sample, (frames, y, x) of a flow or (frames, x) between walls, under a symmetry drawn uniformly."""
    n = fields.shape[-1]
    if fields.ndim == 2:
        return wall_symmetry(fields, reflect=bool(rng.integers(2)))
    shift, rotate, reflect = (int(rng.integers(top)) for top in (n, 2, 2))
    return flow_symmetry(fields, shift=shift, rotate=bool(rotate), reflect=bool(reflect))


def check_symmetric(attributes: Mapping[str, object], grid: Sequence[int]) -> None:
    """Raise ConfigError unless the data's equation has the symmetries that `random_symmetry` draws from."""
    if attributes.get("equation") == "burgers":
        return
    found = attributes.get("forcing")
    if not isinstance(found, str) or found != FORCING:
        raise ConfigError(f"augment: the data has the forcing {found!r}; known are the symmetries of {FORCING!r}")
    if len(set(grid)) != 1 or grid[0] % 4:
        raise ConfigError(f"augment: the grid is {tuple(grid)}, expected a square one of a multiple of 4 points")
