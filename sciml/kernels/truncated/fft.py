"""FNO's spectral layer with fixed transforms: FFTs along one axis after the other, of which only kept modes go on."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from sciml.kernels.truncated.layer import mix
from sciml.kernels.truncated.reference import End

AlongAxis = Callable[[Tensor, int], Tensor]  # a fixed transform, of one axis of a field


def spectral_conv(
    x: Tensor,
    analysis: Sequence[AlongAxis],
    weight: Tensor,
    synthesis: Sequence[AlongAxis],
    end: End,
) -> Tensor:
    """Equal to `reference.spectral_conv` with the matrices of these transforms."""
    d = len(analysis)
    spectrum = x
    for axis in reversed(range(d)):  # the last first: real data are halved there
        spectrum = analysis[axis](spectrum, axis - d)
    modes_first = torch.view_as_real(spectrum).permute(*range(2, d + 3), 0, 1)
    with torch.autocast(x.device.type, enabled=False):
        mixed = mix(modes_first, weight).permute(d + 1, d + 2, *range(d + 1))
    y = torch.view_as_complex(mixed.contiguous())
    for axis in range(d):
        y = synthesis[axis](y, axis - d)
    return end.of(y)
