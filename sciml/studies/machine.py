"""With what a study was made: its file, versions, commit, processor, engine; a record for each that differs."""

import json
import os
import platform
import subprocess
from datetime import date
from importlib.metadata import version
from pathlib import Path

from sciml.io.atomic import replacing

FILE = "machine.json"
ROOT = Path(__file__).parents[2]


def record_session(folder: Path, *, file: str, engine: str) -> None:
    """Adds this process to the folder's machine.json, unless one like it is there: a study goes on, maybe elsewhere."""
    known = sessions(folder)
    now = {"file": file, "engine": engine, **machine()}
    if not any(now == {**earlier, "date": now["date"]} for earlier in known):
        with replacing(folder / FILE) as temporary:
            temporary.write_text(json.dumps([*known, now], indent=1) + "\n", encoding="utf-8")


def sessions(folder: Path) -> list[dict[str, str]]:
    """Those recorded; none where there is no file. A single one is that of an earlier version."""
    path = folder / FILE
    found = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []
    return [found] if isinstance(found, dict) else found


def machine() -> dict[str, str]:
    """Of this process."""
    about = {"date": date.today().isoformat(), **{name: version(name) for name in ("sciml", "torch", "neuraloperator")}}
    if found := commit():
        about["commit"] = found
    return {**about, "processor": f"{processor()}, {os.cpu_count()} cores"}


def commit() -> str | None:
    """Of this program, with -dirty if files differ from it; None for one that was installed without its history."""
    if not (ROOT / ".git").exists():
        return None
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--exclude=*", "--abbrev=12"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found.stdout.strip() or None


def processor() -> str:
    """Its vendor and model, since what is fast differs between them."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    found = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    return f"{found['model name']}, family {found['cpu family']}" if "cpu family" in found else platform.machine()
