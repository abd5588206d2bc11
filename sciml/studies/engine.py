"""Where the runs of a study run: on this machine, on a Dask cluster, or as jobs of SLURM."""

import asyncio
import os
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol, Self

from sciml.errors import ConfigError, RunFailed

POLL = 0.5  # seconds
TIMES = 100  # that a job is queued again when its time is up


class Work(Protocol):
    """Commands that are run one after another; it is sent to where they run, and asked for them there."""

    def commands(self) -> list[tuple[list[str], Path]]:
        """Each with the file that its output is added to."""


class Engine(ABC):
    """Runs work that is independent of one another; used as `async with engine`, and asked for all of it at once.

    A task that is cancelled sends SIGTERM to its processes, at which `sciml fit` writes a checkpoint, and waits for
    them.
    """

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        """Closes what it has opened."""
        return

    @abstractmethod
    async def run(self, work: Work, environment: Mapping[str, str]) -> int:
        """The exit status of the first command that fails, else 0."""


class LocalEngine(Engine):
    """Processes of this machine, `jobs` of them at a time."""

    def __init__(self, jobs: int = 1) -> None:
        if jobs < 1:
            raise ConfigError(f"jobs: {jobs}; allowed: 1 or more")
        self.jobs = jobs
        self._free: asyncio.Semaphore | None = None

    async def __aenter__(self) -> Self:
        self._free = asyncio.Semaphore(self.jobs)
        return self

    async def run(self, work: Work, environment: Mapping[str, str]) -> int:
        assert self._free is not None, "used without `async with`"
        async with self._free:
            for command, log in work.commands():
                if status := await self._run(command, log, environment):
                    return status
        return 0

    async def _run(self, command: Sequence[str], log: Path, environment: Mapping[str, str]) -> int:
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            process = await asyncio.create_subprocess_exec(
                *command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env={**os.environ, **environment}
            )
        try:
            return await process.wait()
        except asyncio.CancelledError:
            if process.returncode is None:
                process.terminate()
                await process.wait()
            raise


def execute(
    work: Work, environment: Mapping[str, str], folder: str, stopped: Callable[[], bool] = lambda: False
) -> int:
    """Runs the work in this process' children, in this working folder; on clusters it is called where there is room.

    When `stopped` becomes true the present command gets SIGTERM, and no other is begun.
    """
    for command, log in work.commands():
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, **environment},
                cwd=folder,
            )
        try:
            while process.poll() is None:
                if stopped():
                    process.terminate()
                time.sleep(POLL)
        finally:  # also where the place itself is taken away
            process.terminate()
            process.wait()
        if process.returncode or stopped():
            return process.returncode or -signal.SIGTERM
    return 0


class DaskEngine(Engine):
    """A Dask cluster by the address of its scheduler. Its workers see the same files, and run as many as their threads.

    Needs the extra `cluster` (`pip install sciml[cluster]`).
    """

    def __init__(self, address: str) -> None:
        self.address = address

    async def __aenter__(self) -> Self:
        distributed = _imported("distributed", "--dask")
        try:
            self._client: Any = await distributed.Client(self.address, asynchronous=True, set_as_default=False)
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"--dask: {self.address}: no scheduler there ({error}); expected tcp://HOST:PORT"
            ) from error
        self._stop = distributed.Event(f"sciml-stop-{os.getpid()}-{time.time_ns()}", client=self._client)
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._client.close()

    async def run(self, work: Work, environment: Mapping[str, str]) -> int:
        future = self._client.submit(_on_worker, work, dict(environment), os.getcwd(), self._stop.name, pure=False)
        try:
            return await future
        except asyncio.CancelledError:
            await self._stop.set()
            await future
            raise


class SlurmEngine(Engine):
    """Jobs of SLURM, those that are asked for together as one array, by `submitit`. Nodes see the same files.

    A job that its time limit or another job ends is queued again, and its run goes on. Needs the extra `cluster`
    (`pip install sciml[cluster]`).

    Args:
        folder: For scripts and logs.
        cluster: submitit's word: slurm; local and debug run on this machine.
        options: Of `submitit.AutoExecutor.update_parameters`, such as timeout_min, cpus_per_task, slurm_partition.
    """

    def __init__(self, folder: str | os.PathLike[str], cluster: str = "slurm", **options: Any) -> None:
        self.folder, self.cluster, self.options = Path(folder).absolute(), cluster, options
        self._stop = self.folder / f"stop-{os.getpid()}-{time.time_ns()}"
        self._waiting: list[tuple[Sequence[Any], asyncio.Future[Any]]] = []

    async def __aenter__(self) -> Self:
        submitit = _imported("submitit", "--slurm")
        try:
            self._executor: Any = submitit.AutoExecutor(self.folder, self.cluster, slurm_max_num_timeout=TIMES)
            self._executor.update_parameters(**self.options)
        except (RuntimeError, NameError, TypeError, ValueError) as error:
            raise ConfigError(f"--slurm: {' '.join(str(error).split())}") from error
        return self

    async def run(self, work: Work, environment: Mapping[str, str]) -> int:
        stopped = partial(os.path.exists, str(self._stop))
        job = await self._submitted(work, dict(environment), os.getcwd(), stopped)
        try:
            await _ended(job)
        except asyncio.CancelledError:
            self._stop.touch()
            if job.state == "PENDING":
                job.cancel(check=False)
            await _ended(job)
            raise
        try:
            return job.result()
        except Exception as error:  # whatever the job, or submitit, ended with
            reason = (str(error).strip().splitlines() or [type(error).__name__])[-1]
            raise RunFailed(f"job {job.job_id}: {reason}; see {job.paths.stderr}") from error

    async def _submitted(self, *arguments: Any) -> Any:
        """The job, once all that were asked for at the same moment are submitted as one array."""
        place = asyncio.get_running_loop().create_future()
        self._waiting.append((arguments, place))
        if len(self._waiting) == 1:
            await asyncio.sleep(POLL)
            together, self._waiting = self._waiting, []
            with self._executor.batch():
                jobs = [self._executor.submit(_Queued(), *given) for given, _ in together]
            for job, (_, waiting) in zip(jobs, together, strict=True):
                waiting.set_result(job)
        return await place


class _Queued:
    """`execute`, asked for again when its job was ended from outside."""

    def __call__(self, *arguments: Any) -> int:
        return execute(*arguments)

    def checkpoint(self, *arguments: Any) -> Any:
        """What submitit queues instead."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self, *arguments)


async def _ended(job: Any) -> None:
    while not job.done():
        await asyncio.sleep(POLL)


def _on_worker(work: Work, environment: Mapping[str, str], folder: str, stop: str) -> int:
    from distributed import Event, get_client

    return execute(work, environment, folder, Event(stop, client=get_client()).is_set)


def _imported(module: str, option: str) -> Any:
    try:
        return __import__(module)
    except ImportError as error:
        raise ConfigError(f"{option} needs {module}: pip install 'sciml[cluster]'") from error
