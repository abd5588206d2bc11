"""Results of `sciml test` and `sciml predict`: in which folder they go, and what tells them from others."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sciml.runs.checkpoints import relative
from sciml.runs.directory import RUN, RunDirectory
from sciml.runs.settings import DataClass, Origin


class Measurement:
    """What a checkpoint is measured on, or predicts from.

    Args:
        run: The directory that the command was given.
        origin: The checkpoint and the settings asked for.
        described: The data module's description of its test samples, JSON values; `path` names it.
        batch_size: Samples of a batch: limits are counted in batches.

    Attributes:
        identity: What tells the results from those of other data, weights or computation; JSON values.
    """

    def __init__(self, run: RunDirectory, origin: Origin, described: Mapping[str, Any], batch_size: int) -> None:
        self.run, self.origin, self.described = run, origin, dict(described)
        path, trainer = origin.checkpoint, origin.settings["trainer"]
        asked = {k: trainer.get(k) for k in ("precision", "limit_test_batches", "limit_predict_batches")}
        if trainer.get("fast_dev_run"):
            asked["fast_dev_run"] = trainer["fast_dev_run"]
        if any(value is not None for key, value in asked.items() if key != "precision"):
            asked["batch_size"] = batch_size
        weights = path.name if run.owns(path) else str(path.resolve())
        self.identity = {**self.described, **asked, "checkpoint": weights}

    def evaluation_folder(self, data: DataClass) -> RunDirectory:
        """The run itself for its own test data, a folder beside them for other data.

        Raises ConfigError where the results of another network, or the user's files, are in the way.
        """
        if not self.run.owns(self.origin.checkpoint):
            self.run.require_evaluation(self.identity)
            folder = self.run
        else:
            other = self.origin.tests_other_data(data)
            folder = self.run.beside("evaluations", self.identity) if other else self.run
        folder.require_results()
        return folder

    def prediction_folder(self) -> RunDirectory:
        """predict/NAME within the run. Raises ConfigError where the user's files are in the way."""
        folder = self.run.beside("predict", self.identity)
        folder.require_results()
        return folder

    @contextmanager
    def evaluating(self, folder: RunDirectory, config: str) -> Iterator[None]:
        """Records what the block writes there; a folder that is not the run's gets the configuration first."""
        own = folder.is_run
        with folder.recording({"kind": RUN, "trained": True} if own else self._mark("evaluation")):
            if not own:  # first, since a rollout that diverged ends here
                folder.write_config(config)
            yield

    @contextmanager
    def predicting(self, folder: RunDirectory) -> Iterator[None]:
        """Records what the block writes there."""
        with folder.recording(self._mark("prediction")):
            yield

    def info(self, folder: Path, facts: Mapping[str, Any]) -> dict[str, Any]:
        """What metrics.json says beside the errors; see `info`."""
        return info(folder, self.origin.checkpoint, facts, self.described)

    def _mark(self, kind: str) -> dict[str, Any]:
        return {"kind": kind, "data": self.identity}


def info(
    folder: Path, checkpoint: str | Path | None, facts: Mapping[str, Any], described: Mapping[str, Any]
) -> dict[str, Any]:
    """Entries of metrics.json: the task's `facts`, whose weights these are, seen from `folder`, and on which data."""
    weights = {} if checkpoint is None else {"checkpoint": relative(checkpoint, folder)}
    return {**facts, **weights, "data": dict(described)}
