"""The fixed Fourier transform behind the same protocol."""

from typing import Any

import torch
from torch import Tensor

from sciml.errors import ConfigError
from sciml.kernels import ops
from sciml.transforms.base import Transform
from sciml.transforms.members import DFT


class FourierTransform(Transform):
    """torch.fft with the modes kept or zero-filled. It has no parameters: learnable=True is refused."""

    _weight: Tensor
    _index: Tensor

    def __init__(self, size: int, *, learnable: bool = False, **options: Any) -> None:
        if learnable:
            raise ConfigError("learnable=True: the Fourier transform is fixed; use MonarchTransform or DenseTransform")
        super().__init__(size, learnable=False, **options)
        if self.members != (DFT(),):
            raise ConfigError(
                f"init={self.init!r}: a FourierTransform is the DFT; use MonarchTransform, fixed by learnable=False"
            )
        self.register_buffer("_weight", self._count(DFT()).to(torch.get_default_dtype()), persistent=False)
        self.register_buffer("_index", torch.tensor(self.frequencies) % size, persistent=False)

    def after_move(self) -> None:
        self._weight.copy_(self._count(DFT()))  # `to_empty` leaves anything, and no checkpoint holds these
        self._index.copy_(torch.tensor(self.frequencies) % self.size)

    def initial_parameters(self) -> list[Tensor]:
        return []

    def _matrices(self) -> Tensor:
        dtype = torch.promote_types(self._weight.dtype, torch.complex64)
        return self.initial_matrix().to(self._weight.device, dtype).expand(self.heads, -1, -1)

    def forward(self, x: Tensor, dim: int = -1) -> Tensor:
        ops.check_along(x, dim, self.shape[1], self.heads)
        if self.backend == "reference" or not x.numel():  # an empty x is refused by some FFT libraries
            return super().forward(x, dim)
        x = _wide(x)
        if not self.inverse:
            return self._analyse(x, dim)
        if self.real and self._resolved and self.frequencies.start == 0 and not self.centered:  # irfft assumes c_f
            return torch.fft.irfft(x * self.size**-0.5, n=self.size, norm="forward", dim=dim)
        y = self._synthesise(self._weighed(x, dim), dim)
        return y.real if self.real else y

    def adjoint(self, y: Tensor, dim: int = -1) -> Tensor:
        ops.check_along(y, dim, self.shape[0], self.heads)
        if self.backend == "reference" or not y.numel():
            return super().adjoint(y, dim)
        y = _wide(y)
        if self.inverse:
            return self._weighed(self._analyse(y, dim), dim)
        x = self._synthesise(y, dim)
        return x.real if self.real else x

    def load_matrix(self, matrix: Tensor) -> None:
        """Nothing to load: at any size a fixed transform is the DFT."""

    @property
    def _resolved(self) -> bool:
        """Whether all frequencies are among those of rfft, 0 to n // 2."""
        return self.frequencies.start >= 0 and self.frequencies[-1] <= self.size // 2

    def _weighed(self, spectrum: Tensor, dim: int) -> Tensor:
        """Times c_f along `dim`, in the type of the spectrum."""
        return (spectrum.movedim(dim, -1) * self._weight.to(spectrum.real.dtype)).movedim(-1, dim)

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


def _wide(x: Tensor) -> Tensor:
    """bfloat16 and float16 as float32, which FFTs take."""
    return x if x.is_complex() else x.to(torch.promote_types(x.dtype, torch.float32))
