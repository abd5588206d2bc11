"""A layer whose matrix is block-sparse in a fixed butterfly pattern, plus one of low rank."""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, pad

from sciml.errors import require
from sciml.transforms.linear.base import Factor, StructuredLinear, nearest_product

SWEEPS = 30  # of the projection: a matrix of the class is then found to 1e-6 or better


class ButterflyLinear(StructuredLinear):
    """W = S + L·R: block rows k of S hold the blocks n = k and n = k xor 2^m for m < log2(blocks), and no others.

        y[k·q + j] = Σ_t Σ_i S[k, j, t, i]·x[n_t(k)·p + i] + (L·R·x)[k·q + j] + c[k·q + j]

    S (blocks, q, 1 + log2(blocks), p), right R (rank, in), left L (out, rank). p = ⌈in/blocks⌉ and q = ⌈out/blocks⌉,
    padded and cropped as in `MonarchLinear`. The pattern is that of the sum of the block butterfly factors, by which
    their product is replaced; for a rectangle it is stretched.

    Source: Dao et al. 2021, "Pixelated Butterfly: Simple and Efficient Sparse training for Neural Network Models",
    arXiv 2112.00029.

    Args:
        blocks: along each side, a power of two.
        rank: of L·R.

    Raises:
        ConfigError: a number below 1, or blocks that are no power of two.
    """

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, *, blocks: int, rank: int, **kind: Any
    ) -> None:
        super().__init__(in_features, out_features, bias, **kind)
        require("blocks", blocks, blocks >= 1 and blocks & (blocks - 1) == 0, "powers of two")
        require("rank", rank, rank >= 1, "numbers from 1 up")
        p, q = -(-in_features // blocks), -(-out_features // blocks)
        self.sparse = nn.Parameter(torch.empty(blocks, q, blocks.bit_length(), p, **kind))
        self.right = nn.Parameter(torch.empty(rank, in_features, **kind))
        self.left = nn.Parameter(torch.empty(out_features, rank, **kind))
        self.reset_parameters()

    def products(self) -> list[list[Factor]]:
        _, _, neighbours, p = self.sparse.shape
        low_rank = [Factor("right", self.in_features), Factor("left", len(self.right))]
        return [[Factor("sparse", neighbours * p)], low_rank]

    def forward(self, x: Tensor) -> Tensor:
        self.check_input(x)
        (blocks, q, _, p), rows = self.sparse.shape, math.prod(x.shape[:-1])
        blocked = pad(x, (0, blocks * p - self.in_features)).reshape(rows, blocks, p).transpose(0, 1)
        y = torch.bmm(with_neighbours(blocked), self.sparse.flatten(2).mT)  # (k, rows, j)
        y = y.transpose(0, 1).reshape(*x.shape[:-1], blocks * q)[..., : self.out_features]
        return y + linear(linear(x, self.right), self.left, self.bias)

    def as_matrix(self) -> Tensor:
        return self._block_sparse(self.sparse) + self.left @ self.right

    @torch.no_grad()
    def load_matrix(self, matrix: Tensor) -> None:
        """Near in Frobenius norm: L·R fitted to W outside of the pattern, by least squares for L, then R, in turns.

        They start from the truncated singular value decomposition of W, and no turn moves away. S is W - L·R on the
        pattern, the best for these, so W outside of it alone counts. (Keeping the blocks of W and truncating the rest
        is worse, by a third with few blocks.) The nearest of all has no closed form: it is a low-rank approximation
        with entries left out, which is NP-hard (Gillis and Glineur 2011).
        """
        blocks = len(self.sparse)
        outside = matrix.new_ones(blocks, blocks).scatter_(1, neighbours(blocks, matrix.device), 0.0)  # symmetric
        wanted = self._grid(matrix) * outside[..., None, None]
        _, right = nearest_product(matrix, len(self.right))
        right = pad(right, (0, blocks * wanted.shape[3] - self.in_features)).mT.unflatten(0, (blocks, -1))
        for _ in range(SWEEPS):
            left = _least_squares(wanted, outside, right)
            right = _least_squares(wanted.permute(1, 0, 3, 2), outside, left)
        low_rank = left.flatten(0, 1)[: self.out_features] @ right.flatten(0, 1)[: self.in_features].mT
        left, right = nearest_product(low_rank, len(self.right))  # the same, in equal shares
        self.sparse.copy_(self._on_pattern(matrix - low_rank))
        self.left.copy_(left)
        self.right.copy_(right)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, blocks={len(self.sparse)}, rank={len(self.right)}"

    def _grid(self, matrix: Tensor) -> Tensor:
        """The blocks (k, n, q, p) of a matrix (out, in)."""
        blocks, q, _, p = self.sparse.shape
        padded = pad(matrix, (0, blocks * p - self.in_features, 0, blocks * q - self.out_features))
        return padded.reshape(blocks, q, blocks, p).transpose(1, 2)

    def _on_pattern(self, matrix: Tensor) -> Tensor:
        """The blocks of a matrix (out, in) that the pattern keeps, in the shape of S."""
        blocks = len(self.sparse)
        rows = torch.arange(blocks, device=matrix.device)[:, None]
        return self._grid(matrix)[rows, neighbours(blocks, matrix.device)].transpose(1, 2)

    def _block_sparse(self, sparse: Tensor) -> Tensor:
        """The matrix (out, in) of which S holds the blocks."""
        blocks, q, _, p = self.sparse.shape
        grid = sparse.new_zeros(blocks, blocks, q, p)  # (k, n, j, i)
        rows = torch.arange(blocks, device=sparse.device)[:, None]
        grid = grid.index_put((rows, neighbours(blocks, sparse.device)), sparse.transpose(1, 2))
        return grid.transpose(1, 2).reshape(blocks * q, blocks * p)[: self.out_features, : self.in_features]


def with_neighbours(x: Tensor) -> Tensor:
    """(blocks, …, m) to (blocks, …, t·m): after each block k the blocks k xor 1, k xor 2, k xor 4, …"""
    strides = [1 << m for m in range(len(x).bit_length() - 1)]
    return torch.cat([x, *(x.unflatten(0, (-1, 2, stride)).flip(1).flatten(0, 2) for stride in strides)], -1)


def neighbours(blocks: int, device: torch.device) -> Tensor:
    """(blocks, 1 + log2(blocks)): the block columns that each block row keeps."""
    return with_neighbours(torch.arange(blocks, device=device)[:, None])


def _least_squares(wanted: Tensor, outside: Tensor, right: Tensor) -> Tensor:
    """L (k, q, r) with the least ‖wanted - L·Rᵀ‖ over the blocks outside of the pattern, for R (n, p, r).

    wanted (k, n, q, p) is zero on the pattern, and `outside` (k, n) is 0 there and 1 elsewhere.
    """
    gram = torch.einsum("kn,npr,nps->krs", outside, right, right)
    return torch.einsum("knqp,npr->kqr", wanted, right) @ torch.linalg.pinv(gram, hermitian=True)
