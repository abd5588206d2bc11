"""The part of an image that is looked at."""

from torch import Tensor


def crop_centre(image: Tensor, size: tuple[int, int]) -> Tensor:
    """The central (h, w) of (…, y, x), as fastMRI crops. Raises ValueError when it is larger than the image."""
    (y, x), (h, w) = image.shape[-2:], size
    if not (0 < h <= y and 0 < w <= x):
        raise ValueError(f"cannot crop an image of {y} × {x} to {h} × {w}")
    top, left = (y - h) // 2, (x - w) // 2
    return image[..., top : top + h, left : left + w]
