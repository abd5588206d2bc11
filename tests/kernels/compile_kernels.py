"""Compile a module's Triton kernels for a GPU that need not be there, and print what each one takes as JSON.

python compile_kernels.py MODULE CAPABILITY START STEP: the module's builds [START::STEP]. A process of its own, because
the tests define the kernels for the interpreter.
"""

import importlib
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from sciml.kernels.common.triton_build import Build

CUOBJDUMP = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"


def resources(build: Build, capability: int) -> dict[str, object]:
    """Registers a thread, bytes of its stack (where they spill) and of shared memory."""
    aligned = {(i,): [["tt.divisibility", 16]] for i, t in enumerate(build.signature.values()) if t.startswith("*")}
    source = ASTSource(build.kernel, build.signature, build.constants, aligned)
    options = {"num_warps": build.num_warps, "num_stages": build.num_stages, "maxnreg": build.maxnreg}
    compiled = triton.compile(source, target=GPUTarget("cuda", capability, 32), options=options)
    with tempfile.NamedTemporaryFile(suffix=".cubin") as cubin:
        cubin.write(compiled.asm["cubin"])
        cubin.flush()
        command = [CUOBJDUMP, "--dump-resource-usage", cubin.name]
        usage = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.search(r"REG:(\d+) STACK:(\d+)", usage)
    assert found, usage
    types = {name: t for name, t in build.signature.items() if t.startswith("*")}
    return {
        "build": f"{build.kernel.__name__} {types} {build.constants}",
        "registers": int(found[1]),
        "stack": int(found[2]),
        "shared": compiled.metadata.shared,
    }


if __name__ == "__main__":
    module, capability, start, step = sys.argv[1], *map(int, sys.argv[2:])
    builds = list(importlib.import_module(module).configurations())
    print(json.dumps([resources(build, capability) for build in builds[start::step]]))
