"""Coil sensitivity maps: simulated ones, and ESPIRiT's from the sampled centre of k-space."""

import hashlib
import logging
import os
import shutil
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sciml.errors import BadSchema, NonFinite
from sciml.io import hdf5
from sciml.mri.formats.cache import Cache
from sciml.mri.physics.calibration import calibration_region
from sciml.mri.physics.coils import rss

logger = logging.getLogger(__name__)

LEAST_FREE = 2**30  # bytes of the user's disk that a cache does not take


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
        (C, y, x) complex64, Σ_c |S_c|² = 1 or 0 at each pixel: 0 also where the calibration region holds no signal,
        and for a coil that has none there.

    Raises:
        BadSchema: fewer than 5 central columns are sampled.
    """
    import sigpy
    from sigpy.mri.app import EspiritCalib

    width = min(calibration, int(calibration_region(mask[None, None])[0, 0].any(0).sum()))
    if width < 5:
        raise BadSchema(f"{width} central columns are sampled, ESPIRiT needs 5; raise the mask's center_fractions")
    data = _near_one(np.ascontiguousarray(kspace.numpy()))
    heard = sigpy.resize(data, (len(data), width, width)).any((1, 2))  # coils with a signal
    maps = np.zeros(data.shape, np.complex64)
    if heard.any():
        options = {"kernel_width": min(6, 2 * width // 5), "crop": crop, "thresh": 0.02, "show_pbar": False}
        with np.errstate(divide="ignore", invalid="ignore"):
            found = EspiritCalib(data[heard], calib_width=width, **options).run()
        maps[heard] = np.where(np.isfinite(found).all(0), found, 0)  # a pixel without any eigenvalue is empty
    return torch.from_numpy(maps)


def cached_maps(
    path: str | os.PathLike[str],
    index: int,
    kspace: Tensor,
    mask: Tensor,
    *,
    cache: Cache | None = None,
    **options: float,
) -> Tensor:
    """`espirit_maps` of a slice, kept in the cache, found by content and parameters.

    The key is a hash of the sampled k-space of the centre and of the options, so that changed data or another mask
    never get old maps. An entry that is damaged or not finite is made anew.

    Args:
        path: the volume's file.
        index: the slice; both are for the entry's name and for errors.
        kspace: (C, y, x).
        mask: (1 or y, x) bool.
        cache: None: nothing is kept.
        options: of `espirit_maps`.

    Raises NonFinite, naming file and slice, before maps that are not finite are used or kept.
    """
    centre = torch.where(calibration_region(mask[None, None])[0, 0], kspace, 0)  # a product would keep signs of zero
    key = hashlib.sha256(centre.numpy().tobytes())
    key.update(repr((tuple(kspace.shape), sorted(options.items()))).encode())
    name = f"{Path(path).stem[:80]}_{index}_{key.hexdigest()[:16]}.h5"
    entry = None if cache is None else cache.folder / "maps" / name
    kept = None if entry is None else _read_maps(entry, tuple(kspace.shape))
    if kept is not None:
        return kept
    maps = espirit_maps(kspace * mask, mask, **options)  # type: ignore[arg-type]
    if bad := int((~maps.isfinite()).sum()):
        raise NonFinite(f"{path}: slice {index}: {bad} values of ESPIRiT's maps are NaN or infinite; remove the slice")
    if cache is not None and entry is not None and cache.writable:
        _write_maps(entry, maps)
    return maps


def _near_one(data: np.ndarray) -> np.ndarray:
    """Scaled by a power of two, which is exact, so that squares stay within range; maps do not depend on the scale."""
    exponent = np.frexp(np.abs(data).max())[1]
    return np.ldexp(data.view(data.real.dtype), -exponent).view(data.dtype)


def _read_maps(entry: Path, shape: tuple[int, ...]) -> Tensor | None:
    try:
        with hdf5.reading(entry) as file:
            maps = hdf5.dataset(file, "maps")[()]
    except (OSError, ValueError):  # missing, damaged or something else
        return None
    sound = maps.shape == shape and maps.dtype == np.complex64 and bool(np.isfinite(maps).all())
    return torch.from_numpy(maps) if sound else None


def _write_maps(entry: Path, maps: Tensor) -> None:
    try:
        entry.parent.mkdir(exist_ok=True)
        if shutil.disk_usage(entry.parent).free < LEAST_FREE + maps.numel() * maps.element_size():
            _log_not_written(entry.parent, "less than 1 GiB would be left free")
            return
        with hdf5.writing(entry) as file:
            hdf5.add_samples(file, "maps", maps.numpy())
    except OSError as error:
        _log_not_written(entry.parent, error.strerror or str(error))


@lru_cache
def _log_not_written(folder: Path, problem: str) -> None:
    """Once a process and reason: the disk may be full, or another process may write the same entry."""
    logger.warning("%s: not written (%s); coil maps are computed again next time", folder, problem)
