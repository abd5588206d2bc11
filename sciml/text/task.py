"""Learning which byte follows."""

from torch import Tensor
from torch.nn.functional import cross_entropy

from sciml.text.data import TextBatch
from sciml.training.results import Results
from sciml.training.task import Task


class TextTask(Task):
    """Trains `net`, from bytes (B, T) to logits (B, T, 256), by the cross entropy of the byte that follows, in nats.

    Logged at the end of each epoch: `train_loss`, `val_loss`, the means over windows.
    """

    monitor = "val_loss"
    logged = ("train_loss", "val_loss")
    shown = logged
    result_names = ("surprise.npy",)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.net(tokens)

    def surprise(self, batch: TextBatch) -> Tensor:
        """−log p of each byte that follows, given those before it: (B, T), in nats."""
        return cross_entropy(self(batch.tokens).mT, batch.following, reduction="none")

    def results(self) -> Results:
        from sciml.text.results import TextResults  # brings matplotlib, which training needs not

        return TextResults()

    def check_data(self, batch: TextBatch) -> None:
        """Raise ConfigError for windows that are longer than the network's context."""
        self(batch.tokens[:1])

    def training_step(self, batch: TextBatch, batch_idx: int) -> Tensor:
        loss = self.surprise(batch).mean()
        self.trained.add("train_loss", loss.detach(), len(batch.tokens))
        return loss

    # None for a batch: this device's share of the samples has ended.

    def validation_step(self, batch: TextBatch | None, batch_idx: int) -> None:
        if batch is not None:
            self.measured.add("val_loss", self.surprise(batch).mean(), len(batch.tokens))

    def test_step(self, batch: TextBatch | None, batch_idx: int) -> Tensor | None:
        return None if batch is None else self.surprise(batch)

    predict_step = test_step
