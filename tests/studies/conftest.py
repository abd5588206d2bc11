import pytest


@pytest.fixture(autouse=True)
def _unsynced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waiting for the disk after each file takes most of the time of a pretended study."""
    monkeypatch.setattr("sciml.io.atomic.sync", lambda path: None)
