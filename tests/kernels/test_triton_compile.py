"""Every kernel that a GPU would launch compiles for the H100 and the A100, without spills, within shared memory."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton")

MODULES = ["sciml.kernels.monarch.triton", "sciml.kernels.truncated.triton"]
SHARED = {90: 227 * 1024, 80: 163 * 1024}  # bytes a block may have
# Every ninth, every eleventh: coprime to the numbers of kernels, directions and precisions, so that all of them occur.
SAMPLES = [(90, 0, 9), (80, 2, 11)]
ALL = [(capability, 0, 1) for capability in SHARED]


@pytest.mark.parametrize("module", MODULES)
@pytest.mark.parametrize(
    ("capability", "start", "step"), [*SAMPLES, *(pytest.param(*case, marks=pytest.mark.slow) for case in ALL)]
)
def test_compiles_without_spills(module, capability, start, step, tmp_path) -> None:
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    environment |= {"TRITON_CACHE_DIR": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, Path(__file__).parent / "compile_kernels.py", module, capability, start, step]
    run = subprocess.run(list(map(str, command)), env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    builds = json.loads(run.stdout)
    assert builds
    assert not [b for b in builds if b["stack"] or b["shared"] > SHARED[capability]]
