"""What the modules of Triton kernels share: how a kernel is built, and whether it is interpreted."""

import os
from collections.abc import Collection
from typing import Any, NamedTuple

import torch

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"  # as Triton reads it when a kernel is defined

POINTER = {torch.float32: "*fp32", torch.bfloat16: "*bf16", torch.float16: "*fp16"}  # as in Build.signature
CASES = (  # types of data and precisions of products for which kernels are compiled ahead
    (torch.float32, "ieee"),
    (torch.float32, "tf32x3"),
    (torch.float32, "tf32"),
    (torch.bfloat16, "tf32x3"),
)


class Build(NamedTuple):
    """All that compiling a kernel takes, so that what a GPU would launch can be compiled where there is none."""

    kernel: Any  # triton.JITFunction, whose class differs under the interpreter
    signature: dict[str, str]  # every argument's type, such as "*fp32", "i32" or "constexpr"
    constants: dict[str, object]  # the value of every constexpr
    num_warps: int
    num_stages: int
    maxnreg: int | None = None  # registers a thread may have; None leaves it to ptxas


def build(
    kernel: Any, dtype: torch.dtype, constants: dict[str, object], float32: Collection[str], **launch: int
) -> Build:
    """The build of a kernel for data of a type, its pointers (`p_…`) of that type but for those named in `float32`."""

    def kind(name: str) -> str:
        if name in constants:
            return "constexpr"
        if not name.startswith("p_"):
            return "i32"
        return POINTER[torch.float32 if name in float32 else dtype]

    return Build(kernel, {name: kind(name) for name in kernel.arg_names}, constants, **launch)
