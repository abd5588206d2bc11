"""What gpu_suite.py compares: shapes, layers, a small FNO made of them, and the MRI baselines."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from sciml.kernels import ops
from sciml.kernels.common.triton_build import INTERPRETED
from sciml.transforms import MonarchTransform
from sciml.transforms.factors import lowest

DRY = INTERPRETED  # everything once, on tiny shapes, on a CPU
DEVICE = "cpu" if DRY else "cuda"
BATCH, CHANNELS = (1, 2) if DRY else (32, 64)
MODES = (4,) if DRY else (12, 24, 32)
COILS = 2 if DRY else 15
PLANES = ((64, 12),) if DRY else ((320, 320), (640, 368))


class NeuralopConv(nn.Module):
    """neuralop 2.0's SpectralConv for real 2-D fields, operation by operation."""

    def __init__(self, channels: int, modes: int) -> None:
        super().__init__()
        self.modes = (modes, modes // 2 + 1)
        scale = (2 / (channels + channels)) ** 0.5
        self.weight = nn.Parameter(scale * torch.randn(channels, channels, *self.modes, dtype=torch.cfloat))
        self.bias = nn.Parameter(scale * torch.randn(channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        batch, _, n, width = x.shape
        m, columns = self.modes
        x = torch.fft.fftshift(torch.fft.rfftn(x, norm="forward", dim=(-2, -1)), dim=(-2,))
        out = torch.zeros(batch, self.weight.shape[1], n, width // 2 + 1, device=x.device, dtype=torch.cfloat)
        kept = slice(n // 2 - m // 2, n // 2 + m - m // 2)
        out[:, :, kept, :columns] = torch.einsum("bixy,ioxy->boxy", x[:, :, kept, :columns], self.weight)
        out = torch.fft.fftshift(out, dim=(-2,))
        return torch.fft.irfftn(out, s=(n, width), dim=(-2, -1), norm="forward") + self.bias


class PrunedFFT(nn.Module):
    """neuralop's function without its waste: rfft, keep the columns, fft, keep the rows, mix, and back."""

    def __init__(self, conv: NeuralopConv) -> None:
        super().__init__()
        self.weight, self.bias = conv.weight, conv.bias

    def forward(self, x: Tensor) -> Tensor:
        n, m, columns = x.shape[-2], *self.weight.shape[-2:]
        spectrum = torch.fft.fft(torch.fft.rfft(x)[..., :columns], dim=-2)
        positive, negative = m - m // 2, m // 2
        spectrum = torch.cat([spectrum[..., n - negative :, :], spectrum[..., :positive, :]], -2) / x[0, 0].numel()
        mixed = torch.einsum("bixy,ioxy->boxy", spectrum, self.weight)
        gap = mixed.new_zeros(*mixed.shape[:2], n - m, columns)
        padded = torch.cat([mixed[..., negative:, :], gap, mixed[..., :negative, :]], -2)
        field = torch.fft.ifft(padded, dim=-2, norm="forward")
        return torch.fft.irfft(field, n=x.shape[-1], norm="forward") + self.bias


class MonarchConv(nn.Module):
    """The learnable layer with the same weights: `sciml.pde.MonarchSpectralConv` without its conveniences.

    backend: "triton", or "torch" for PyTorch's own products, as where there is no Triton.
    """

    def __init__(self, conv: NeuralopConv, n: int, heads: int = 1, backend: str = "triton") -> None:
        super().__init__()
        frequencies = [lowest(conv.modes[0]), range(conv.modes[1])]
        self.backend = backend
        self.analysis = nn.ModuleList(MonarchTransform(n, modes=f, heads=heads) for f in frequencies)
        self.synthesis = nn.ModuleList(
            MonarchTransform(n, modes=f, heads=heads, inverse=True, real=real)
            for f, real in zip(frequencies, (False, True), strict=True)
        )
        weight = torch.view_as_real(conv.weight.detach()).permute(2, 3, 0, 4, 1)
        self.weight, self.bias = nn.Parameter(weight.contiguous()), nn.Parameter(conv.bias.detach().clone())

    def forward(self, x: Tensor) -> Tensor:
        analysis, synthesis = ([t.as_matrix() for t in side] for side in (self.analysis, self.synthesis))
        return ops.spectral_conv(x, analysis, self.weight, synthesis, self.bias, backend=self.backend)


class FNO(nn.Module):
    """Lifting, four spectral blocks with a 1×1 skip, projection."""

    def __init__(self, channels: int, conv: Callable[[], nn.Module]) -> None:
        super().__init__()
        self.lift, self.project = nn.Conv2d(3, channels, 1), nn.Conv2d(channels, 1, 1)
        self.convs = nn.ModuleList(conv() for _ in range(4))
        self.skips = nn.ModuleList(nn.Conv2d(channels, channels, 1) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        x = self.lift(x)
        for conv, skip in zip(self.convs, self.skips, strict=True):
            x = nn.functional.gelu(conv(x) + skip(x))
        return self.project(x)


def fft2c(x: Tensor) -> Tensor:
    """fastMRI's centred transform, as `sciml.mri.fft2c`."""
    return torch.fft.fftshift(torch.fft.fft2(torch.fft.ifftshift(x, (-2, -1)), norm="ortho"), (-2, -1))


def ifft2c(x: Tensor) -> Tensor:
    return torch.fft.fftshift(torch.fft.ifft2(torch.fft.ifftshift(x, (-2, -1)), norm="ortho"), (-2, -1))


def centred(axes: Sequence[MonarchTransform], adjoint: bool) -> Callable[[Tensor], Tensor]:
    """The 2-D transform, or its conjugate transpose."""

    def f(x: Tensor) -> Tensor:
        pairs = [(a.factors.left, a.factors.right) for a in axes]
        pairs = [(left.conj(), right.conj()) for left, right in pairs] if adjoint else pairs
        return ops.monarch(x, pairs, transpose=adjoint, backend="triton")

    return f
