"""Learning which digit a picture shows."""

from torch import Tensor
from torch.nn.functional import cross_entropy

from sciml.errors import ConfigError
from sciml.training.results import Results
from sciml.training.task import Task
from sciml.vision.data import DigitsBatch


class VisionTask(Task):
    """Trains `net`, from pictures (B, 1, 8, 8) to logits (B, 10), by the cross entropy of the digit, in nats.

    Logged at the end of each epoch: `train_loss`, `val_loss`, `val_error` (the share of wrong digits).
    """

    monitor = "val_loss"
    logged = ("train_loss", "val_loss", "val_error")
    shown = logged
    result_names = ("logits.npy",)

    def forward(self, pictures: Tensor) -> Tensor:
        return self.net(pictures)

    def results(self) -> Results:
        from sciml.vision.results import DigitsResults  # brings matplotlib, which training needs not

        return DigitsResults()

    def check_data(self, batch: DigitsBatch) -> None:
        """Raise ConfigError for a network made for other pictures."""
        try:
            self(batch.pictures[:1])
        except RuntimeError as error:
            reason = str(error).partition("\n")[0]
            shape = tuple(batch.pictures.shape[1:])
            raise ConfigError(f"model.net does not fit pictures {shape}: {reason}; set model.net.size") from error

    def training_step(self, batch: DigitsBatch, batch_idx: int) -> Tensor:
        loss = cross_entropy(self(batch.pictures), batch.digits)
        self.trained.add("train_loss", loss.detach(), len(batch.digits))
        return loss

    # None for a batch: this device's share of the samples has ended.

    def validation_step(self, batch: DigitsBatch | None, batch_idx: int) -> None:
        if batch is not None:
            logits = self(batch.pictures)
            self.measured.add("val_loss", cross_entropy(logits, batch.digits), len(batch.digits))
            wrong = logits.argmax(-1) != batch.digits
            self.measured.add("val_error", wrong.double().mean(), len(batch.digits))

    def test_step(self, batch: DigitsBatch | None, batch_idx: int) -> Tensor | None:
        return None if batch is None else self(batch.pictures)

    predict_step = test_step
