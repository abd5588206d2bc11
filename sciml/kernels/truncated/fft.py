"""FNO's spectral layer with fixed transforms: FFTs along one axis after the other, of which only kept modes go on."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from sciml.kernels.truncated import layer as truncated
from sciml.kernels.truncated import reference

AlongAxis = Callable[[Tensor, int], Tensor]

# Where FFTs are at least as fast, without and with a backward:
_SMALL = 2**18  # numbers in a field up to which they always are, by fewer calls
_SHORT = 32  # points of the last axis up to which they always are
_ALONE, _ALONE_TRAINING = 4096, 1024  # points of an only axis below which they are
_PRODUCTS, _PRODUCTS_TRAINING = 50, 200  # for each point, from which on they are


def spectral_conv(
    x: Tensor,
    analysis: Sequence[AlongAxis],
    weight: Tensor,
    synthesis: Sequence[AlongAxis],
    bias: Tensor | None = None,
    skip: Tensor | None = None,
    *,
    gelu: bool = False,
) -> Tensor:
    """Equal to `reference.layer` with the matrices of these transforms; each is applied to one axis of a field."""
    d = len(analysis)
    spectrum = x
    for axis in reversed(range(d)):  # the last first: real data are halved there
        spectrum = analysis[axis](spectrum, axis - d)
    modes_first = torch.view_as_real(spectrum).permute(*range(2, d + 3), 0, 1)
    with torch.autocast(x.device.type, enabled=False):
        mixed = truncated.mix(modes_first, weight).permute(d + 1, d + 2, *range(d + 1))
    y = torch.view_as_complex(mixed.contiguous())
    for axis in range(d):
        y = synthesis[axis](y, axis - d)
    return reference.ended(y, bias, skip, gelu)


def pays(x: Tensor, modes: Sequence[int], *, training: bool) -> bool:
    """Whether FFTs take less time than dense products on a CPU, by the products for each point of the field.

    FFTs cost about the same for any number of modes, and much more with a backward, which goes through complex fields.
    The limits were fitted to fields of one to three axes, 32 to 8192 points along each (benchmarks/more_shapes.py).
    """
    if x.device.type != "cpu" or x.dtype not in (torch.float32, torch.float64, torch.complex64, torch.complex128):
        return False
    grid = x.shape[2:]
    if x.numel() <= _SMALL or grid[-1] <= _SHORT:
        return True
    products, left = 0.0, 1.0  # of the points, what is left when an axis is transformed
    for m, n in zip(reversed(modes), reversed(grid), strict=True):
        products += left * m * (2 if left == 1 and not x.is_complex() else 4)
        left *= m / n
    alone, most = (_ALONE_TRAINING, _PRODUCTS_TRAINING) if training else (_ALONE, _PRODUCTS)
    return products > most or (len(grid) == 1 and grid[0] < alone)
