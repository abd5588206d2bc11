"""The suite for GPUs runs end to end where there is none: on tiny shapes, in Triton's interpreter."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton")
SUITE = Path(__file__).parents[1] / "benchmarks" / "gpu_suite.py"


@pytest.mark.slow
def test_dry_run(tmp_path) -> None:
    environment = {**os.environ, "OUT": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
    run = subprocess.run([sys.executable, SUITE, "--dry-run"], env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    sections = json.loads((tmp_path / "gpu_suite.json").read_text())
    assert list(sections) == ["correctness", "layers", "mri", "network", "blocks"]
    assert all(row["right"] for row in sections["correctness"]["rows"])
    timed = [row for name, section in sections.items() if name != "correctness" for row in section["rows"]]
    assert all(row["eager"] > 0 < row["floor"] for row in timed)
    assert (tmp_path / "gpu_suite.md").read_text().count("| Monarch") > 20
