"""Sampling: what of k-space is measured."""

from torch import Tensor

from sciml.kernels.arithmetic import times
from sciml.operators import LinearOperator


class Sampling(LinearOperator):
    """M: k-space to k-space, zero where the mask is False; diagonal, and its own adjoint.

    Args:
        mask: bool, broadcastable to k-space (B, C, y, x); or real weights of the samples, as λ·M has.
    """

    def __init__(self, mask: Tensor) -> None:
        self.mask = mask

    def forward(self, kspace: Tensor) -> Tensor:
        """M·k."""
        return times(kspace, self.mask)

    def adjoint(self, kspace: Tensor) -> Tensor:
        """M·k."""
        return times(kspace, self.mask)
