"""Engines: each runs commands where it is told to, hands back their status, and ends them when it is stopped."""

import asyncio
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from sciml.errors import ConfigError
from sciml.studies import DaskEngine, Engine, LocalEngine, SlurmEngine
from sciml.studies.concurrency import together

TRAP = """
import signal, sys, time, pathlib
def end(*_): print("stopped", flush=True); sys.exit(143)
signal.signal(signal.SIGTERM, end)
pathlib.Path(sys.argv[1]).touch()
time.sleep(60)
"""


@dataclass(frozen=True)
class Scripts:
    """Python programs, one after another, with arguments."""

    codes: Sequence[str]
    log: Path
    arguments: Sequence[str] = ()

    def commands(self) -> list[tuple[list[str], Path]]:
        return [([sys.executable, "-c", code, *self.arguments], self.log) for code in self.codes]


def used(engine: Engine, *works: Scripts) -> list[int]:
    async def all_of_them() -> list[int]:
        async with engine:
            return await together(engine.run(work, {"OMP_NUM_THREADS": "3"}) for work in works)

    return asyncio.run(all_of_them())


def on_dask(use: Callable[[DaskEngine], None]) -> None:
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None, protocol="tcp", host="127.0.0.1"
    ) as cluster:
        use(DaskEngine(cluster.scheduler_address))


def on_submitit(use: Callable[[SlurmEngine], None], folder: Path) -> None:
    pytest.importorskip("submitit")
    use(SlurmEngine(folder / "slurm", cluster="local", timeout_min=1))


def in_processes(use: Callable[[LocalEngine], None]) -> None:
    use(LocalEngine(2))


@pytest.fixture(params=["local", "dask", "submitit"])
def with_engine(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Callable[[Engine], None]], None]:
    if request.param == "submitit":
        return lambda use: on_submitit(use, tmp_path)
    return {"local": in_processes, "dask": on_dask}[request.param]


def test_commands_run_in_turn_until_one_fails(with_engine, tmp_path: Path) -> None:
    says = "import os; print(os.environ['OMP_NUM_THREADS'], flush=True)"
    good = Scripts([says, says], tmp_path / "deep/good.log")
    bad = Scripts([says, "raise SystemExit(3)", says], tmp_path / "bad.log")
    empty = Scripts([], tmp_path / "empty.log")

    def use(engine: Engine) -> None:
        assert used(engine, good, bad, empty) == [0, 3, 0]

    with_engine(use)
    assert good.log.read_text() == "3\n3\n"
    assert bad.log.read_text() == "3\n"
    assert not empty.log.exists()


def test_what_is_stopped_gets_sigterm_and_is_waited_for(with_engine, tmp_path: Path) -> None:
    work = Scripts([TRAP, "print('never')"], tmp_path / "log", [str(tmp_path / "begun")])

    async def stopped(engine: Engine) -> None:
        async with engine:
            task = asyncio.ensure_future(engine.run(work, {}))
            while not (tmp_path / "begun").exists():
                assert not task.done()
                await asyncio.sleep(0.05)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    with_engine(lambda engine: asyncio.run(stopped(engine)))
    assert work.log.read_text() == "stopped\n"


@pytest.mark.parametrize("jobs", [1, 2])
def test_so_many_run_at_a_time(tmp_path: Path, jobs: int) -> None:
    code = "import time; print(time.time(), flush=True); time.sleep(0.2); print(time.time())"
    works = [Scripts([code], tmp_path / f"{i}.log") for i in range(4)]
    assert used(LocalEngine(jobs), *works) == [0, 0, 0, 0]
    spans = [tuple(map(float, work.log.read_text().split())) for work in works]
    most = max(sum(begin <= other[0] < end for other in spans) for begin, end in spans)
    assert most <= jobs


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # submitit's debug jobs leave logs open
def test_jobs_that_are_asked_for_together_are_one_array(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    submitit = pytest.importorskip("submitit")
    arrays = []
    batch = submitit.AutoExecutor.batch
    monkeypatch.setattr(submitit.AutoExecutor, "batch", lambda self: arrays.append(self) or batch(self))
    engine = SlurmEngine(tmp_path / "slurm", cluster="debug")
    assert used(engine, *(Scripts(["pass"], tmp_path / f"{i}.log") for i in range(3))) == [0, 0, 0]
    assert len(arrays) == 1


def test_a_job_that_is_ended_from_outside_goes_on(tmp_path: Path) -> None:
    pytest.importorskip("submitit")
    code = f"""
import os, pathlib, signal, time
begun = pathlib.Path({str(tmp_path / "begun")!r})
if begun.exists():
    print("again")
else:
    begun.touch()
    os.kill(os.getppid(), signal.SIGUSR2)  # with which SLURM tells submitit's process that its time is up
    time.sleep(60)
"""
    work = Scripts([code], tmp_path / "log")
    assert used(SlurmEngine(tmp_path / "slurm", cluster="local", timeout_min=1), work) == [0]
    assert work.log.read_text() == "again\n"


def test_what_is_not_there_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="jobs: 0; allowed: 1 or more"):
        LocalEngine(0)
    for module, engine, option in (
        ("distributed", DaskEngine("tcp://127.0.0.1:1"), "--dask"),
        ("submitit", SlurmEngine(tmp_path), "--slurm"),
    ):
        monkeypatch.setitem(sys.modules, module, None)
        with pytest.raises(ConfigError, match=rf"{option} needs {module}: pip install 'sciml\[cluster\]'"):
            used(engine)


def test_options_that_submitit_does_not_know_are_named(tmp_path: Path) -> None:
    pytest.importorskip("submitit")
    with pytest.raises(ConfigError, match=r"--slurm: .*time_min"):
        used(SlurmEngine(tmp_path, cluster="local", time_min=3))
