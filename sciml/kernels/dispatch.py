"""Which implementation runs: one table, by form, device and type of data.

| backend | device | type | implementation |
|---|---|---|---|
| auto | CUDA, with Triton | float32, bfloat16, float16 | Triton kernels |
| auto | any other | any | PyTorch: `dense`, `two_stage` |
| triton | CUDA, or the CPU with TRITON_INTERPRET=1 | float32, bfloat16, float16 | Triton, or an error that says why |
| reference | any | any | `reference`, before it comes to a form |

float32 products on a GPU are tf32x3, three passes of the tensor cores that keep float32's accuracy, unless the user
allows less by `torch.set_float32_matmul_precision("high")` or `torch.backends.cuda.matmul.fp32_precision = "tf32"`:
then tf32.
"""

import importlib.util
from functools import cache, partial
from types import ModuleType

import torch
from torch import Tensor

from sciml.kernels.common.triton_build import INTERPRETED, POINTER
from sciml.kernels.form import Derivatives
from sciml.kernels.monarch import cpu as two_stage
from sciml.kernels.truncated import cpu as dense

_PYTORCH: dict[str, Derivatives] = {"truncated": dense.derivatives, "monarch": two_stage.derivatives}
_TRITON = {"truncated": "truncated.triton", "monarch": "monarch.triton_kernels"}


def choose(form: str, data: Tensor, backend: str) -> Derivatives:
    """The implementation for data of this device and type.

    Raises:
        ValueError: an explicit backend that cannot be had.
    """
    if backend == "triton":
        why = _why_not_triton(data)
        if why:
            raise ValueError(f"backend='triton' for {data.dtype} on {data.device}: {why}; use backend='auto'")
    elif not data.is_cuda or _why_not_triton(data):
        return _PYTORCH[form]
    return partial(_module(form).derivatives, precision=_precision())


def _why_not_triton(data: Tensor) -> str:
    if not _has_triton():
        return "triton is not installed"
    if data.dtype not in POINTER:
        return "only float32, bfloat16 and float16 have kernels"
    if not data.is_cuda and not INTERPRETED:
        return "the kernels run on CUDA devices (and interpreted, with TRITON_INTERPRET=1)"
    return ""


@cache
def _has_triton() -> bool:
    return importlib.util.find_spec("triton") is not None


def _module(form: str) -> ModuleType:
    return importlib.import_module(f"sciml.kernels.{_TRITON[form]}")


def _precision() -> str:
    return "tf32" if torch.backends.cuda.matmul.fp32_precision == "tf32" else "tf32x3"
