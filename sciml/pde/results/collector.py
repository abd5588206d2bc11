"""What a network made of a test set, gathered while it runs."""

from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from sciml.training import ranks


class Collector(Callback):
    """Keeps inputs, targets (if any) and predictions of a run, on the CPU; in the end all on rank zero."""

    def __init__(self) -> None:
        self.batches: list[tuple[Tensor, Tensor | None, Tensor]] = []

    def on_test_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        prediction, batch = args[:2]
        if batch is not None:
            target = None if batch.target is None else batch.target.cpu()
            self.batches.append((batch.input.cpu(), target, prediction.cpu()))

    def on_predict_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        self.on_test_batch_end(trainer, pl_module, *args)

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        mine, self.batches = self.batches, []
        for k in range(max(ranks.gather(len(mine)))):  # dealt out one by one, so this is the samples' order
            found = ranks.gather_on_zero(mine[k] if k < len(mine) else None)
            self.batches += [batch for batch in found if batch is not None]

    def on_predict_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.on_test_epoch_end(trainer, pl_module)

    def fields(self) -> dict[str, Tensor]:
        """`input`, `target` (if there were any) and `prediction`, all samples in the data's order."""
        parts = zip(*self.batches, strict=True)
        named = zip(("input", "target", "prediction"), parts, strict=True)
        return {name: torch.cat(part) for name, part in named if part[0] is not None}
