"""Learning to reconstruct images from undersampled k-space."""

import math
from copy import deepcopy
from statistics import fmean

import torch
from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor, nn

from sciml.errors import BadSchema, ConfigError, NonFinite
from sciml.mri.batches import SliceBatch
from sciml.mri.losses import SSIMLoss
from sciml.mri.physics.images import crop_centre
from sciml.mri.volumes import METRICS, VolumeStack
from sciml.training import ranks
from sciml.training.results import Results
from sciml.training.schedules import AnySchedule
from sciml.training.task import Task


class MRITask(Task):
    """Trains `net(kspace, mask, maps)`, an image (B, y, x), toward the magnitude of the fully sampled one.

    A complex output counts by its magnitude, and the centre of the target's size is compared. Loss: `loss(prediction,
    target)` of images (B, y, x), both divided by the volume's maximum: `SSIMLoss`, `torch.nn.L1Loss` or
    `torch.nn.MSELoss`. Slices whose target is zero everywhere have none and do not count in its means.
    Logged at the end of each epoch: `*_loss`; in validation also `val_nmse`, `val_psnr`, `val_ssim`, means over whole
    volumes with the file's maximum as range, as fastMRI does while training. Volumes whose target is zero everywhere
    are left out of these; `val_excluded` counts them where there are any. NonFinite is raised for a reconstruction that
    holds NaN or infinity.
    """

    monitor = "val_nmse"
    logged = ("train_loss", "val_loss", *(f"val_{name}" for name in METRICS), "val_excluded")
    shown = ("train_loss", "val_ssim")

    def __init__(
        self,
        net: nn.Module,
        optimizer: OptimizerCallable,
        scheduler: AnySchedule | None = None,
        *,
        loss: nn.Module = SSIMLoss(),  # noqa: B008 - never used itself: each task has a copy
        factor_lr: float | None = None,
        factor_decay: float = 0.0,
        structured_rates: bool = False,
    ) -> None:
        super().__init__(
            net, optimizer, scheduler,
            factor_lr=factor_lr, factor_decay=factor_decay, structured_rates=structured_rates,
        )  # fmt: skip
        self.loss = deepcopy(loss)
        self._validation = VolumeStack()

    def forward(self, batch: SliceBatch) -> Tensor:
        """Magnitudes (B, h, w), of the target's size; without a target, of the size that the file's header asks for.

        Raises BadSchema when that is larger than the image.
        """
        # Lightning casts real numbers alone to the type of the network.
        dtype = torch.promote_types(torch.complex64, self.dtype)  # type: ignore[arg-type]
        kspace, maps = (x if x is None else x.to(dtype) for x in (batch.kspace, batch.maps))
        image = self.net(kspace, batch.mask, maps)
        image = image.abs() if image.is_complex() else image
        size = batch.size if batch.target is None else (batch.target.shape[-2], batch.target.shape[-1])
        if size is None:
            return image
        try:
            return crop_centre(image, size)
        except ValueError as error:
            raise BadSchema(f"{batch.volume[0]}: slice {batch.slice[0]}: {size} wanted: {error}") from error

    def results(self) -> Results:
        from sciml.mri.results import VolumeResults  # brings matplotlib, which training needs not

        return VolumeResults()

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
        loss, counted = self._loss(self(batch), batch)
        self.trained.add("train_loss", loss.detach(), counted)
        return loss if loss.requires_grad else None  # zero-filled SENSE has nothing to train

    # None for a batch: this device's share of the slices has ended.

    def validation_step(self, batch: SliceBatch | None, batch_idx: int) -> Tensor | None:
        if batch is None:
            return None
        prediction = self(batch)
        _check_finite(prediction, batch)
        self.measured.add("val_loss", *self._loss(prediction, batch))
        self._validation.add(batch, prediction)
        return prediction

    def on_validation_epoch_start(self) -> None:
        super().on_validation_epoch_start()
        self._validation = VolumeStack()

    def on_validation_epoch_end(self) -> None:
        super().on_validation_epoch_end()
        whole, self._validation = self._validation.gathered(), VolumeStack()
        found = ranks.from_zero([v.metrics(v.maxval or None) for v in whole.volumes()])
        for name in METRICS:
            values = [m[name] for m in found if math.isfinite(m[name])]
            if values:
                self.log_agreed(f"val_{name}", fmean(values))
        if excluded := sum(math.isnan(m["nmse"]) for m in found):
            self.log_agreed("val_excluded", float(excluded))

    def test_step(self, batch: SliceBatch | None, batch_idx: int) -> Tensor | None:
        return None if batch is None else self(batch)

    predict_step = test_step

    def _loss(self, prediction: Tensor, batch: SliceBatch) -> tuple[Tensor, int]:
        """Of the slices with a signal (where all is zero nothing tells one reconstruction from another); their count.

        0 without any.
        """
        assert batch.target is not None  # the data module has checked
        signal = batch.target.flatten(1).any(1)
        counted = int(signal.sum())
        if not counted:
            return 0 * prediction.sum(), 0
        scale = torch.where(batch.maxval > 0, batch.maxval, 1.0)[:, None, None]
        predicted, target = prediction / scale, batch.target / scale
        if counted < len(signal):
            predicted, target = predicted[signal], target[signal]
        return self.loss(predicted, target), counted


def _check_finite(prediction: Tensor, batch: SliceBatch) -> None:
    if bool(prediction.isfinite().all()):
        return
    bad = (~prediction.isfinite()).flatten(1).sum(1)
    first = int(bad.argmax())
    raise NonFinite(
        f"{batch.volume[first]}: slice {batch.slice[first]}: {int(bad[first])} values of the reconstruction are NaN or "
        "infinite; the data are finite, so lower the learning rate or raise trainer.precision"
    )
