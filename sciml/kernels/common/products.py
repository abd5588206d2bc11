"""Batches of real matrix products, by the faster of two libraries.

A truncated transform is a product of a long matrix with a narrow one. For these oneDNN, where PyTorch has it, takes
half the time of MKL's `bmm` or less on a CPU (docs/results/speed.md).
"""

import torch
from torch import Tensor

from sciml.kernels import dispatch
from sciml.kernels.common import onednn


def times_transposed(a: Tensor, b: Tensor) -> Tensor:
    """a·bᵀ for a (k, m, r) and b (k, n, r): (k, m, n)."""
    if not dispatch.by_onednn(a, b):
        return torch.bmm(a, b.mT)
    if len(a) == 1:
        return onednn.times_transposed(a[0], b[0])[None]
    return torch.stack([onednn.times_transposed(*pair) for pair in zip(a.unbind(), b.unbind(), strict=True)])
