"""Where the benchmarks leave what they measure: runs/benchmarks, which git ignores. docs/results holds the tables."""

import json
from datetime import date
from importlib.metadata import version
from pathlib import Path

from sciml.studies.machine import processor

RESULTS = Path(__file__).parents[1] / "runs" / "benchmarks"


def keep(name: str, measured: dict, table: str) -> None:
    """Print the table and write it to NAME.md; what was measured goes to NAME.json, with date, torch and processor."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    about = {"date": date.today().isoformat(), "torch": version("torch"), "machine": processor()}
    (RESULTS / f"{name}.json").write_text(json.dumps({**about, **measured}, indent=1) + "\n")
    (RESULTS / f"{name}.md").write_text(table.rstrip("\n") + "\n")
    print(table)
