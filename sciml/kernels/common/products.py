"""Batches of real matrix products on a CPU, by the faster of two libraries.

A truncated transform is a product of a long matrix with a narrow one. For these oneDNN, where PyTorch has it, takes
half the time of MKL's `bmm` or less (docs/performance.md). PyTorch offers it for float32 only, one product a call,
through the operation that Inductor uses for linear layers; each call costs some 10 μs.
"""

from functools import cache

import torch
from torch import Tensor

_WORTH_A_CALL = 2**22  # multiplications from which one of a batch is worth a call of its own


def times_transposed(a: Tensor, b: Tensor) -> Tensor:
    """a·bᵀ for a (k, m, r) and b (k, n, r): (k, m, n)."""
    if a.dtype == torch.float32 and a.device.type == "cpu" and a.numel() and b.numel() and _uses_onednn():
        if len(a) == 1:
            return _linear(a[0], b[0])[None]
        if a[0].numel() * b.shape[1] >= _WORTH_A_CALL:
            return torch.stack([_linear(*pair) for pair in zip(a.unbind(), b.unbind(), strict=True)])
    return torch.bmm(a, b.mT)


def _linear(a: Tensor, b: Tensor) -> Tensor:
    # Rows or columns must lie beside each other: other strides fall back to oneDNN's reference, a hundred times slower.
    a, b = (t if t.is_contiguous() or t.mT.is_contiguous() else t.contiguous() for t in (a, b))
    return torch.ops.mkldnn._linear_pointwise(a, b, None, "none", [], "")


def _uses_onednn() -> bool:
    return _has_onednn() and bool(torch.backends.mkldnn.enabled)  # the user's switch


@cache
def _has_onednn() -> bool:
    return torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")
