"""A spectral layer that is a sum of spectral layers: a bank of filters, global and local ones beside each other."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

import torch
from neuralop.layers.spectral_convolution import SpectralConv
from torch import Tensor, nn

from sciml.errors import ConfigError
from sciml.kernels import ops
from sciml.pde.models.spectral_conv import MonarchSpectralConv
from sciml.transforms import ByAxis, MonarchTransform, Transform
from sciml.transforms.inits import Init
from sciml.transforms.replace import has_hooks


@dataclass(frozen=True)
class Branch:
    """One term of a filter bank; what is not given is the network's.

    Args:
        init: What its transforms start from (`MonarchSpectralConv`).
        n_modes: Modes kept along each axis, of a local transform those of each block.
        heads: Groups of channels with transforms of their own.
        rank: Of its Monarch transforms.
        learnable: Whether its transforms are learned.
    """

    init: Init | ByAxis = "dft"
    n_modes: list[int] | None = None
    heads: int | None = None
    rank: int | None = None
    learnable: bool | None = None


class FilterBank(nn.Module):
    """v = Σ_b S_b·W_b·A_b·u + bias: spectral layers over the same channels, each with transforms, modes and heads.

    On one axis, where the layers have as many heads, their rows are stacked, A = [A_1; A_2; …] and S = [S_1, S_2, …],
    and it is one product. Else each layer is computed by itself and the next one adds to it in its last pass.

    Args:
        layers: of the same channels, grid and kind of data.

    Raises:
        ConfigError: no layers, or ones that do not belong together.
    """

    transform = SpectralConv.transform  # resampling of the skip connection, as in `MonarchSpectralConv`

    def __init__(self, layers: Sequence[MonarchSpectralConv]) -> None:
        super().__init__()
        alike = {(c.in_channels, c.out_channels, c.grid, c.out_grid, c.complex_data, c.separable) for c in layers}
        if len(alike) != 1:
            raise ConfigError(f"layers of {sorted(map(str, alike))}: expected the same channels, grid and data for all")
        self.layers = nn.ModuleList(layers)
        self.in_channels, self.out_channels, self.grid, self.out_grid, self.complex_data, self.separable = alike.pop()
        self.order = len(self.grid)
        self.resolution_scaling_factor = layers[0].resolution_scaling_factor

    @classmethod
    def of_branches(
        cls,
        in_channels: int,
        out_channels: int,
        n_modes: int | Sequence[int],
        *,
        branches: Sequence[Branch],
        transform: Callable[..., Transform] = MonarchTransform,
        bias: bool = True,
        **options: Any,
    ) -> Self:
        """The bank of these branches, of which the last has the bias; `options`: `MonarchSpectralConv`'s, for all."""
        if not branches:
            raise ConfigError("bank=[]: expected at least one branch")

        def layer(branch: Branch, bias: bool) -> MonarchSpectralConv:
            own = options | {"init": branch.init, "bias": bias, "transform": transform}
            given = {name: getattr(branch, name) for name in ("rank", "learnable") if getattr(branch, name) is not None}
            if given:
                own["transform"] = partial(transform, **given)
            if branch.heads is not None:
                own["heads"] = branch.heads
            if branch.n_modes is not None:
                own["max_n_modes"] = None
            modes = n_modes if branch.n_modes is None else branch.n_modes
            return MonarchSpectralConv(in_channels, out_channels, modes, **own)

        *first, last = branches
        return cls([*(layer(branch, False) for branch in first), layer(last, bias)])

    @classmethod
    def on_grid(cls, grid: int | Sequence[int], **options: Any) -> Callable[..., Self]:
        """`of_branches` bound to a grid and branches, for `neuralop.models.FNO(conv_module=…)`."""
        return partial(cls.of_branches, grid=grid, **options)

    @property
    def n_modes(self) -> list[int]:
        """Modes in use along each axis of the first layer; assigned, no layer uses more."""
        return self._convs[0].n_modes

    @n_modes.setter
    def n_modes(self, n_modes: int | Sequence[int]) -> None:
        for conv in self._convs:
            conv.kept.use_at_most(n_modes)

    def forward(
        self,
        x: Tensor,
        output_shape: Sequence[int] | None = None,
        *,
        skip: Tensor | None = None,
        gelu: bool = False,
    ) -> Tensor:
        """(batch, in_channels, …) to (batch, out_channels, …); arguments and errors as for `MonarchSpectralConv`."""
        *first, last = self._convs
        if self._stackable:
            x = last.checked(x)
            operands = _stacked([conv.operands(x.shape[2:], output_shape) for conv in self._convs])
            return ops.spectral_conv(x, *operands, last.bias, skip, gelu=gelu, backend=last.backend)
        for conv in first:
            skip = conv(x, output_shape, skip=skip)
        return last(x, output_shape, skip=skip, gelu=gelu)

    def resized(self, grid: int | Sequence[int]) -> Self:
        """A copy with factors for another grid over the same domain; see `MonarchSpectralConv.resized`."""
        return type(self)([conv.resized(grid) for conv in self._convs])

    @property
    def _convs(self) -> list[MonarchSpectralConv]:
        return [conv for conv in self.layers if isinstance(conv, MonarchSpectralConv)]

    @property
    def _stackable(self) -> bool:
        """One axis, as many heads on each side, one backend, and nobody who looks at the layers or adds to them."""
        *first, _ = self._convs
        sides = {(conv.analysis.heads, conv.synthesis.heads, conv.backend) for conv in self._convs}
        plain = not any(conv.bias is not None for conv in first) and not any(map(has_hooks, self._convs))
        return self.order == 1 and len(sides) == 1 and plain


def _stacked(
    operands: Sequence[tuple[list[ops.Axis], Tensor, list[ops.Axis]]],
) -> tuple[list[ops.Axis], Tensor, list[ops.Axis]]:
    """A, W and S of all layers as of one."""
    analyses, weights, syntheses = zip(*operands, strict=True)
    analysis = ops.Axis(lambda: torch.cat([axis.matrix() for (axis,) in analyses], 1))
    synthesis = ops.Axis(lambda: torch.cat([axis.matrix() for (axis,) in syntheses], 2))
    return [analysis], torch.cat(weights), [synthesis]
