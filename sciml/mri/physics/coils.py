"""Coils in and out."""

from torch import Tensor

from sciml.kernels.arithmetic import conj, times


def expand(image: Tensor, maps: Tensor) -> Tensor:
    """Image (B, y, x) to coil images S_c·x, (B, C, y, x)."""
    return times(image[:, None], maps)


def combine(coil_images: Tensor, maps: Tensor) -> Tensor:
    """Coil images (B, C, y, x) to Σ_c conj(S_c)·x_c, (B, y, x): the adjoint of `expand`."""
    return times(conj(maps), coil_images).sum(1)


def rss(coil_images: Tensor) -> Tensor:
    """Root of the sum of squares over coils (B, C, y, x), real (B, y, x); its gradient is finite at zero."""
    tiny = 1e-30  # below the square of any float32 value that carries signal
    return (coil_images.real.square() + coil_images.imag.square()).sum(1).clamp_min(tiny).sqrt()


def centre_crop(image: Tensor, size: tuple[int, int]) -> Tensor:
    """The central (h, w) of (…, y, x), as fastMRI crops. Raises ValueError when it is larger than the image."""
    (y, x), (h, w) = image.shape[-2:], size
    if not (0 < h <= y and 0 < w <= x):
        raise ValueError(f"cannot crop an image of {y} × {x} to {h} × {w}")
    top, left = (y - h) // 2, (x - w) // 2
    return image[..., top : top + h, left : left + w]
