"""Layers whose matrix is a grid of blocks of low rank: Monarch and the Block Tensor-Train."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from sciml.errors import require
from sciml.kernels import ops
from sciml.kernels.blocks.reference import monarch_linear_matrix
from sciml.transforms.factors import split
from sciml.transforms.linear.base import Factor, StructuredLinear, nearest_product


class BlockTensorTrainLinear(StructuredLinear):
    """A linear layer of two cores: each block W[k·q + j, n·p + i] at fixed (k, n) has the rank r.

        s[n, k, r]  = Σ_i R[n, k, r, i]·x[n·p + i]                     right (N, K, rank, p)
        y[k·q + j]  = Σ_{n, r} L[k, j, n, r]·s[n, k, r] + c[k·q + j]     left (K, q, N, rank)

    N·K·rank·(p + q) weights in place of N·p·K·q. p = ⌈in/N⌉ and q = ⌈out/K⌉: x is padded with zeros to N·p, and y is
    cropped from K·q. At rank min(p, q) every matrix is in the class; a higher rank adds nothing.

    Source: Qiu et al. 2024, "Compute Better Spent: Replacing Dense Layers with Structured Matrices", arXiv 2406.06248.

    Args:
        blocks: (N, K), of the input and of the output; by default the divisors nearest to √in and √out.
        rank: r of each block.

    Raises:
        ConfigError: a number below 1.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        blocks: tuple[int, int] | None = None,
        rank: int = 1,
        **kind: Any,
    ) -> None:
        super().__init__(in_features, out_features, bias, **kind)
        n, k = (split(in_features)[0], split(out_features)[0]) if blocks is None else blocks
        require("blocks", blocks, n >= 1 and k >= 1, "numbers from 1 up")
        require("rank", rank, rank >= 1, "numbers from 1 up")
        self.right = nn.Parameter(torch.empty(n, k, rank, -(-in_features // n), **kind))
        self.left = nn.Parameter(torch.empty(k, -(-out_features // k), n, rank, **kind))
        self.reset_parameters()

    def products(self) -> list[list[Factor]]:
        n, _, rank, _ = self.right.shape
        return [[Factor("right", self.in_features / n), Factor("left", n * rank)]]

    def forward(self, x: Tensor) -> Tensor:
        self.check_input(x)
        return ops.monarch_linear(x, self.right, self.left, self.bias)[..., : self.out_features]

    def as_matrix(self) -> Tensor:
        return monarch_linear_matrix(self.right, self.left)[: self.out_features, : self.in_features]

    @torch.no_grad()
    def load_matrix(self, matrix: Tensor) -> None:
        """The nearest in Frobenius norm: each block's truncated singular value decomposition."""
        n, k, rank, p = self.right.shape
        q = self.left.shape[1]
        padded = pad(matrix, (0, n * p - self.in_features, 0, k * q - self.out_features))
        first, last = nearest_product(padded.reshape(k, q, n, p).transpose(1, 2), rank)  # (k, n, q, p)
        self.left.copy_(first.transpose(1, 2))
        self.right.copy_(last.transpose(0, 1))

    def extra_repr(self) -> str:
        n, k, rank, _ = self.right.shape
        return f"{super().extra_repr()}, blocks=({n}, {k}), rank={rank}"


class MonarchLinear(BlockTensorTrainLinear):
    """The Block Tensor-Train with as many blocks of the input as of the output.

    With b = blocks, p = ⌈in/b⌉ and q = ⌈out/b⌉, x is multiplied by b blocks (b·rank)×p, the result (b, b·rank)
    transposed over (n, k), and multiplied by b blocks q×(b·rank).

    Source: Dao et al. 2022, "Monarch: Expressive Structured Matrices for Efficient and Accurate Training",
    arXiv 2204.00595.

    Args:
        blocks: b, the number of blocks along each side.
        rank: of each block of W. By default max(1, round(min(p, q)/b)), with which the factors' own blocks are about
            square, as in the paper's code: 3 for 768 features in 16 blocks, 1 for 4096 in 64.

    Raises:
        ConfigError: a number below 1.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        blocks: int,
        rank: int | None = None,
        **kind: Any,
    ) -> None:
        require("blocks", blocks, blocks >= 1, "numbers from 1 up")
        if rank is None:
            rank = max(1, round(min(-(-in_features // blocks), -(-out_features // blocks)) / blocks))
        super().__init__(in_features, out_features, bias, blocks=(blocks, blocks), rank=rank, **kind)
