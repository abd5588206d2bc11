"""The processes of a run on several devices: how they are started, and how one that is lost ends them all."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from lightning.fabric.plugins.environments import LightningEnvironment
from lightning.pytorch import Trainer
from lightning.pytorch.strategies import DDPStrategy
from lightning.pytorch.strategies.launchers import _SubprocessScriptLauncher  # it has no public launcher to build on
from lightning.pytorch.utilities import rank_zero_only

from sciml.training import ranks
from sciml.training.stopping import Stopped, ending

GRACE = 10.0  # seconds in which a process may end by itself, with its own words, after another was lost
PARENT = "SCIML_PARENT"


def is_rank_zero() -> bool:
    """Whether this process writes; known before the others are started."""
    return getattr(rank_zero_only, "rank", 0) == 0


def environment_plugins() -> list[LightningEnvironment]:
    """What keeps Lightning from counting on srun where a batch job or an interactive one has set SLURM's variables.

    srun starts a process for each task of a step; a shell in an allocation is one task alone, or none.
    """
    alone = int(os.environ.get("SLURM_STEP_NUM_TASKS") or 1) == 1
    return [LightningEnvironment()] if "SLURM_NTASKS" in os.environ and alone else []


class Launcher(_SubprocessScriptLauncher):
    """Starts `sciml` with the same arguments once more for each further device.

    A process that is lost, or fails alone, ends all of them with a status that is not 0 within `GRACE`. Lightning
    would repeat what is in `sys.argv`, whatever program that is, and end rank zero by SIGKILL, without a word.
    """

    def __init__(self, trainer: Trainer, arguments: Sequence[str]) -> None:
        given = trainer.strategy.launcher
        assert isinstance(given, _SubprocessScriptLauncher)
        super().__init__(given.cluster_environment, given.num_processes, given.num_nodes)
        code = "import sys; from sciml.cli import main; sys.exit(main())"
        self.command = [sys.executable, "-c", code, *arguments]

    def launch(self, function: Callable, *args: Any, trainer: Any = None, **kwargs: Any) -> Any:
        self.cluster_environment.validate_settings(num_devices=self.num_processes, num_nodes=self.num_nodes)
        if not self.cluster_environment.creates_processes_externally:
            self._start_others()
            _in_background(self._watch_children)
        elif parent := os.environ.get(PARENT):
            _in_background(lambda: _watch_parent(int(parent)))
        _share_threads(self.num_processes)
        try:
            return function(*args, **kwargs)
        except Stopped as stopped:
            if not stopped.together:
                self.kill(signal.SIGTERM)
            self._wait()
            raise
        except Exception as error:
            if not ranks.peer_was_lost(error):  # the others cannot go on without this one
                self.kill(signal.SIGKILL)
                raise
            self._wait()
            raise ChildProcessError(self._lost() or "another process of this run has ended") from error

    def _start_others(self) -> None:
        self._check_can_spawn_children()
        environment = os.environ | {
            "MASTER_ADDR": self.cluster_environment.main_address,
            "MASTER_PORT": str(self.cluster_environment.main_port),
            "NODE_RANK": str(self.cluster_environment.node_rank()),
            "WORLD_SIZE": str(self.num_processes * self.num_nodes),
            PARENT: str(os.getpid()),
        }
        self.procs = [
            subprocess.Popen(self.command, env=environment | {"LOCAL_RANK": str(local)})
            for local in range(1, self.num_processes)
        ]

    def _wait(self) -> None:
        deadline = time.monotonic() + GRACE
        while any(process.poll() is None for process in self.procs) and time.monotonic() < deadline:
            time.sleep(0.05)
        self.kill(signal.SIGKILL)

    def _lost(self) -> str | None:
        for k, process in enumerate(self.procs, 1):
            if code := process.poll():
                return f"process {k} of this run {ending(code)}; all others are ended; continue with --ckpt_path last"
        return None

    def _watch_children(self) -> None:
        while (lost := self._lost()) is None:
            if all(process.returncode == 0 for process in self.procs):
                return
            time.sleep(0.2)
        time.sleep(GRACE)
        print(f"sciml: ChildProcessError: {lost}", file=sys.stderr, flush=True)
        self.kill(signal.SIGKILL)
        os._exit(1)


def use_launcher(trainer: Trainer, arguments: Sequence[str]) -> None:
    """Let a trainer with several devices start them by a `Launcher`."""
    if isinstance(trainer.strategy, DDPStrategy):
        trainer.strategy._launcher = Launcher(trainer, arguments)


def _share_threads(processes: int) -> None:
    """The cores shared out among the processes, as by Lightning's launchers, unless OMP_NUM_THREADS says otherwise."""
    if "OMP_NUM_THREADS" not in os.environ:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        torch.set_num_threads(max(1, cores // processes))
        os.environ["OMP_NUM_THREADS"] = str(max(1, cores // processes))


def _watch_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.2)
    time.sleep(GRACE)
    os._exit(1)


def _in_background(watch: Callable[[], None]) -> None:
    threading.Thread(target=watch, daemon=True, name="watch").start()
