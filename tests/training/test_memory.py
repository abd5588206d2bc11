import os
import platform
import subprocess
import sys

import pytest

from sciml.training import memory

FAULTS = """
import resource, sys, torch
if sys.argv[1] == "keep":
    from sciml.training.memory import keep_freed_memory
    assert keep_freed_memory()
for turn in range(40):  # alignment costs the first blocks their place
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(9 * 2**20)  # 36 MiB, more than the largest threshold that glibc adapts to: 9,216 pages
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print(faults)
"""


def faults_of(which: str) -> int:
    return int(subprocess.run([sys.executable, "-c", FAULTS, which], check=True, capture_output=True, text=True).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's allocator")
def test_freed_memory_is_used_again(monkeypatch):
    for name in [name for name in os.environ if name.startswith("MALLOC_") or name == "GLIBC_TUNABLES"]:
        monkeypatch.delenv(name)
    assert faults_of("default") > 10 * max(1, faults_of("keep"))


def test_the_choice_of_the_user_stays(monkeypatch):
    monkeypatch.setenv("MALLOC_ARENA_MAX", "2")
    assert not memory.keep_freed_memory()
