"""Slices gathered into volumes, which is how reconstructions are measured and stored."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import Tensor

from sciml.mri.batches import SliceBatch
from sciml.mri.metrics import volume_metrics
from sciml.mri.physics.coils import combine, rss
from sciml.mri.physics.fourier import ifft2c
from sciml.mri.physics.images import crop_centre
from sciml.training import ranks

METRICS = ("nmse", "psnr", "ssim")


@dataclass(frozen=True)
class Volume:
    """A reconstructed volume, (slice, y, x) float32 each; its mask (1 or y, x), and its acceleration if drawn."""

    name: str
    prediction: np.ndarray
    zero_filled: np.ndarray
    target: np.ndarray | None
    mask: np.ndarray
    maxval: float
    acceleration: float | None = None

    def metrics(self, maxval: float | None = None) -> dict[str, float]:
        """NMSE, PSNR, SSIM (`volume_metrics`); NaN without a target, or if it is zero everywhere."""
        if self.target is None:
            return dict.fromkeys(METRICS, float("nan"))
        return volume_metrics(self.target, self.prediction, maxval)


@dataclass
class VolumeStack:
    """Collects slices as batches come, in any order."""

    slices: dict[str, dict[int, tuple]] = field(default_factory=dict)

    def add(self, batch: SliceBatch, prediction: Tensor) -> None:
        """A batch with the network's magnitudes (B, h, w)."""
        plain = zero_filled(batch, (prediction.shape[-2], prediction.shape[-1]))
        arrays: list[Any] = [_numpy(t) for t in (prediction, plain, batch.target, batch.mask[:, 0], batch.maxval)]
        arrays.append(batch.acceleration)
        for i, (name, k) in enumerate(zip(batch.volume, batch.slice, strict=True)):
            self.slices.setdefault(name, {})[k] = tuple(None if a is None else a[i] for a in arrays)

    def gathered(self) -> "VolumeStack":
        """The slices of all devices, whose batches may cut a volume, on rank zero; empty elsewhere. All call it."""
        whole = VolumeStack()
        for name in sorted(set().union(*ranks.gather(list(self.slices)))):  # one at a time: they are large
            for part in ranks.gather_on_zero(self.slices.get(name, {})):
                whole.slices.setdefault(name, {}).update(part)
        return whole

    def volumes(self) -> list[Volume]:
        """By name; the mask is the first slice's."""
        return [_volume(name, [found[k] for k in sorted(found)]) for name, found in sorted(self.slices.items())]


def zero_filled(batch: SliceBatch, size: tuple[int, int]) -> Tensor:
    """What the undersampled data give without a network: SENSE if there are maps, else RSS; magnitudes (B, *size)."""
    coil_images = ifft2c(batch.kspace)
    image = rss(coil_images) if batch.maps is None else combine(coil_images, batch.maps).abs()
    return crop_centre(image, size)


def _volume(name: str, parts: list[tuple]) -> Volume:
    prediction, plain, target, mask, maxval, acceleration = zip(*parts, strict=True)
    stacked = None if target[0] is None else np.stack(target)
    return Volume(name, np.stack(prediction), np.stack(plain), stacked, mask[0], float(maxval[0]), acceleration[0])


def _numpy(tensor: Tensor | None) -> np.ndarray | None:
    return None if tensor is None else tensor.detach().cpu().numpy()
