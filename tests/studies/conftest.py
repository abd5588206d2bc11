import pytest


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Most of the time is waiting for the disk after each file, asking git, and looking whether a job has ended."""
    monkeypatch.setattr("sciml.io.atomic.sync", lambda path: None)
    monkeypatch.setattr("sciml.studies.machine.commit", lambda: "0123456789ab")
    monkeypatch.setattr("sciml.studies.engine.POLL", 0.05)
