"""An engine without training: what `sciml fit` and `sciml test` leave behind, with losses of a formula."""

import json
import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from sciml.studies import Engine

DIVERGED = "sciml: NonFinite: step 3 (epoch 1): the loss is nan"
SECONDS = {"fft": 1.0, "padded": 2.0}  # of an epoch


def loss(contender: str, lr: float, epochs: int) -> float:
    """Least at lr 0.04 for `padded`, else at 0.01."""
    return (1 + math.log2(lr / (0.04 if contender == "padded" else 0.01)) ** 2) / epochs


class Killed(Exception):  # noqa: N818
    """The end of the study's process."""


class Pretended(Engine):
    """Does at once what it is asked for, and remembers it.

    Args:
        of: The loss of contender, lr and epochs; infinity for a training that diverges.
        ends_after: Commands, after which Killed is raised.
    """

    def __init__(self, of: Callable[[str, float, int], float] = loss, ends_after: float = math.inf) -> None:
        self.of, self.ends_after = of, ends_after
        self.commands: list[list[str]] = []

    async def run(self, work: Any, environment: Mapping[str, str]) -> int:
        for command, log in work.commands():
            if len(self.commands) >= self.ends_after:
                raise Killed
            self.commands.append(command[3:])
            log.parent.mkdir(parents=True, exist_ok=True)
            status = self._fit(command, log) if command[3] == "fit" else self._test(Path(command[4]))
            if status:
                return status
        return 0

    def fits(self) -> list[list[str]]:
        return [command for command in self.commands if command[0] == "fit"]

    def _fit(self, command: list[str], log: Path) -> int:
        folder = Path(command[command.index("--run_dir") + 1])
        given = dict(word[2:].split("=", 1) for word in command if word.startswith("--") and "=" in word)
        lr = next(float(value) for key, value in given.items() if key.endswith(".lr"))
        epochs = int(given["trainer.max_epochs"])
        found = self.of(folder.parent.name, lr, epochs)
        if math.isnan(found):
            log.write_text("sciml: ConfigError: no such thing\n")
            return 2
        if found == math.inf:
            log.write_text(f"epoch 1\n{DIVERGED}\n")
            return 1
        log.write_text("done\n")
        each = SECONDS.get(folder.parent.name, 1.0)
        cost = {"seconds_per_epoch": each, "epochs": epochs, "peak_memory_mb": 100.0}
        callbacks = {"TrainingCost": {"seconds": [each] * epochs}, "Checkpoints": {"best": found}}
        (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
        content = {"state_dict": {}, "training_cost": cost, "callbacks": callbacks}
        torch.save(content, folder / "checkpoints/last.ckpt")
        return 0

    def _test(self, folder: Path) -> int:
        val = torch.load(folder / "checkpoints/last.ckpt")["callbacks"]["Checkpoints"]["best"]
        seed = int(re.findall(r"_s(\d+)_", folder.name)[0])
        columns = [{"key": "relative_l2", "label": "relative L2", "format": ".4f", "better": "low"}]
        found = {"relative_l2": val + seed / 1000, "parameters": 7, "per_sample": {"relative_l2": [val, val + 1]}}
        (folder / "metrics.json").write_text(json.dumps({**found, "measures": {"columns": columns, "series": []}}))
        return 0
