"""Tiny volumes in fastMRI's layout."""

from pathlib import Path

import numpy as np
import torch

from sciml.mri.formats.fastmri import write_volume
from sciml.mri.physics.coils import rss
from sciml.mri.physics.fourier import ifft2c
from sciml.mri.physics.maps import birdcage_maps
from sciml.mri.physics.simulate import measure


def write_tiny(
    folder: Path,
    n: int = 2,
    *,
    slices: int = 2,
    coils: int = 2,
    size: int = 24,
    width: int | None = None,
    first: int = 0,
    **options,
) -> list[Path]:
    """Volumes 0 … n-1 of random smooth blobs (subjects `first` on) through birdcage coils, cut to `width` columns."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for i in range(n):
        rng = np.random.default_rng(first + i)
        y, x = np.meshgrid(*[np.linspace(-1, 1, size)] * 2, indexing="ij")
        blobs = [np.exp(-8 * ((y - a) ** 2 + (x - b) ** 2)) for a, b in rng.uniform(-0.5, 0.5, (slices, 2))]
        maps = birdcage_maps(coils, size)
        kspace = measure(torch.from_numpy(np.stack(blobs)), maps, 100.0, rng)
        cut = (size - (width or size)) // 2
        columns = slice(cut, cut + (width or size))
        kspace, maps = kspace[..., columns].contiguous(), maps[..., columns]
        path = folder / f"volume_{i}.h5"
        target = rss(ifft2c(kspace)).numpy()
        write_volume(path, kspace.numpy(), **{"target": target, "maps": maps.expand_as(kspace).numpy(), **options})
        paths.append(path)
    return paths


def write_splits(folder: Path, n: int = 2, **options) -> Path:
    """Three splits of different subjects, under the same names."""
    for k, split in enumerate(("train", "val", "test")):
        write_tiny(folder / f"multicoil_{split}", n, first=100 * k, **options)
    return folder
