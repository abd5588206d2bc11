"""Learning to reconstruct images from undersampled k-space."""

import math
from collections.abc import Callable
from statistics import fmean
from typing import Any, Literal

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor, nn
from torch.nn.functional import l1_loss, mse_loss

from sciml.errors import BadSchema, ConfigError
from sciml.metrics import ssim
from sciml.mri.batches import SliceBatch
from sciml.mri.sense import centre_crop
from sciml.mri.volumes import METRICS, VolumeStack
from sciml.tasks.base import Task
from sciml.tasks.schedules import Schedule


def _one_minus_ssim(prediction: Tensor, target: Tensor) -> Tensor:
    return 1 - ssim(prediction, target, torch.ones_like(target[:, 0, 0])).mean()


LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"l1": l1_loss, "mse": mse_loss, "ssim": _one_minus_ssim}


class MRITask(Task):
    """Trains `net(kspace, mask, maps)`, an image (B, y, x), toward the magnitude of the fully sampled one.

    A complex output counts by its magnitude, and the centre of the target's size is compared. Loss: of prediction and
    target, both divided by the volume's maximum: l1, mse, or ssim (1 − SSIM with data range 1, as E2E-VarNet's).
    Logged at the end of each epoch: `*_loss`; in validation also `val_nmse`, `val_psnr`, `val_ssim`, means over whole
    volumes with the file's maximum as range, as fastMRI does while training. A volume whose target is zero everywhere
    is left out of these.
    """

    monitor = "val_nmse"

    def __init__(
        self,
        net: nn.Module,
        optimizer: OptimizerCallable,
        scheduler: Schedule | None = None,
        *,
        loss: Literal["l1", "mse", "ssim"] = "ssim",
        factor_lr: float | None = None,
        factor_decay: float = 0.0,
    ) -> None:
        super().__init__(net, optimizer, scheduler, factor_lr=factor_lr, factor_decay=factor_decay)
        self.loss = LOSSES[loss]
        self._validation = VolumeStack()

    def forward(self, batch: SliceBatch) -> Tensor:
        """Magnitudes (B, h, w), of the target's size if there is one.

        Raises BadSchema when the target is larger than the image.
        """
        # Lightning casts real numbers alone to the type of the network.
        double = torch.promote_types(torch.complex64, self.dtype)  # type: ignore[arg-type]
        kspace, maps = (x if x is None else x.to(double) for x in (batch.kspace, batch.maps))
        image = self.net(kspace, batch.mask, maps)
        image = image.abs() if image.is_complex() else image
        if batch.target is None:
            return image
        try:
            return centre_crop(image, (batch.target.shape[-2], batch.target.shape[-1]))
        except ValueError as error:
            raise BadSchema(
                f"{batch.volume[0]}: slice {batch.slice[0]}: target {batch.target.shape}: {error}"
            ) from error

    def check_data(self, batch: SliceBatch) -> None:
        """Raise ConfigError unless the network can be trained on such slices."""
        try:
            with torch.no_grad():
                self(batch)
        except ConfigError:
            raise
        except (RuntimeError, ValueError, IndexError, TypeError) as error:
            raise ConfigError(f"model.net does not fit k-space {tuple(batch.kspace.shape)}: {error}") from error

    def training_step(self, batch: SliceBatch, batch_idx: int) -> Tensor | None:
        loss = self._loss(self(batch), batch)
        self.log("train_loss", loss, on_step=False, on_epoch=True, prog_bar=True, batch_size=len(batch.volume))
        return loss if loss.requires_grad else None  # zero-filled SENSE has nothing to train

    def validation_step(self, batch: SliceBatch, batch_idx: int) -> Tensor:
        prediction = self(batch)
        self.log("val_loss", self._loss(prediction, batch), batch_size=len(batch.volume))
        self._validation.add(batch, prediction)
        return prediction

    def on_validation_epoch_end(self) -> None:
        volumes, self._validation = self._validation.volumes(), VolumeStack()
        found = [v.metrics(v.maxval or None) for v in volumes]
        for name in METRICS:
            values = [m[name] for m in found if math.isfinite(m[name])]
            if values:
                self.log(f"val_{name}", fmean(values), prog_bar=name == "ssim")

    def test_step(self, batch: SliceBatch, batch_idx: int) -> Tensor:
        return self(batch)

    def predict_step(self, batch: SliceBatch, batch_idx: int) -> Tensor:
        return self(batch)

    def _loss(self, prediction: Tensor, batch: SliceBatch) -> Tensor:
        assert batch.target is not None  # the data module has checked
        scale = torch.where(batch.maxval > 0, batch.maxval, 1.0)[:, None, None]
        return self.loss(prediction / scale, batch.target / scale)


class VolumeCollector(Callback):
    """Keeps the volumes of a test or predict run, on the CPU."""

    def __init__(self) -> None:
        self.stack = VolumeStack()

    def on_test_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        prediction, batch = args[:2]
        self.stack.add(batch, prediction)

    def on_predict_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        self.on_test_batch_end(trainer, pl_module, *args)
