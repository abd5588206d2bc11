"""A long job is alone, may be stopped without loss, and has room for what it makes."""

import os
import signal
import subprocess
import sys
import threading
import time
import weakref
from pathlib import Path

import pytest

from sciml.errors import ConfigError
from sciml.io.jobs import Interrupted, exclusive, require_room, require_seed, stoppable


def test_a_second_claim_is_refused_and_the_first_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "new" / "data.h5"
    with exclusive(path):
        with pytest.raises(BlockingIOError, match=rf"data\.h5: another process \(pid {os.getpid()}\)"), exclusive(path):
            pytest.fail("claimed twice")
        (tmp_path / "link").symlink_to(path)
        with pytest.raises(BlockingIOError, match="link: another process"), exclusive(tmp_path / "link"):
            pytest.fail("claimed by another name")
        with exclusive(tmp_path / "new" / "other.h5"):
            pass
    assert not list(path.parent.iterdir())
    with exclusive(path):
        pass


def test_a_claim_dies_with_its_process(tmp_path: Path) -> None:
    path = tmp_path / "data.h5"
    code = f"""
import os
from pathlib import Path
from sciml.io.jobs import exclusive
with exclusive(Path({str(path)!r})):
    os._exit(0)
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
    assert (tmp_path / ".data.h5.lock").exists()
    with exclusive(path):
        pass
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_becomes_one_line_after_the_cleaning_up(number: signal.Signals, status: int) -> None:
    before = signal.getsignal(number)
    steps = []

    def job() -> None:
        try:
            signal.raise_signal(number)
            steps.append("not stopped")
        finally:
            signal.raise_signal(number)  # an impatient user's second
            steps.append("cleaned")

    with pytest.raises(Interrupted) as caught, stoppable(lambda: f"{len(steps)} kept"):
        job()
    assert str(caught.value) == f"{number.name}: 1 kept"
    assert caught.value.status == status
    assert signal.getsignal(number) is before


def test_a_signal_during_a_finalizer_is_not_lost() -> None:
    """Whose exceptions Python drops."""

    class Thing:
        pass

    things, hook = [Thing()], sys.unraisablehook
    reference = weakref.ref(things[0], lambda _: signal.raise_signal(signal.SIGTERM))

    def job() -> None:
        things.clear()
        time.sleep(10)

    with pytest.raises(Interrupted, match="SIGTERM: all kept") as caught, stoppable(lambda: "all kept"):
        job()
    assert caught.value.status == 143
    assert reference() is None
    assert sys.unraisablehook == hook


def test_a_signal_that_is_ignored_stays_ignored_and_other_threads_set_none() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with stoppable(lambda: "nothing"):
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)
    failures = []

    def run() -> None:
        try:
            with stoppable(lambda: "nothing"):
                pass
        except ValueError as error:  # what signal.signal raises there
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert not failures


def test_what_cannot_fit_is_refused(tmp_path: Path) -> None:
    require_room(tmp_path / "new" / "file", disk=1, memory=1, remedy="")
    with pytest.raises(ConfigError, match=r"file: .* GiB asked, .* free on its disk; .*lower n"):
        require_room(tmp_path / "new" / "file", disk=1e18, memory=1, remedy="lower n")
    with pytest.raises(ConfigError, match=r"file: .* of memory needed, .*lower n"):
        require_room(tmp_path / "file", disk=1, memory=1e18, remedy="lower n")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("seed", [-1, 2**32, 2**63, 2**80])
def test_seeds_that_do_not_fit(seed: int) -> None:
    require_seed(2**32 - 1)
    with pytest.raises(ConfigError, match=f"^seed: {seed}; allowed: 0 to 4294967295"):
        require_seed(seed)
