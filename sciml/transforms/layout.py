"""Parameters to which a memory format of images means nothing."""

from collections.abc import Callable
from typing import Self

from torch import Tensor, nn


class Rowwise(nn.Module):
    """A module whose own tensors stay in row-major order whatever `.to(memory_format=…)` asks.

    `channels_last` is for images (batch, channels, y, x); `.to` gives it to every tensor of four axes and fails on
    one of five, though factors and mode weights are no images. So each tensor is moved and cast as a vector.
    """

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        return super()._apply(lambda tensor: fn(tensor.reshape(-1)).view(tensor.shape), recurse)
