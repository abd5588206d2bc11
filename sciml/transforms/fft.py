"""The fixed Fourier transform behind the same protocol."""

from typing import Any

import torch
from torch import Tensor

from sciml.errors import ConfigError
from sciml.transforms.base import Transform


class FourierTransform(Transform):
    """torch.fft with the modes kept or zero-filled. It has no parameters: learnable=True is refused."""

    _weight: Tensor
    _index: Tensor

    def __init__(self, size: int, *, learnable: bool = False, **options: Any) -> None:
        if learnable:
            raise ConfigError("learnable=True: the Fourier transform is fixed; use MonarchTransform or DenseTransform")
        super().__init__(size, learnable=False, **options)
        # Real, so that a change of the module's dtype keeps it; c_f of a real synthesis, else 1.
        weight = self.initial_matrix()[0].abs().mean(0 if self.inverse else 1) * size**0.5
        self.register_buffer("_weight", weight.to(torch.get_default_dtype()), persistent=False)
        self.register_buffer("_index", torch.tensor(self.frequencies) % size, persistent=False)

    def as_matrix(self) -> Tensor:
        dtype = torch.promote_types(self._weight.dtype, torch.complex64)
        return self.initial_matrix().to(self._weight.device, dtype).expand(self.heads, -1, -1)

    def forward(self, x: Tensor, dim: int = -1) -> Tensor:
        if not self.inverse:
            return self._analyse(x, dim)
        if self.real and self._resolved and self.frequencies.start == 0 and not self.centered:  # irfft assumes c_f
            return torch.fft.irfft(x * self.size**-0.5, n=self.size, norm="forward", dim=dim)
        y = self._synthesise(x.movedim(dim, -1) * self._weight, -1).movedim(-1, dim)
        return y.real if self.real else y

    def adjoint(self, y: Tensor, dim: int = -1) -> Tensor:
        if self.inverse:
            return (self._analyse(y, dim).movedim(dim, -1) * self._weight).movedim(-1, dim)
        x = self._synthesise(y, dim)
        return x.real if self.real else x

    def load_matrix(self, matrix: Tensor) -> None:
        """Nothing to load: at any size a fixed transform is the DFT."""

    @property
    def _resolved(self) -> bool:
        """Whether all frequencies are among those of rfft, 0 to n // 2."""
        return self.frequencies.start >= 0 and self.frequencies[-1] <= self.size // 2

    def _analyse(self, x: Tensor, dim: int) -> Tensor:
        if self.centered:
            x = torch.fft.ifftshift(x, dim=dim)
        if not x.is_complex() and self._resolved:
            half = torch.fft.rfft(x, dim=dim)
            return half.narrow(dim, self.frequencies.start, len(self.frequencies)) * self.size**-0.5
        return torch.fft.fft(x, norm="ortho", dim=dim).index_select(dim, self._index)

    def _synthesise(self, y: Tensor, dim: int) -> Tensor:
        y = y.movedim(dim, -1)
        y = y.to(torch.promote_types(y.dtype, torch.complex64))
        spectrum = y.new_zeros(*y.shape[:-1], self.size).index_copy(-1, self._index, y)
        x = torch.fft.ifft(spectrum, norm="ortho")
        return (torch.fft.fftshift(x, dim=-1) if self.centered else x).movedim(-1, dim)
