"""On what a study was made: date, versions, processor."""

import os
import platform
from datetime import date
from importlib.metadata import version
from pathlib import Path


def machine() -> dict[str, str]:
    """Of this process."""
    return {
        "date": date.today().isoformat(),
        **{name: version(name) for name in ("sciml", "torch", "neuraloperator")},
        "processor": f"{processor()}, {os.cpu_count()} cores",
    }


def processor() -> str:
    """Its vendor and model, since what is fast differs between them."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    found = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    return f"{found['model name']}, family {found['cpu family']}" if "cpu family" in found else platform.machine()
