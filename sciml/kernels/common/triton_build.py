"""What the modules of Triton kernels share: how a kernel is built, and whether it is interpreted."""

import os
from typing import Any, NamedTuple

import torch

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"  # as Triton reads it when a kernel is defined

POINTER = {torch.float32: "*fp32", torch.bfloat16: "*bf16", torch.float16: "*fp16"}  # as in Build.signature


class Build(NamedTuple):
    """All that compiling a kernel takes, so that what a GPU would launch can be compiled where there is none."""

    kernel: Any  # triton.JITFunction, whose class differs under the interpreter
    signature: dict[str, str]  # every argument's type, such as "*fp32", "i32" or "constexpr"
    constants: dict[str, object]  # the value of every constexpr
    num_warps: int
    num_stages: int
    maxnreg: int | None = None  # registers a thread may have; None leaves it to ptxas
