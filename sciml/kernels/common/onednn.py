"""The one private operation of PyTorch that the kernels use, behind a check of what it computes.

PyTorch offers oneDNN's matrix product through the operation that Inductor uses for linear layers, for float32 only, one
product a call; each call costs some 10 μs. Where the operation is missing, or is another one than it was, `is_right` is
False and `torch.bmm` does its work (see `products`).
"""

from functools import cache

import torch
from torch import Tensor


def times_transposed(a: Tensor, b: Tensor) -> Tensor:
    """a·bᵀ for a (m, r) and b (n, r), float32 on a CPU: (m, n)."""
    # Rows or columns must lie beside each other: other strides fall back to oneDNN's reference, a hundred times slower.
    a, b = (t if t.is_contiguous() or t.mT.is_contiguous() else t.contiguous() for t in (a, b))
    return torch.ops.mkldnn._linear_pointwise(a, b, None, "none", [], "")


@cache
def is_right() -> bool:
    """Whether the operation is there and multiplies as `torch.matmul` does; tried once, at the first use."""
    if not torch.backends.mkldnn.is_available():
        return False
    numbers = torch.arange(20, dtype=torch.float32, device="cpu")  # small integers: exact in any precision
    a, b = numbers.view(4, 5), numbers.flip(0).view(5, 4).mT
    try:
        return torch.equal(times_transposed(a, b), torch.matmul(a, b.mT))
    except (AttributeError, RuntimeError, TypeError):
        return False
