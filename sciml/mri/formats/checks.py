"""Whether volumes can be used as a data module is asked to, found out before the first batch."""

import logging
import math

from sciml.errors import BadSchema, ConfigError
from sciml.mri.formats.cache import Cache
from sciml.mri.formats.fastmri import VolumeInfo
from sciml.mri.metrics import WINDOW
from sciml.mri.physics.masks import Mask

logger = logging.getLogger(__name__)

GIB = 2**30


def check_targets(infos: list[VolumeInfo], *, instead: str | None) -> None:
    """Each file must have a target, and SSIM's window must fit into it; `instead`: a split that has targets."""
    for info in infos:
        if info.target is None:
            remedy = f"; set data.test_split: {instead}, or use `sciml predict`" if instead else ""
            raise BadSchema(f"{info.path}: no target (reconstruction_rss or reconstruction_esc){remedy}")
        if min(info.target_size) < WINDOW:
            raise BadSchema(
                f"{info.path}: target {info.target_size}, smaller than SSIM's window of {WINDOW} × {WINDOW}; leave "
                "the volume out"
            )


def check_maps(infos: list[VolumeInfo]) -> None:
    """Each file must have coil maps."""
    lacking = [info for info in infos if not info.has_maps]
    if lacking:
        path = lacking[0].path
        raise BadSchema(f"{path}: no dataset 'sens_maps', and data.maps or data.augment.maps is file; set espirit")


def check_masks(infos: list[VolumeInfo], mask: Mask) -> None:
    """Data that come undersampled have one mask; a second one would declare sampled what is zero."""
    for info in infos:
        if mask.kind == "file" and not info.has_mask:
            raise BadSchema(f"{info.path}: no dataset 'mask', and data.mask has kind: file; set another kind")
        if mask.kind != "file" and info.undersampled:
            raise BadSchema(
                f"{info.path}: undersampled by its own dataset 'mask', and data.mask has kind: {mask.kind}; "
                "set data.mask.init_args.kind: file"
            )
    for size, path in {info.shape[2:]: info.path for info in infos}.items():
        try:
            mask.check(size)
        except ConfigError as error:
            raise ConfigError(f"data.mask: {error} (k-space {size} of {path})") from error


def announce_maps(infos: list[VolumeInfo], cache: Cache) -> None:
    """Says so where the maps that ESPIRiT will make take much of the user's disk."""
    size = sum(8 * math.prod(info.shape) for info in infos)
    if size > GIB and cache.writable:
        logger.warning(
            "ESPIRiT's maps of %d slices will take %.0f GiB in %s, or more where masks of one slice differ in their "
            "centre; they are made when a slice is first used; data.cache_dir names another place",
            sum(info.shape[0] for info in infos),
            size / GIB,
            cache.folder,
        )
