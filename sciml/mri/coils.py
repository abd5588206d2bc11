"""Coil sensitivity maps: simulated ones, and ESPIRiT's from the sampled centre of k-space."""

import hashlib
import os
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sciml import hdf5
from sciml.errors import BadSchema, CorruptFile, UnsafeFile
from sciml.mri.calibration import calibration_region
from sciml.mri.sense import rss


def birdcage_maps(coils: int, size: int) -> Tensor:
    """Sensitivities of a birdcage coil (C, n, n) complex64 by sigpy, scaled to Σ_c |S_c|² = 1 everywhere."""
    from sigpy.mri import birdcage_maps as simulate

    maps = torch.from_numpy(simulate((coils, size, size)).astype(np.complex64))
    return maps / rss(maps[None])[0]


def espirit_maps(kspace: Tensor, mask: Tensor, *, calibration: int = 24, crop: float = 0.8) -> Tensor:
    """ESPIRiT's maps (Uecker et al. 2014) by sigpy, from the fully sampled centre alone.

    The kernel has 6 points, fewer where the centre is so narrow that little would be left to calibrate on.

    Args:
        kspace: (C, y, x) complex, centred, zero where not sampled.
        mask: (1 or y, x) bool.
        calibration: width of the calibration region, lowered to what is sampled.
        crop: eigenvalue below which a pixel counts as empty; its maps are zero (BART's default).

    Returns:
        (C, y, x) complex64, Σ_c |S_c|² = 1 or 0 at each pixel.

    Raises:
        BadSchema: fewer than 5 central columns are sampled.
    """
    from sigpy.mri.app import EspiritCalib

    width = min(calibration, int(calibration_region(mask[None, None])[0, 0].any(0).sum()))
    if width < 5:
        raise BadSchema(f"{width} central columns are sampled, ESPIRiT needs 5; raise the mask's center_fractions")
    kernel = min(6, 2 * width // 5)
    estimate = EspiritCalib(
        kspace.numpy(), calib_width=width, kernel_width=kernel, crop=crop, thresh=0.02, show_pbar=False
    )
    return torch.from_numpy(np.ascontiguousarray(estimate.run(), dtype=np.complex64))


def cached_maps(path: str | os.PathLike[str], index: int, kspace: Tensor, mask: Tensor, **options: float) -> Tensor:
    """`espirit_maps` of a slice, kept beside the data in `.sciml_maps/`, found by content and parameters.

    The key is a hash of the sampled k-space of the centre and of the options, so that changed data or another mask
    never get old maps. A damaged entry is computed anew; where the folder cannot be written nothing is kept.

    Args:
        path: the volume's file.
        index: the slice, for the entry's name.
        kspace: (C, y, x).
        mask: (1 or y, x) bool.
        options: of `espirit_maps`.
    """
    centre = torch.where(calibration_region(mask[None, None])[0, 0], kspace, 0)  # a product would keep signs of zero
    key = hashlib.sha256(centre.numpy().tobytes())
    key.update(repr((tuple(kspace.shape), sorted(options.items()))).encode())
    entry = Path(path).parent / ".sciml_maps" / f"{Path(path).stem}_{index}_{key.hexdigest()[:16]}.h5"
    try:
        with hdf5.reading(entry) as file:
            return torch.from_numpy(hdf5.dataset(file, "maps")[()])
    except (FileNotFoundError, CorruptFile, BadSchema, UnsafeFile):
        maps = espirit_maps(kspace * mask, mask, **options)  # type: ignore[arg-type]
    try:
        entry.parent.mkdir(exist_ok=True)
        with hdf5.writing(entry) as file:
            hdf5.add_samples(file, "maps", maps.numpy())
    except OSError:
        pass  # read-only data: they are computed again next time
    return maps
