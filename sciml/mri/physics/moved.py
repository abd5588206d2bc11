"""The same coils in front of another object: augmentation that respects how the data are measured."""

from typing import Literal, NamedTuple, get_args

import numpy as np
import torch
from torch import Tensor

from sciml.errors import ConfigError
from sciml.mri.physics.coils import Coils, rss
from sciml.mri.physics.fourier import fft2c, ifft2c
from sciml.mri.physics.images import crop_centre
from sciml.training.augmentation import Augmentation

FARTHEST = 16  # an object moves by at most this part of the field of view, either way

CoilMaps = Literal["file", "espirit"]


class FullSlice(NamedTuple):
    """A slice before it is undersampled: k-space and coil maps (C, y, x), and the centre (h, w) of its RSS image."""

    kspace: Tensor
    maps: Tensor
    target: Tensor


class MovedObject(Augmentation):
    """Each training slice with its object moved in front of the coils, which stay where they are: see `moved`.

    For fully sampled data.

    Args:
        maps: Whose coil maps serve: file (`sens_maps`), or espirit (from the sampled centre, kept in the cache); also
            where a batch brings none and the network estimates its own.

    Raises:
        ConfigError: Other maps.
    """

    def __init__(self, maps: CoilMaps) -> None:
        if maps not in get_args(CoilMaps):
            raise ConfigError(f"{maps=}: expected one of {', '.join(get_args(CoilMaps))}")
        self.maps = maps

    def __call__(self, sample: FullSlice, rng: np.random.Generator) -> FullSlice:
        kspace, image = moved(sample.kspace, sample.maps, rng)
        height, width = sample.target.shape
        return FullSlice(kspace, sample.maps, crop_centre(image, (height, width)))


def moved(kspace: Tensor, maps: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Fully sampled k-space of the object moved in front of the coils, and its RSS image.

    The object is x = Σ_c conj(S_c)·F⁻¹ k_c. It is mirrored along y, x, both or neither; shifted periodically by up to
    a sixteenth of the field of view along each axis; and given a smooth phase beside its own. The coils stay where
    they are and measure it again: k' = F(S_c·x'). So transforms with a head for each coil see the coils in their
    places. Noise moves with the object.

    Args:
        kspace: (C, y, x) complex, fully sampled.
        maps: (C, y, x), Σ_c |S_c|² = 1 over the object.
        rng: Decides.
    """
    coils = Coils(maps)
    image = coils.H(ifft2c(kspace)[None])
    size = image.shape[-2:]
    image = image.flip([axis for axis in (-2, -1) if rng.random() < 0.5])
    image = image.roll([int(rng.integers(-(n // FARTHEST), n // FARTHEST + 1)) for n in size], (-2, -1))
    phase = smooth_phase(size, rng) + 2 * np.pi * rng.random()
    coil_images = coils(image * torch.polar(torch.ones(size), phase.float()))
    return fft2c(coil_images)[0], rss(coil_images)[0]


def smooth_phase(size: tuple[int, ...], rng: np.random.Generator) -> Tensor:
    """(y, x) float64, radian: a polynomial of second degree in coordinates −1 to 1, its coefficients standard normal.

    Without a constant.
    """
    y, x = torch.meshgrid(*(torch.linspace(-1, 1, n, dtype=torch.float64) for n in size), indexing="ij")
    return torch.tensordot(torch.from_numpy(rng.standard_normal(5)), torch.stack([y, x, y * x, y**2, x**2]), 1)
