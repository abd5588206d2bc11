"""The Fourier transform of the scanner, which is fixed, and the one of a network, which may be learned."""

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn

from sciml.errors import ConfigError
from sciml.operators import LinearOperator
from sciml.transforms import SeparableTransform, transform_class

_PLANE = (-2, -1)


def fft2c(image: Tensor) -> Tensor:
    """Centred orthonormal DFT of the last two axes, ifftshift → fft2 → fftshift (fastMRI's convention)."""
    return _centred(torch.fft.fft2, image)


def ifft2c(kspace: Tensor) -> Tensor:
    """The inverse, and adjoint, of `fft2c`."""
    return _centred(torch.fft.ifft2, kspace)


def _centred(transform: Callable[..., Tensor], x: Tensor) -> Tensor:
    x = x.to(torch.promote_types(x.dtype, torch.complex64))
    if not x.numel():  # refused by some FFT libraries
        return x
    return torch.fft.fftshift(transform(torch.fft.ifftshift(x, _PLANE), norm="ortho"), _PLANE)


class ScannerFourier(LinearOperator):
    """The scanner's operator, `fft2c`: unitary, so that its adjoint is its inverse."""

    def forward(self, image: Tensor) -> Tensor:
        return fft2c(image)

    def adjoint(self, kspace: Tensor) -> Tensor:
        return ifft2c(kspace)


class Fourier2d(nn.Module, LinearOperator):
    """The Fourier operator of a reconstruction network: coil images (B, C, y, x) to k-space, and back.

    Every kind starts as `fft2c`. A learned one is a `SeparableTransform` of two centred transforms, which says what
    heads mean, coils being its channels, and how volumes of another size than `size` are served.

    Args:
        size: (y, x), the matrix size for which the factors are stored; the fixed FFT serves any.
        transform: fft is fixed; monarch and dense are learned, starting from it.
        heads: groups of coils with transforms of their own.
        tied: `inverse` is the adjoint of what `forward` applies; otherwise it is learned separately.
        radix: the p to aim for in n = p·q (see `MonarchTransform`).
        rank: of Monarch transforms, how many products each is the sum of.

    Raises:
        ConfigError: a size, a number of heads or a rank below 1, or a radix or rank where there is no Monarch factor.
    """

    def __init__(
        self,
        size: tuple[int, int],
        *,
        transform: Literal["fft", "monarch", "dense"] = "fft",
        heads: int = 1,
        tied: bool = True,
        radix: int | None = None,
        rank: int = 1,
    ) -> None:
        super().__init__()
        if min(size) < 1 or heads < 1 or rank < 1:
            raise ConfigError(f"{size=}, {heads=} and {rank=}: all must be at least 1")
        if rank != 1 and transform != "monarch":
            raise ConfigError(f"{rank=} with {transform=}: only Monarch transforms have a rank, remove the key")
        if radix is not None and transform != "monarch":
            raise ConfigError(f"{radix=} with {transform=}: only Monarch transforms have a radix, remove the key")
        self.size, self.heads, self.tied, self.learned = tuple(size), heads, tied, transform != "fft"

        options: dict[str, Any] = {"heads": heads, "radix": radix, "centered": True}
        if rank != 1:
            options["rank"] = rank

        def axes(inverse: bool) -> SeparableTransform:
            kind = transform_class(transform)
            return SeparableTransform(kind(n, inverse=inverse, **options) for n in size)

        self.analysis = axes(False) if self.learned else None
        self.synthesis = axes(True) if self.learned and not tied else None

    def forward(self, image: Tensor) -> Tensor:
        """Coil images to k-space, (B, C, y, x) complex."""
        return self._applied(image)

    def adjoint(self, kspace: Tensor) -> Tensor:
        """The conjugate transpose of `forward`: ⟨forward(x), k⟩ = ⟨x, adjoint(k)⟩."""
        return self._applied.adjoint(kspace)

    def inverse(self, kspace: Tensor) -> Tensor:
        """From k-space to coil images: the adjoint if tied, else a transform learned separately."""
        return self.adjoint(kspace) if self.synthesis is None else self.synthesis(kspace)

    def extra_repr(self) -> str:
        return f"size={self.size}, learned={self.learned}, heads={self.heads}, tied={self.tied}"

    @property
    def _applied(self) -> LinearOperator:
        return ScannerFourier() if self.analysis is None else self.analysis
