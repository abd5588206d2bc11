"""Model-based deep learning: a learned denoiser and conjugate gradients in turn."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from sciml.errors import ConfigError
from sciml.kernels.arithmetic import conj, times
from sciml.mri.models.sense import Sense, SenseOperator, require_maps
from sciml.mri.models.unet import ComplexUNet
from sciml.mri.physics.fourier import Fourier2d
from sciml.operators import Composition, Scaling


class MoDL(nn.Module):
    """MoDL (Aggarwal et al. 2019, arXiv 1712.02862): x ← (A^H A + λ)⁻¹ (A^H y + λ·D(x)), unrolled, weights shared.

    A = M @ F @ S with the operator given: a learned F is in the normal equations with its true adjoint, so that they
    stay Hermitian positive definite and conjugate gradients converge. D(x) = x + U(x), U a U-Net. λ is learned.

    Args:
        fourier: F; must be tied.
        start: The operator of the first x, that of `Sense`; None: F, as in the paper. The normal equations keep F.
        iterations: Unrolled steps (10 in the paper).
        cg_iterations: Steps of conjugate gradients in each.
        chans, pools: Of the U-Net.
        initial_lambda: Start of λ, in units of A^H A, whose largest eigenvalue is near 1.
    """

    def __init__(
        self,
        fourier: Fourier2d,
        *,
        start: Fourier2d | None = None,
        iterations: int = 10,
        cg_iterations: int = 6,
        chans: int = 18,
        pools: int = 4,
        initial_lambda: float = 0.05,
    ) -> None:
        super().__init__()
        if iterations < 1 or cg_iterations < 1 or not initial_lambda > 0:
            raise ConfigError(f"{iterations=}, {cg_iterations=} must be at least 1, {initial_lambda=} above 0")
        if not fourier.tied:
            raise ConfigError("tied=False: MoDL's normal equations need the adjoint; set tied: true")
        self.encoding = SenseOperator(fourier)
        self.start = Sense(start) if start is not None else None
        self.iterations, self.cg_iterations = iterations, cg_iterations
        self.denoiser = ComplexUNet(chans=chans, pools=pools, correction=True)
        self.log_lambda = nn.Parameter(torch.tensor(initial_lambda).log())

    def forward(self, kspace: Tensor, mask: Tensor, maps: Tensor | None = None) -> Tensor:
        """(B, C, y, x), zero where not sampled, to a complex image (B, y, x)."""
        maps = require_maps(maps)
        a, lam = self.encoding.given(maps, mask), Scaling(self.log_lambda.exp())
        normal = Composition(a.H, a) + lam  # A.H @ A + λ
        measured = a.H(kspace)
        image = measured if self.start is None else self.start(kspace, mask, maps)
        for _ in range(self.iterations):
            denoised = image + self.denoiser(image)
            image = conjugate_gradient(normal, measured + lam(denoised), denoised, self.cg_iterations)
        return image


def conjugate_gradient(operator: Callable[[Tensor], Tensor], b: Tensor, x: Tensor, iterations: int) -> Tensor:
    """Solve operator(x) = b for each sample of (B, …), from the guess x (Hestenes and Stiefel, 1952).

    The operator is Hermitian positive definite. Differentiable through all steps; a sample that has converged
    exactly stays where it is.
    """
    r = b - operator(x)
    p, rr = r, _dot(r, r)
    for _ in range(iterations):
        q = operator(p)
        alpha = _ratio(rr, _dot(p, q))
        x, r = x + times(alpha, p), r - times(alpha, q)
        new = _dot(r, r)
        p, rr = r + times(_ratio(new, rr), p), new
    return x


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """Re⟨a, b⟩ of each sample, (B, 1, …)."""
    return times(conj(a), b).real.sum(tuple(range(1, a.ndim)), keepdim=True)


def _ratio(a: Tensor, b: Tensor) -> Tensor:
    return torch.where(b > 0, a / torch.where(b > 0, b, torch.ones_like(b)), torch.zeros_like(a))
