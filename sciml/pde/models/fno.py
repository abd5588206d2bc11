"""neuralop's FNO with the transform of one's choice."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal

import torch
from neuralop.layers.padding import DomainPadding
from neuralop.models import FNO

from sciml.errors import ConfigError
from sciml.pde.models.filter_bank import Branch, FilterBank
from sciml.pde.models.fno_blocks import fuse_blocks
from sciml.pde.models.layers import FFTSpectralConv, use_any_precision, use_pointwise
from sciml.pde.models.modes import check_counts
from sciml.pde.models.spectral_conv import MonarchSpectralConv
from sciml.pde.models.state import tensor_state
from sciml.transforms import DFT, ByAxis, Transform, transform_class
from sciml.transforms.inits import Init, as_members


def fno(
    n_modes: list[int],
    in_channels: int,
    out_channels: int,
    hidden_channels: int,
    *,
    grid: list[int],
    transform: Literal["fft", "monarch", "dense"] = "fft",
    heads: int | None = None,
    init: Init | ByAxis = "dft",
    rank: int = 1,
    learnable: bool = True,
    bank: list[Branch] | None = None,
    n_layers: int = 4,
    domain_padding: float | None = None,
    separable: bool = False,
) -> FNO:
    """neuralop's FNO; with a learned transform it starts as the same function as with the FFT, unless `init` says more.

    Its 1×1 convolutions are computed as matrix products (`use_pointwise`), whatever the transform. It may be cast to
    bfloat16 or float16, and with a learned transform to float64.

    Args:
        n_modes: Modes kept along each axis, both signs counted, as in neuralop.
        in_channels: Channels of the input; for a rollout, the number of input frames.
        out_channels: Channels of the output; for a rollout, 1.
        hidden_channels: Width of the Fourier layers.
        grid: Points along each axis of the training data.
        transform: fft is neuralop's own layer; monarch and dense are learned, starting from the DFT.
        heads: Groups of channels with a learned transform each; one for each channel if not given, which on one long
            axis is slower than the FFT (docs/results/speed.md).
        init: What the transforms start from, in place of the DFT: a member or its word (dct, dst, hartley, hadamard,
            local), a list of them for equal shares of the heads, or one by axis.
        rank: Of Monarch transforms: how many products each is the sum of.
        learnable: Whether monarch and dense transforms are learned; false keeps them as they start.
        bank: Branches of each spectral layer, which is their sum: a filter bank, in place of `init`. What a branch does
            not say (n_modes, heads, rank, learnable) is the network's.
        n_layers: Number of Fourier layers.
        domain_padding: Zero padding on each side, as a fraction of the grid.
        separable: One weight for each mode and channel, in place of a channel matrix for each mode.

    Raises:
        ConfigError: a number out of range, or an option of learned transforms given for the fixed FFT.
    """
    _check_positive(in_channels=in_channels, out_channels=out_channels, hidden_channels=hidden_channels)
    _check_positive(n_layers=n_layers, rank=rank, **({} if heads is None else {"heads": heads}))
    if len(n_modes) != len(grid) or not 1 <= len(grid) <= 3:
        raise ConfigError(f"{n_modes=} and {grid=}: one number for each of 1 to 3 axes is needed")
    check_counts(n_modes, grid)
    if domain_padding is not None and not 0 <= domain_padding <= 1:
        raise ConfigError(f"{domain_padding=}: allowed is a fraction of the grid from 0 to 1")
    layer: Any = FFTSpectralConv
    if transform == "fft":
        _refuse_for_the_fft(
            heads=heads, init=None if init == "dft" else init, rank=None if rank == 1 else rank, bank=bank
        )
    else:
        padded = DomainPadding(domain_padding or 0.0).pad(torch.empty(1, 1, *grid)).shape[2:]
        made = _transforms(transform, rank, learnable, bank or ())
        heads = hidden_channels if heads is None else heads
        layer = _layer(init, bank)(padded, heads=heads, transform=made)
    model = FNO(
        n_modes=tuple(n_modes),
        in_channels=in_channels,
        out_channels=out_channels,
        hidden_channels=hidden_channels,
        n_layers=n_layers,
        domain_padding=domain_padding,
        separable=separable,
        conv_module=layer,
    )
    if transform != "fft":
        model.grid = tuple(grid)  # as `monarchize` leaves it
    return tensor_state(fuse_blocks(use_any_precision(use_pointwise(model))))


def _refuse_for_the_fft(**options: Any) -> None:
    for key, value in options.items():
        if value is not None:
            raise ConfigError(f"{key}={value} with transform=fft: the fixed transform has none, remove the key")


def _transforms(kind: str, rank: int, learnable: bool, bank: Sequence[Branch]) -> Callable[..., Transform]:
    """The class of a kind, with those options that are not its defaults."""
    ranks = [r for r in (rank, *(branch.rank for branch in bank)) if r not in (None, 1)]
    if ranks and kind != "monarch":
        raise ConfigError(f"rank={ranks[0]} with transform={kind}: only Monarch transforms have one, remove the key")
    options: dict[str, Any] = ({} if rank == 1 else {"rank": rank}) | ({} if learnable else {"learnable": False})
    return partial(transform_class(kind), **options) if options else transform_class(kind)


def _layer(init: Init | ByAxis, bank: list[Branch] | None) -> Callable[..., Any]:
    """What makes the spectral layers of a grid: neuralop's function at the start, another member's, or a bank."""
    fourier = not isinstance(init, ByAxis) and as_members(init) == (DFT(),)
    if bank is not None:
        if not fourier:
            raise ConfigError(f"{init=} beside a bank: a branch says its own; remove the key")
        return partial(FilterBank.on_grid, branches=bank)
    return partial(MonarchSpectralConv.on_grid, **({"as_neuralop": True} if fourier else {"init": init}))


def _check_positive(**numbers: int) -> None:
    for name, value in numbers.items():
        if value < 1:
            raise ConfigError(f"{name}={value}: must be at least 1")
