"""FNO's spectral layer with learnable transforms, a drop-in for neuralop's SpectralConv."""

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Self

import torch
from neuralop.layers.spectral_convolution import SpectralConv
from neuralop.utils import validate_scaling_factor
from torch import Tensor, nn

from sciml.errors import ConfigError
from sciml.kernels import ops
from sciml.pde.models import neuralop_layer
from sciml.pde.models.modes import KeptModes, as_tuple, scaled
from sciml.transforms import DFT, ByAxis, Member, MonarchTransform, SeparableTransform, Transform
from sciml.transforms.inits import Init, as_members, of_axes
from sciml.transforms.modules import Rowwise


class MonarchSpectralConv(Rowwise):
    """v = S·W·A·u + b on 1-, 2- or 3-D fields: A and S are learnable, separable, and start as the truncated DFT.

        v[o, i…] = Re Σ_k… S_1[i_1, k_1] … S_d[i_d, k_d] Σ_c W[k…, c, o] Σ_j… A_1[k_1, j_1] … A_d[k_d, j_d] u[c, j…]

    At construction this is neuralop's SpectralConv (Li et al. 2021, section 4; Kovachki et al. 2023) with the same
    weights: A and S are orthonormal, which together equal neuralop's norm="forward". Both are a `SeparableTransform`,
    which says what heads mean and how another grid than that of construction is served, in training too; `resized`
    gives a layer whose factors are those of another grid.

    Args:
        in_channels, out_channels: of u and v.
        n_modes: as in neuralop: the m lowest frequencies (both signs) along every axis, of which the last keeps its
            m // 2 + 1 non-negative ones if the data are real. So many numbers they are too of a member that is real,
            and of each block of a local one. May be changed later by assignment, up to max_n_modes.
        grid: points along each axis.
        heads: groups of channels with transforms of their own.
        transform: the class of A and S, or what makes them with options: partial(MonarchTransform, learnable=False).
        init: what A starts from, S from its adjoint: a member, its word, a list for shares of the heads (see
            `Transform`), or `ByAxis`. Where all are real, so are the weights W.
        as_neuralop: of real data, along an odd leading axis, return each frequency lowered by one, as neuralop 2.0
            does (docs/decisions/0003): the same function at the start on any grid.
        neuralop_kwargs: the other keywords of neuralop's SpectralConv: those of `neuralop_layer.Keywords` mean what
            they mean there, the rest is taken at its defaults.

    Raises:
        ConfigError: modes, heads or channels out of range, or a neuralop keyword with a value that is not supported.
    """

    backend = "auto"  # what computes the layer (`sciml.kernels.dispatch`); may be set on any

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        n_modes: int | Sequence[int],
        *,
        grid: int | Sequence[int],
        heads: int = 1,
        transform: Callable[..., Transform] = MonarchTransform,
        init: Init | ByAxis = "dft",
        as_neuralop: bool = False,
        **neuralop_kwargs: Any,
    ) -> None:
        super().__init__()
        keywords = neuralop_layer.Keywords.among(neuralop_kwargs)
        _check_channels(in_channels, out_channels, keywords.separable)
        self.in_channels, self.out_channels = in_channels, out_channels
        self.complex_data, self.separable = keywords.complex_data, keywords.separable
        self.grid = as_tuple(grid)
        self.order = len(self.grid)
        self.init = of_axes(init, self.order)
        self.resolution_scaling_factor = validate_scaling_factor(keywords.resolution_scaling_factor, self.order)
        self.out_grid = scaled(self.grid, self.resolution_scaling_factor)
        if as_neuralop and self.complex_data:
            raise ConfigError("as_neuralop=True with complex_data=True: take the layer over by from_spectral_conv")
        members = [as_members(of_axis) for of_axis in self.init]
        if as_neuralop and any(of_axis != (DFT(),) for of_axis in members):
            raise ConfigError(f"as_neuralop=True with {init=}: neuralop's layer is the DFT's, remove one of them")
        self.real_weight = not self.complex_data and all(m.real for of_axis in members for m in of_axis)
        first = [of_axis[0] for of_axis in members]  # of a list of heads, the one that counts the modes
        for member, n in zip(first, self.grid, strict=True):
            member.check_size(n)
        half = self._halved(first)
        self.kept = KeptModes.counted(n_modes, keywords.max_n_modes, self.grid, half, first)
        shifts = [as_neuralop and n % 2 and not h for n, h in zip(self.grid, half, strict=True)]
        written = [range(f.start - s, f.stop - s) for f, s in zip(self.kept.rows, shifts, strict=True)]
        self._build_transforms(transform, heads, self.kept.rows, written)

        std = (2 / (in_channels + out_channels)) ** 0.5 if keywords.init_std == "auto" else float(keywords.init_std)
        # (m_1, …, m_d, in, 2, out), real and imaginary part on the axis before the last; (m_1, …, m_d, 2, channels).
        # Real weights have the real part alone.
        self.weight = nn.Parameter(self._drawn(std))
        self.bias = nn.Parameter(std * torch.randn(out_channels, *[1] * self.order)) if keywords.bias else None

    def _drawn(self, std: float) -> Tensor:
        """Complex normal weights, number for number those that neuralop draws; or real ones of the same variance."""
        channels = [self.in_channels] if self.separable else [self.in_channels, self.out_channels]
        dtype = torch.get_default_dtype() if self.real_weight else torch.get_default_dtype().to_complex()
        drawn = torch.empty(*channels, *map(len, self.kept.rows), dtype=dtype).normal_(0, std)
        modes_first = drawn.movedim(tuple(range(len(channels))), tuple(range(-len(channels), 0)))
        parts = modes_first[..., None] if self.real_weight else torch.view_as_real(modes_first)
        return parts.movedim(-1, -2).contiguous()

    def _build_transforms(
        self, transform: Callable[..., Transform], heads: int, analysis: Sequence[range], synthesis: Sequence[range]
    ) -> None:
        """Make A for `grid` and S for `out_grid`, of the rows read and written along each axis."""
        self.analysis = SeparableTransform(
            transform(n, modes=rows, heads=heads, init=init)
            for n, rows, init in zip(self.grid, analysis, self.init, strict=True)
        )
        self.synthesis = SeparableTransform(
            transform(n, modes=rows, inverse=True, real=real, heads=heads, init=init)
            for n, rows, real, init in zip(self.out_grid, synthesis, self._real_axes(synthesis), self.init, strict=True)
        )

    def _halved(self, members: Sequence[Member]) -> list[bool]:
        """Of real data, the last axis whose rows are of conjugate pairs needs the half of them."""
        pairs = [axis for axis, member in enumerate(members) if member.pairs and not self.complex_data]
        return [axis == max(pairs, default=None) for axis in range(self.order)]

    def _real_axes(self, rows: Sequence[range]) -> list[bool]:
        """Where a synthesis counts conjugate rows twice: on the half axis; else on the last, where some heads may."""
        if self.complex_data or any(self.kept.half):
            return self.kept.half
        return [axis == self.order - 1 and rows[axis].start >= 0 for axis in range(self.order)]

    @classmethod
    def on_grid(cls, grid: int | Sequence[int], **options: Any) -> Callable[..., Self]:
        """This class bound to a grid (and heads, transform), for `neuralop.models.FNO(conv_module=…)`."""
        return partial(cls, grid=grid, **options)  # which pickles, with the model's settings and by itself

    @classmethod
    def from_spectral_conv(
        cls,
        conv: SpectralConv,
        grid: int | Sequence[int],
        heads: int = 1,
        transform: Callable[..., Transform] = MonarchTransform,
        *,
        out_grid: Sequence[int] | None = None,
        corrected: bool = False,
    ) -> Self:
        """The same function as a (trained) neuralop SpectralConv on this grid, with learnable transforms.

        Its quirks are part of the trained function and are kept at this grid: on an odd leading axis neuralop 2.0
        shifts twice by fftshift and so returns every frequency lowered by one; for complex data the last axis keeps
        the frequencies from -(n // 2) up and returns them from 0 up. Weights in reserve (max_n_modes above n_modes)
        are kept as far as the grid has their frequencies. What is frozen stays so, and the transforms are, if the
        whole layer is.

        Output on another grid than the input (resolution_scaling_factor, output_shape) is the exception: there
        neuralop writes negative frequencies of the leading axes to wrong places, which no transform here can.

        Args:
            conv, grid: the layer and the points along each axis of its input.
            heads, transform: as in the constructor.
            out_grid: of the output, where it is not the scaled grid.
            corrected: write those frequencies to the right places, another function than neuralop's.

        Raises:
            ConfigError: the layer is factorized, in reduced precision, changed by the user, or its function cannot be
                kept.
        """
        neuralop_layer.refuse_other_functions(conv)
        grid = as_tuple(grid)
        out_grid = scaled(grid, conv.resolution_scaling_factor) if out_grid is None else tuple(out_grid)
        modes = neuralop_layer.modes_on_grid(conv, grid)
        if not corrected:
            neuralop_layer.refuse_misplaced(conv, grid, out_grid, modes)
        *counts, last = (len(axis.read) for axis in modes)
        n_modes = [*counts, last if conv.complex_data else max(1, 2 * (last - 1))]
        own = {name: getattr(conv, name) for name in ("separable", "complex_data", "resolution_scaling_factor")}
        own |= {"bias": conv.bias is not None, "heads": heads, "transform": transform}
        new = cls(conv.in_channels, conv.out_channels, n_modes, grid=grid, **own)
        new.out_grid = out_grid
        new.kept = replace(new.kept, used=[axis.used for axis in modes], centre=[axis.centre for axis in modes])
        new._build_transforms(transform, heads, [axis.read for axis in modes], [axis.written for axis in modes])
        new.to(*neuralop_layer.device_and_type(conv))
        neuralop_layer.copy_parameters(conv, modes, new.weight, new.bias)
        for t in (*new.analysis.axes, *new.synthesis.axes):
            t.requires_grad_(any(p.requires_grad for p in conv.parameters()))
            if new.weight.dtype != torch.get_default_dtype():
                t.reset()
        return new

    @property
    def n_modes(self) -> list[int]:
        """Modes in use along each axis, counted as in neuralop: of the last axis the non-negative ones if real."""
        return list(self.kept.used)

    @n_modes.setter
    def n_modes(self, n_modes: int | Sequence[int]) -> None:
        self.kept.use(n_modes, self.grid)

    @property
    def max_n_modes(self) -> list[int]:
        """Modes along each axis for which there are weights."""
        return list(self.kept.held)

    transform = SpectralConv.transform  # resampling of the skip connection: not ours to change

    def forward(
        self,
        x: Tensor,
        output_shape: Sequence[int] | None = None,
        *,
        skip: Tensor | None = None,
        gelu: bool = False,
    ) -> Tensor:
        """(batch, in_channels, n_1, …, n_d) to (batch, out_channels, n_1', …, n_d'), n' = n unless scaled.

        With `skip`, of the result's shape, v + skip; with `gelu`, the GELU of that: both in the layer's last pass.

        Raises ValueError for integers, for complex fields where the layer is for real ones, and for other channels.
        """
        x = self.checked(x)
        operands = self.operands(tuple(x.shape[2:]), output_shape)
        return ops.spectral_conv(x, *operands, self.bias, skip, gelu=gelu, backend=self.backend)

    def operands(
        self, grid: Sequence[int], output_shape: Sequence[int] | None = None
    ) -> tuple[list[ops.Axis], Tensor, list[ops.Axis]]:
        """A, W and S for fields on this grid, as `ops.spectral_conv` takes them."""
        grid = tuple(grid)
        out_grid = scaled(grid, self.resolution_scaling_factor) if output_shape is None else tuple(output_shape)
        used = self.kept.slices(grid, out_grid)
        weight = self.weight[used]
        if self.real_weight:
            weight = torch.cat([weight, torch.zeros_like(weight)], -2)
        if out_grid != grid:  # orthonormal transforms of unequal size: 1/√n of each, where 1/n_in is wanted
            weight = weight * math.sqrt(math.prod(out_grid) / math.prod(grid))
        analysis = self.analysis.on(grid, self.in_channels, used)
        return analysis, weight, self.synthesis.on(out_grid, self.out_channels, used)

    def resized(self, grid: int | Sequence[int]) -> Self:
        """A copy with factors for another grid over the same domain, transforms and weights in reserve carried over."""
        new = copy.deepcopy(self)
        new.grid = as_tuple(grid)
        new.out_grid = scaled(new.grid, self.resolution_scaling_factor)
        if self.out_grid != scaled(self.grid, self.resolution_scaling_factor):
            ratios = [out / n for out, n in zip(self.out_grid, self.grid, strict=True)]
            new.out_grid = scaled(new.grid, ratios)
        held = self.kept.slices(new.grid, new.out_grid, reserve=True)
        new.kept = self.kept.only(held)
        new.weight = nn.Parameter(self.weight[held].detach().clone(), self.weight.requires_grad)
        new.analysis = self.analysis.resized(new.grid, held)
        new.synthesis = self.synthesis.resized(new.out_grid, held)
        return new

    def extra_repr(self) -> str:
        return f"{self.in_channels}, {self.out_channels}, n_modes={self.n_modes}, grid={self.grid}"

    def checked(self, x: Tensor) -> Tensor:
        """x, or complex x where the layer is for complex data (neuralop's takes real fields there too)."""
        if x.ndim != self.order + 2:
            raise ValueError(f"x {tuple(x.shape)}: expected (batch, channel) and a grid of {self.order} axes")
        if not (x.is_floating_point() or x.is_complex()):
            raise ValueError(f"x holds {x.dtype}: a spectral layer works on floating-point fields, use x.float()")
        if x.is_complex() and not self.complex_data:
            raise ValueError(
                f"x holds {x.dtype}: this layer is for real fields, complex_data=True makes one for complex"
            )
        return x.to(torch.promote_types(x.dtype, torch.complex64)) if self.complex_data else x


def _check_channels(in_channels: int, out_channels: int, separable: bool) -> None:
    if in_channels < 1 or out_channels < 1:
        raise ConfigError(f"{in_channels=} and {out_channels=}: both must be at least 1")
    if separable and in_channels != out_channels:
        raise ConfigError(f"separable weights need {in_channels=} equal to {out_channels=}")
