"""What neuralop 2.0's SpectralConv does on a grid, as far as taking it over needs to know."""

from collections.abc import Sequence
from typing import Any

from neuralop.layers.spectral_convolution import SpectralConv
from torch import Tensor

from sciml.errors import ConfigError
from sciml.transforms.factors import lowest

# Keywords that neuralop's FNO passes to every conv_module. Those that describe a factorization mean nothing without
# one; of the others only these values are accepted.
_SUPPORTED: dict[str, tuple[Any, ...]] = {
    "factorization": (None, "dense", "Dense"),
    "fno_block_precision": ("full",),
    "fft_norm": ("forward",),
}
_DESCRIBE_FACTORIZATION = {"rank", "fixed_rank_modes", "implementation", "decomposition_kwargs"}


def refuse_unsupported(neuralop_kwargs: dict[str, Any]) -> None:
    for key, value in neuralop_kwargs.items():
        if key in _SUPPORTED and value not in _SUPPORTED[key]:
            raise ConfigError(f"{key}={value!r} is not supported: use one of {_SUPPORTED[key]}")
        if key not in _SUPPORTED and key not in _DESCRIBE_FACTORIZATION:
            raise TypeError(f"MonarchSpectralConv got an unknown keyword {key}={value!r}")


def weight_in_use(conv: SpectralConv, grid: Sequence[int]) -> Tensor:
    """The complex weight that neuralop's forward uses on this grid: (channels…, m_1, …, m_d)."""
    weight = conv.weight.to_tensor() if hasattr(conv.weight, "to_tensor") else conv.weight
    sizes = list(grid) if conv.complex_data else [*grid[:-1], grid[-1] // 2 + 1]
    for axis, (size, modes) in enumerate(zip(sizes, conv.n_modes, strict=True), start=-len(grid)):
        used = min(size, modes)
        half = axis == -1 and not conv.complex_data
        weight = weight.narrow(axis, 0 if half else (weight.shape[axis] - used) // 2, used)
    return weight.detach().resolve_conj()


def frequencies(conv: SpectralConv, modes: Sequence[int], grid: Sequence[int]) -> tuple[list[range], list[range]]:
    """The frequencies that neuralop 2.0 reads and those at which it writes, axis by axis."""
    read = [lowest(m) for m in modes]
    # Its second fftshift undoes the first only where n is even.
    written = [range(f.start - n % 2, f.stop - n % 2) for f, n in zip(read, grid, strict=True)]
    # The last axis is written from index 0 up, and for N-D complex data read from the shifted spectrum.
    shifted = conv.complex_data and conv.order > 1
    start = -(grid[-1] // 2) if shifted else 0
    read[-1] = range(start, start + modes[-1])
    written[-1] = range(modes[-1])
    return read, written
