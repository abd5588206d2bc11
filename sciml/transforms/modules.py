"""What torch's modules lack for transforms and for looking into networks."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Self

import torch
from torch import Tensor, nn


class Moved(nn.Module):
    """A module with a say in how `.to(…)`, `.double()`, `.to_empty(…)` and the like treat its tensors.

    All of them go through `_apply`, which is torch's own; nothing else here overrides it.
    """

    def moved(self, fn: Callable[[Tensor], Tensor], tensor: Tensor) -> Tensor:
        """What becomes of a tensor, the module's or of one inside, that torch would turn into fn(tensor)."""
        return fn(tensor)

    def after_move(self) -> None:
        """Called when all tensors have been moved."""

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        super()._apply(partial(self.moved, fn), recurse)
        self.after_move()
        return self


class Rowwise(Moved):
    """A module whose own tensors stay in row-major order whatever `.to(memory_format=…)` asks.

    `channels_last` is for images (batch, channels, y, x); `.to` gives it to every tensor of four axes and fails on
    one of five, though factors and mode weights are no images. So each tensor is moved and cast as a vector.
    """

    def moved(self, fn: Callable[[Tensor], Tensor], tensor: Tensor) -> Tensor:
        return fn(tensor.reshape(-1)).view(tensor.shape)


class PointwiseConv1d(nn.Conv1d):
    """nn.Conv1d with kernel size 1 as a matrix product, y[b] = W·x[b] + c: the same numbers, faster on a CPU."""

    def forward(self, input: Tensor) -> Tensor:
        weight = self.weight[:, :, 0].expand(input.shape[0], -1, -1)
        if self.bias is None:
            return torch.bmm(weight, input)
        return torch.baddbmm(self.bias[None, :, None], weight, input)


def is_pointwise(conv: nn.Conv1d | nn.Conv2d | nn.Conv3d) -> bool:
    """Whether a convolution is one matrix product of the channels at every point."""
    ones = (1,) * len(conv.kernel_size)
    unpadded = conv.padding in ("same", "valid") or not any(conv.padding)
    return conv.kernel_size == conv.stride == ones and unpadded and conv.groups == 1


@contextmanager
def left_as_it_was(module: nn.Module) -> Iterator[None]:
    """Afterwards every attribute of the module and of those inside is again the object that it was.

    For a run that only looks: modes, hooks, and what a layer remembers of its last input (neuralop's positional
    embedding keeps a grid, of the device and type it was first asked for). Values in tensors are not restored.
    """
    before = {inner: dict(vars(inner)) for inner in module.modules()}
    try:
        yield
    finally:
        for inner, attributes in before.items():
            vars(inner).clear()
            vars(inner).update(attributes)
