import pytest


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waiting for the disk after each file, and asking git, take most of the time of a pretended study."""
    monkeypatch.setattr("sciml.io.atomic.sync", lambda path: None)
    monkeypatch.setattr("sciml.studies.machine.commit", lambda: "0123456789ab")
