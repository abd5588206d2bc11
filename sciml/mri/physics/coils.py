"""Coils in and out."""

from torch import Tensor

from sciml.kernels.arithmetic import conj, times
from sciml.operators import LinearOperator


class Coils(LinearOperator):
    """S: an image to what each coil sees of it; its adjoint puts the coil images together.

    Args:
        maps: sensitivities S_c, (B, C, y, x) complex, or (C, y, x) for all.
    """

    def __init__(self, maps: Tensor) -> None:
        self.maps = maps

    def forward(self, image: Tensor) -> Tensor:
        """(B, y, x) to S_c·x, (B, C, y, x)."""
        return times(image[:, None], self.maps)

    def adjoint(self, coil_images: Tensor) -> Tensor:
        """(B, C, y, x) to Σ_c conj(S_c)·x_c, (B, y, x)."""
        return times(conj(self.maps), coil_images).sum(1)


def rss(coil_images: Tensor) -> Tensor:
    """Root of the sum of squares over coils (B, C, y, x), real (B, y, x); its gradient is finite at zero."""
    tiny = 1e-30  # below the square of any float32 value that carries signal
    return (coil_images.real.square() + coil_images.imag.square()).sum(1).clamp_min(tiny).sqrt()
