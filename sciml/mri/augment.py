"""The same coils in front of another object: augmentation that respects how the data are measured."""

import numpy as np
from torch import Tensor

from sciml.mri.fourier import fft2c, ifft2c
from sciml.mri.sense import combine, expand, rss


def mirrored(kspace: Tensor, maps: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Fully sampled k-space of the object mirrored along y, x, both or neither, and its RSS image.

    The object is Σ_c conj(S_c)·F⁻¹ k_c; it is turned over, while the coils stay where they are, and measured again:
    k' = F(S_c·x'). So transforms with a head for each coil see the coils in their places. Noise is turned over with
    the object.

    Args:
        kspace: (C, y, x) complex, fully sampled.
        maps: (C, y, x), Σ_c |S_c|² = 1 over the object.
        rng: Decides.
    """
    axes = [axis for axis in (-2, -1) if rng.random() < 0.5]
    if not axes:
        return kspace, rss(ifft2c(kspace)[None])[0]
    image = combine(ifft2c(kspace)[None], maps[None]).flip(axes)
    coil_images = expand(image, maps[None])
    return fft2c(coil_images)[0], rss(coil_images)[0]
