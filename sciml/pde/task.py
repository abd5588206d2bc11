"""Learning the evolution of a field, or a static map between fields."""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import torch
from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor, nn

from sciml.errors import BadSchema, ConfigError
from sciml.pde.batches import Batch, InputBatch, Statistics
from sciml.pde.losses import RelativeL2Loss
from sciml.pde.metrics import counted_mean, is_zero, relative_l2_per_sample
from sciml.pde.models.state import without_metadata
from sciml.training.results import Results
from sciml.training.schedules import AnySchedule
from sciml.training.task import Task


class PDETask(Task):
    """Trains `net` to continue the field, as FNO's script does (Li et al., 2021).

    The network maps the last T_in frames to the next one or several; the rollout feeds them back until T_out
    frames are there, and gradients flow through all of it. A static map is a rollout of one call.

    Loss: `loss(prediction, target)`, of fields (B, T_out, *grid). Logged at the end of each epoch: `*_loss`; for
    validation and test also `*_relative_l2`, over the whole trajectory, and `*_relative_l2_step`, the mean over frames
    of the error at each, both averaged over samples.

    With `normalize`, the network works on (field − mean) / std of the training set. Loss and metrics are
    taken in the data's own units. The statistics are buffers, so a checkpoint carries them.
    """

    monitor = "val_relative_l2"
    logged = ("train_loss", "val_loss", "val_relative_l2", "val_relative_l2_step")
    shown = ("train_loss", "val_relative_l2", "test_relative_l2")

    input_mean: Tensor
    input_std: Tensor
    target_mean: Tensor
    target_std: Tensor

    def __init__(
        self,
        net: nn.Module,
        optimizer: OptimizerCallable,
        scheduler: AnySchedule | None = None,
        *,
        loss: nn.Module = RelativeL2Loss(),  # noqa: B008 - never used itself: each task has a copy
        factor_lr: float | None = None,
        factor_decay: float = 0.0,
        structured_rates: bool = False,
        normalize: bool = False,
    ) -> None:
        super().__init__(
            net, optimizer, scheduler,
            factor_lr=factor_lr, factor_decay=factor_decay, structured_rates=structured_rates,
        )  # fmt: skip
        self.register_state_dict_post_hook(without_metadata)  # of neuralop's models
        self.loss = deepcopy(loss)
        self.normalize = normalize
        for name in Statistics._fields:
            self.register_buffer(name, torch.full((), float(name.endswith("std"))))

    def setup(self, stage: str) -> None:
        if self.normalize and stage == "fit":
            # Before a checkpoint is restored: a resumed run keeps the statistics it started with.
            self._set_statistics(self.trainer.datamodule.statistics._asdict())  # type: ignore[attr-defined]

    def on_load_checkpoint(self, checkpoint: Mapping[str, Any]) -> None:
        super().on_load_checkpoint(checkpoint)
        # Their shape, one value a channel, follows the data and is not known before.
        self._set_statistics(checkpoint["state_dict"])

    def _set_statistics(self, values: Mapping[str, Tensor]) -> None:
        for name in values.keys() & set(Statistics._fields):
            setattr(self, name, values[name].detach().clone().to(self.device))

    def forward(self, frames: Tensor) -> Tensor:
        """The frames that follow (B, T_in, *grid), or the map's values, in the data's units and precision."""
        if not self.normalize:
            return _in_precision(self.net(frames), frames)
        output = _in_precision(self.net((frames - self.input_mean) / self.input_std), frames)
        mean = self.target_mean if output.is_complex() else self.target_mean.real
        return output * self.target_std + mean

    def rollout(self, frames: Tensor, n_steps: int) -> Tensor:
        """Continue (B, T_in, *grid) by n_steps frames: (B, n_steps, *grid).

        Raises BadSchema when the network's frames per call do not divide n_steps, or when it returns more
        than it takes and would have to be called again.
        """
        predicted = [self(frames)]
        per_call = predicted[0].shape[1]
        if n_steps % per_call or (n_steps > per_call > frames.shape[1]):
            raise BadSchema(
                f"a network from {frames.shape[1]} frames (channels) to {per_call} cannot reach a target of "
                f"{n_steps}; set the network's out_channels to a divisor of {n_steps}"
            )
        window = frames
        for _ in range(n_steps // per_call - 1):
            window = torch.cat((window[:, per_call:], predicted[-1]), dim=1)
            predicted.append(self(window))
        return torch.cat(predicted, dim=1)

    def results(self) -> Results:
        from sciml.pde.results.field_results import FieldResults  # brings matplotlib, which training needs not

        return FieldResults()

    def check_data(self, batch: Batch) -> None:
        """Raise ConfigError, naming the shapes, unless the network can be trained on such inputs and targets.

        Learned transforms are served and trained on any grid, but begin as the DFT of the one that they are made for
        (`sciml.pde.monarchize`): another one is taken for a slip.
        """
        self._check_shapes(batch.input, batch.target.shape[1], batch.target)
        own, grid = getattr(self.net, "grid", None), list(batch.input.shape[2:])
        if own is not None and list(own) != grid:
            raise ConfigError(
                f"model.net does not fit the data: its learned transforms are made for the grid {list(own)} and would "
                f"learn from data on {grid}; set model.net.init_args.grid to {grid}, or change data.subsample"
            )

    def _check_shapes(self, input: Tensor, n_steps: int | None, target: Tensor | None) -> None:
        """Raise ConfigError unless the network maps one such input to `n_steps` frames, as the target is."""
        expected = None if target is None else tuple(target.shape[1:])
        shapes = f"input {tuple(input.shape[1:])}" + (f", target {expected}" if expected else "")
        try:
            with torch.no_grad():
                prediction = self._continued(input[:1], n_steps)
        except torch.OutOfMemoryError:
            raise
        except (RuntimeError, ValueError, IndexError, TypeError, AssertionError) as error:
            reason = str(error).partition("\n")[0] or type(error).__name__
            raise ConfigError(f"model.net does not fit the data ({shapes}): {reason}") from error
        if prediction.shape[1:] != (expected or (*prediction.shape[1:2], *input.shape[2:])):
            found = tuple(prediction.shape[1:])
            raise ConfigError(f"model.net does not fit the data ({shapes}): it predicts {found}")
        if target is not None and prediction.is_complex() != target.is_complex():
            raise ConfigError(
                f"model.net does not fit the data: it predicts {prediction.dtype}, the targets are {target.dtype}; a "
                "complex field needs a complex network and a real one a real network, or store real and imaginary "
                "part as two channels"
            )

    def _continued(self, frames: Tensor, n_steps: int | None) -> Tensor:
        return self(frames) if n_steps is None else self.rollout(frames, n_steps)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        prediction = self.rollout(batch.input, batch.target.shape[1])
        loss = self.loss(prediction, batch.target)
        self.trained.add("train_loss", loss.detach(), len(batch.target))
        return loss

    # None for a batch: this device's share of the samples has ended.

    def validation_step(self, batch: Batch | None, batch_idx: int) -> Tensor | None:
        return None if batch is None else self._evaluate(batch, batch_idx, "val")

    def test_step(self, batch: Batch | None, batch_idx: int) -> Tensor | None:
        return None if batch is None else self._evaluate(batch, batch_idx, "test")

    def predict_step(self, batch: Batch | InputBatch | None, batch_idx: int) -> Tensor | None:
        """As many frames as the target has; without one as the data module says, else what the network returns."""
        if batch is None:
            return None
        module = self.trainer.datamodule  # type: ignore[attr-defined]
        n_steps = getattr(module, "horizon", None) if batch.target is None else batch.target.shape[1]
        if batch_idx == 0:
            self._check_shapes(batch.input, n_steps, None)
        return self._continued(batch.input, n_steps)

    def _evaluate(self, batch: Batch, batch_idx: int, stage: str) -> Tensor:
        if batch_idx == 0:
            self._check_shapes(batch.input, batch.target.shape[1], batch.target)
        prediction = self.rollout(batch.input, batch.target.shape[1])
        self.measured.add(f"{stage}_loss", self.loss(prediction, batch.target), len(batch.target))
        for name, batch_dims in (("", 1), ("_step", 2)):
            errors = relative_l2_per_sample(prediction, batch.target, batch_dims=batch_dims)
            excluded = is_zero(batch.target, batch_dims=batch_dims)
            # Weighted by what was counted, so that the epoch's mean is the mean over what has an error.
            mean = counted_mean(errors, excluded=excluded).mean
            self.measured.add(f"{stage}_relative_l2{name}", mean, int((~excluded).sum()))
        return prediction


def _in_precision(output: Tensor, frames: Tensor) -> Tensor:
    """The output in the frames' precision: complex stays complex, real stays real."""
    dtype = frames.real.dtype
    return output.to(torch.promote_types(dtype, torch.complex32) if output.is_complex() else dtype)
