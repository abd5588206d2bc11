"""FNO's spectral layer with learnable transforms, a drop-in for neuralop's SpectralConv."""

import copy
import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Self

import torch
from neuralop.layers.spectral_convolution import SpectralConv
from neuralop.utils import validate_scaling_factor
from torch import Tensor, nn

from sciml.errors import ConfigError
from sciml.kernels import ops
from sciml.pde.models import neuralop_layer
from sciml.transforms import FourierTransform, MonarchTransform, Transform
from sciml.transforms.factors import lowest
from sciml.transforms.modules import Rowwise


class MonarchSpectralConv(Rowwise):
    """v = S·W·A·u + b on 1-, 2- or 3-D fields: A and S are learnable, separable and start as the truncated DFT.

        v[o, i…] = Re Σ_k… S_1[i_1, k_1] … S_d[i_d, k_d] Σ_c W[k…, c, o] Σ_j… A_1[k_1, j_1] … A_d[k_d, j_d] u[c, j…]

    At construction this is neuralop's SpectralConv (Li et al. 2021, section 4; Kovachki et al. 2023) with the same
    weights: A and S are orthonormal, which together equal neuralop's norm="forward". A grid other than the one of
    construction is served by `Transform.matrix_at`, without gradients for the factors; `resized` gives a layer to
    train.

    Args:
        in_channels, out_channels: each a multiple of `heads`.
        n_modes: as in neuralop: the m lowest frequencies (both signs) along every axis, of which the last keeps its
            m // 2 + 1 non-negative ones if the data are real. May be changed later by assignment, up to max_n_modes.
        grid: points along each axis.
        heads: groups of channels with transforms of their own.
        transform: the class of A and S.
        bias, separable, complex_data, max_n_modes, resolution_scaling_factor, init_std: as in neuralop.
        neuralop_kwargs: the remaining keywords of neuralop's SpectralConv, at their defaults.

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
        transform: type[Transform] = MonarchTransform,
        bias: bool = True,
        separable: bool = False,
        complex_data: bool = False,
        max_n_modes: int | Sequence[int] | None = None,
        resolution_scaling_factor: float | Sequence[float] | None = None,
        init_std: float | str = "auto",
        **neuralop_kwargs: Any,
    ) -> None:
        super().__init__()
        neuralop_layer.refuse_unsupported(neuralop_kwargs)
        _check_channels(in_channels, out_channels, heads, separable)
        self.in_channels, self.out_channels = in_channels, out_channels
        self.complex_data, self.separable = complex_data, separable
        self.grid = _as_tuple(grid)
        self.order = len(self.grid)
        self.resolution_scaling_factor = validate_scaling_factor(resolution_scaling_factor, self.order)
        self.out_grid = scaled(self.grid, self.resolution_scaling_factor)
        self.max_n_modes = self._count_modes(n_modes if max_n_modes is None else max_n_modes)
        self.n_modes = n_modes  # the setter takes what neuralop assigns
        half = self._half_axes()
        frequencies = [range(m) if h else lowest(m) for m, h in zip(self.max_n_modes, half, strict=True)]
        self._centre = [-f.start for f in frequencies]  # the index of the frequency 0, around which modes are used
        self._build_transforms(transform, heads, frequencies, frequencies)

        std = (2 / (in_channels + out_channels)) ** 0.5 if init_std == "auto" else float(init_std)
        channels = (2, in_channels) if separable else (in_channels, 2, out_channels)
        # neuralop draws complex normal weights: half of the variance for each part.
        self.weight = nn.Parameter(torch.randn(*self.max_n_modes, *channels) * (std / 2**0.5))
        self.bias = nn.Parameter(std * torch.randn(out_channels, *[1] * self.order)) if bias else None

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
        transform: type[Transform] = MonarchTransform,
        *,
        out_grid: Sequence[int] | None = None,
        corrected: bool = False,
    ) -> Self:
        """The same function as a (trained) neuralop SpectralConv on this grid, with learnable transforms.

        Its quirks are part of the trained function and are kept at this grid: on an odd leading axis neuralop
        2.0 shifts twice by fftshift and so returns every frequency lowered by one; for complex data the last axis
        keeps the frequencies from -(n // 2) up and returns them from 0 up. Weights in reserve (max_n_modes above
        n_modes) are kept as far as the grid has their frequencies. What is frozen stays so, and the transforms are,
        if the whole layer is.

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
        grid = _as_tuple(grid)
        out_grid = scaled(grid, conv.resolution_scaling_factor) if out_grid is None else tuple(out_grid)
        modes = neuralop_layer.modes_on_grid(conv, grid)
        if not corrected:
            neuralop_layer.refuse_misplaced(conv, grid, out_grid, modes)
        counts = [len(axis.read) for axis in modes]
        new = cls(
            conv.in_channels,
            conv.out_channels,
            [*counts[:-1], counts[-1] if conv.complex_data else max(1, 2 * (counts[-1] - 1))],
            grid=grid,
            heads=heads,
            transform=transform,
            bias=conv.bias is not None,
            separable=conv.separable,
            complex_data=conv.complex_data,
            resolution_scaling_factor=conv.resolution_scaling_factor,
        )
        new.out_grid = out_grid
        new._n_modes, new._centre = [axis.used for axis in modes], [axis.centre for axis in modes]
        new._build_transforms(transform, heads, [axis.read for axis in modes], [axis.written for axis in modes])
        new.to(*neuralop_layer.device_and_type(conv))
        neuralop_layer.copy_parameters(conv, modes, new.weight, new.bias)
        for t in (*new.analysis, *new.synthesis):
            t.requires_grad_(any(p.requires_grad for p in conv.parameters()))
            if new.weight.dtype != torch.get_default_dtype():
                t.reset()
        return new

    @property
    def n_modes(self) -> list[int]:
        """Modes in use along each axis, counted as in neuralop: of the last axis the non-negative ones if real."""
        return list(self._n_modes)

    @n_modes.setter
    def n_modes(self, n_modes: int | Sequence[int]) -> None:
        modes = self._count_modes(n_modes)
        if any(m > most for m, most in zip(modes, self.max_n_modes, strict=True)):
            raise ConfigError(f"{n_modes=} keeps {modes} modes; this layer holds weights for {self.max_n_modes}")
        self._n_modes = modes

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
        x = self._checked(x)
        grid = tuple(x.shape[2:])
        out_grid = scaled(grid, self.resolution_scaling_factor) if output_shape is None else tuple(output_shape)
        used = self._slices(self._n_modes, grid, out_grid)
        weight = self.weight[used]
        if out_grid != grid:  # orthonormal transforms of unequal size: 1/√n of each, where 1/n_in is wanted
            weight = weight * math.sqrt(math.prod(out_grid) / math.prod(grid))
        return ops.spectral_conv(
            x,
            [self._axis(t, n, s) for t, n, s in zip(self.analysis, grid, used, strict=True)],
            weight,
            [self._axis(t, n, s) for t, n, s in zip(self.synthesis, out_grid, used, strict=True)],
            self.bias,
            skip,
            gelu=gelu,
            backend=self.backend,
        )

    def resized(self, grid: int | Sequence[int]) -> Self:
        """A copy to train on another grid over the same domain, its transforms and weights in reserve carried over."""
        new = copy.deepcopy(self)
        new.grid = _as_tuple(grid)
        new.out_grid = scaled(new.grid, self.resolution_scaling_factor)
        if self.out_grid != scaled(self.grid, self.resolution_scaling_factor):
            ratios = [out / n for out, n in zip(self.out_grid, self.grid, strict=True)]
            new.out_grid = scaled(new.grid, ratios)
        kept = self._slices(self.max_n_modes, new.grid, new.out_grid)
        new.max_n_modes = [s.stop - s.start for s in kept]
        new._n_modes = [min(m, most) for m, most in zip(self._n_modes, new.max_n_modes, strict=True)]
        new._centre = [centre - s.start for centre, s in zip(self._centre, kept, strict=True)]
        new.weight = nn.Parameter(self.weight[kept].detach().clone(), self.weight.requires_grad)
        for side, sizes_of_side in ((new.analysis, new.grid), (new.synthesis, new.out_grid)):
            for axis, (n, s) in enumerate(zip(sizes_of_side, kept, strict=True)):
                side[axis] = _resized(side[axis], n, s)
        return new

    def extra_repr(self) -> str:
        return f"{self.in_channels}, {self.out_channels}, n_modes={self.n_modes}, grid={self.grid}"

    def _build_transforms(
        self, transform: type[Transform], heads: int, analysis: Sequence[range], synthesis: Sequence[range]
    ) -> None:
        half = self._half_axes()
        self.analysis = nn.ModuleList(
            transform(n, modes=f, heads=heads) for n, f in zip(self.grid, analysis, strict=True)
        )
        self.synthesis = nn.ModuleList(
            transform(n, modes=f, inverse=True, real=h, heads=heads)
            for n, f, h in zip(self.out_grid, synthesis, half, strict=True)
        )

    def _checked(self, x: Tensor) -> Tensor:
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

    def _half_axes(self) -> list[bool]:
        """Which axes keep non-negative frequencies only: the last one of real data."""
        return [False] * (self.order - 1) + [not self.complex_data]

    def _count_modes(self, n_modes: int | Sequence[int]) -> list[int]:
        n_modes = _as_tuple(n_modes)
        if len(n_modes) != self.order:
            raise ConfigError(f"{n_modes=} for the grid {self.grid}: one number for each axis is needed")
        for axis, (m, n) in enumerate(zip(n_modes, self.grid, strict=True)):
            if not 1 <= m <= n:
                raise ConfigError(f"n_modes[{axis}]={m} on a grid of {n} points: allowed are 1 to {n}")
        return [m // 2 + 1 if half else m for m, half in zip(n_modes, self._half_axes(), strict=True)]

    def _slices(self, modes: Sequence[int], grid: Sequence[int], out_grid: Sequence[int]) -> tuple[slice, ...]:
        """The lowest so many modes of each axis, no more than both grids resolve."""
        slices = []
        for m, most, centre, half, *sizes in zip(
            modes, self.max_n_modes, self._centre, self._half_axes(), grid, out_grid, strict=True
        ):
            used = min(m, *(n // 2 + 1 if half else n for n in sizes))
            start = min(max(centre - used // 2, 0), most - used)  # the frequency 0 stays where it is
            slices.append(slice(start, start + used))
        return tuple(slices)

    def _axis(self, transform: nn.Module, size: int, used: slice) -> ops.Axis:
        """The transform for a grid of `size` points and the modes in use: its matrix, and its FFT if it is fixed."""
        assert isinstance(transform, Transform)
        whole = size == transform.size and used.stop - used.start == len(transform.frequencies)
        fixed = whole and isinstance(transform, FourierTransform)
        return ops.Axis(partial(self._matrix, transform, size, used), transform if fixed else None)

    def _matrix(self, transform: Transform, size: int, used: slice) -> Tensor:
        """The transform's matrix for a grid of `size` points, restricted to the modes in use."""
        if size == transform.size:
            matrix = transform.as_matrix()
            return matrix[:, :, used] if transform.inverse else matrix[:, used]
        learnable = [p for p in transform.parameters() if p.requires_grad]
        if self.training and learnable and torch.is_grad_enabled():
            raise ValueError(
                f"training on {size} points with transforms for {transform.size}: use `.resized(grid)` for a layer to"
                " train there, or `.eval()` to evaluate the carried factors"
            )
        carried = transform.matrix_at(size, modes=transform.frequencies[used])
        return carried.to(self.weight.device, torch.promote_types(self.weight.dtype, torch.complex64))


def scaled(grid: Sequence[int], factors: Sequence[float] | None) -> tuple[int, ...]:
    """The grid times neuralop's resolution_scaling_factor."""
    return tuple(grid) if factors is None else tuple(round(n * s) for n, s in zip(grid, factors, strict=True))


def _resized(transform: nn.Module, size: int, used: slice) -> Transform:
    assert isinstance(transform, Transform)
    return transform.resized(size, modes=transform.frequencies[used])


def _as_tuple(value: int | Sequence[int]) -> tuple[int, ...]:
    return (value,) if isinstance(value, int) else tuple(value)


def _check_channels(in_channels: int, out_channels: int, heads: int, separable: bool) -> None:
    for name, channels in (("in_channels", in_channels), ("out_channels", out_channels)):
        if channels < 1 or heads < 1 or channels % heads:
            raise ConfigError(f"{name}={channels} with {heads=}: both must be positive and heads divide the channels")
    if separable and in_channels != out_channels:
        raise ConfigError(f"separable weights need {in_channels=} equal to {out_channels=}")
