"""The full-spectrum Monarch product on a GPU: both stages, and the transposition between them, on chip.

All three operations are derivatives of one form, linear in x, L and R and antilinear in y, with n = p·q and rank r,

    φ(x, L, R, y) = Re Σ conj(y[k1 + p·k2]) · L[k1 + p·k2, n2, ρ] · R[n2, ρ, k1, n1] · x[n1·q + n2].

Its adjoint has the same form with p and q exchanged, R' = conj(L) and L' = conj(R), so that one kernel serves the
product and its adjoint, and one kernel the gradients of both factors: each has a first stage, whose factor is read
along its terms (n2, ρ) (`_first_stage`), and a second one, a sum over the terms, on the tensor cores.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from math import prod
from typing import Any

import torch
import triton
from torch import Tensor

from sciml.kernels.common.triton_build import CASES, INTERPRETED, Build, build
from sciml.kernels.monarch.reference import rank_of
from sciml.kernels.monarch.triton_kernels import monarch_gradient_kernel, monarch_product_kernel

# (p, q, rank) of n = 320, 368, 640, 372, 332
SPLITS = ((16, 20, 1), (16, 23, 1), (20, 32, 1), (12, 31, 1), (4, 83, 1), (16, 23, 2))
GROUPS = 64  # partial sums of a factor's gradient: their memory is bounded, and with the tiles they fill a GPU
# One stage: loads come from the L1 cache, so there is nothing to prefetch. The limits are above what the kernels need;
# left alone, ptxas spills a register or two to reach the next lower step of occupancy.
_LAUNCH = {"num_warps": 4, "num_stages": 1, "maxnreg": 255}


def apply(
    x: Tensor,
    left: Tensor,
    right: Tensor,
    *,
    precision: str = "tf32x3",
    blocks: Mapping[str, int] | None = None,
) -> Tensor:
    """The product along the axis before the last but one: y[j] = Σ L[j, n2, ρ]·s[ρ, j mod p, n2], s = R x.

    Args:
        x: (batch, heads, outer, n, inner, 2), float32, bfloat16 or float16, interleaved real and imaginary parts.
        left: (heads, n, q·r, 2).
        right: (heads, q, r·p, p, 2).
        precision: of the second stage, ieee, tf32x3 or tf32. Factors, the first stage and all sums are float32.
        blocks: sizes of tiles in place of those of `_product_blocks`, for benchmarks.

    Returns:
        y, of the shape and type of x.
    """
    rank = rank_of(left, right)
    return _product(x, left, _rows(right, rank), rank, adjoint=False, precision=precision, **(blocks or {}))


def adjoint(y: Tensor, left: Tensor, right: Tensor, *, precision: str = "tf32x3") -> Tensor:
    """The conjugate transpose of `apply`, of the shape and type of y."""
    rank = rank_of(left, right)
    return _product(y, _terms(right, rank), _columns(left, rank), rank, adjoint=True, precision=precision)


def gradients(x: Tensor, y: Tensor, left: Tensor, right: Tensor, *, precision: str = "tf32x3") -> tuple[Tensor, Tensor]:
    """d_left[j, n2, ρ] = Σ y[j]·conj(s[ρ, j mod p, n2]) and d_right[n2, ρ, k1, n1] = Σ t[k1, n2, ρ]·conj(x[n1·q + n2]).

    Here s = R x and t[k1, n2, ρ] = Σ_k2 conj(L[k1 + p·k2, n2, ρ])·y[k1 + p·k2]; the sums run over all lines of a head.
    They are deterministic: each program adds up a fixed set of lines, and the partial sums are added in a fixed order.

    Returns:
        float32, of the shapes of left and right.
    """
    rank = rank_of(left, right)
    d_left = _factor_gradient(x, y, _rows(right, rank), rank, adjoint=False, precision=precision)
    d_right = _factor_gradient(y, x, _columns(left, rank), rank, adjoint=True, precision=precision)
    d_right = d_right.unflatten(3, (-1, rank)).permute(0, 1, 4, 3, 2, 5)  # (heads, n2, ρ, k1, n1, 2)
    return d_left.transpose(1, 2).reshape(left.shape), d_right.reshape(right.shape).contiguous()


def derivatives(
    x: Tensor | None, y: Tensor | None, left: Tensor, right: Tensor, want: Sequence[bool], *, precision: str = "tf32x3"
) -> tuple[Tensor | None, ...]:
    """Equal to `monarch.cpu.derivatives`; see there for shapes."""
    dx = adjoint(y, left, right, precision=precision) if want[0] and y is not None else None
    dy = apply(x, left, right, precision=precision) if want[1] and x is not None else None
    if not (want[2] or want[3]) or x is None or y is None:
        return dx, dy, None, None
    d_left, d_right = gradients(x, y, left, right, precision=precision)
    return dx, dy, d_left.to(x.dtype) if want[2] else None, d_right.to(x.dtype) if want[3] else None


def _rows(right: Tensor, rank: int) -> Tensor:
    """The right factor as the first stage reads it, (heads, k1, n1, (n2, ρ), 2)."""
    return right.unflatten(2, (rank, -1)).permute(0, 3, 4, 1, 2, 5).flatten(3, 4)


def _columns(left: Tensor, rank: int) -> Tensor:
    """The left factor as the first stage of the adjoint reads it, (heads, n2, k2, (k1, ρ), 2)."""
    q = left.shape[2] // rank
    return left.unflatten(2, (q, rank)).unflatten(1, (q, -1)).permute(0, 3, 1, 2, 4, 5).flatten(3, 4)


def _terms(right: Tensor, rank: int) -> Tensor:
    """The right factor as the second stage of the adjoint reads it, (heads, n2, (k1, ρ), n1, 2); of rank 1 as it is."""
    return right.unflatten(2, (rank, -1)).transpose(2, 3).flatten(2, 3)


def _product(
    x: Tensor, second: Tensor, first: Tensor, rank: int, *, adjoint: bool, precision: str, **other: int
) -> Tensor:
    batch, heads, outer, _, inner, _ = x.shape
    x, y = x.contiguous(), torch.empty_like(x, memory_format=torch.contiguous_format)
    if not x.numel():
        return y
    slabs, size = (1, outer) if inner == 1 else (outer, inner)
    p, q = first.shape[2], first.shape[3] // rank
    blocks = _product_blocks(p, q) | other
    programs = batch * heads * slabs * triton.cdiv(size, blocks["BLOCK_LINES"])
    monarch_product_kernel[programs, triton.cdiv(q, blocks["BLOCK_K2"]), blocks["SPLIT_K1"]](
        x,
        y,
        second.float().contiguous(),
        first.float().contiguous(),
        heads,
        slabs,
        size,
        **_shape(p, q, rank, inner, adjoint, precision),
        **blocks,
        **_LAUNCH,
        enable_fp_fusion=True,
    )
    return y


def _factor_gradient(x: Tensor, y: Tensor, first: Tensor, rank: int, *, adjoint: bool, precision: str) -> Tensor:
    """The gradient of the second stage's factor, (heads, k1, k2, (n2, ρ), 2)."""
    batch, heads, outer, _, inner, _ = x.shape
    slabs, size = (1, outer) if inner == 1 else (outer, inner)
    p, q = first.shape[2], first.shape[3] // rank
    blocks = _gradient_blocks(p, q, rank)
    groups = min(max(1, GROUPS // heads), batch * slabs * triton.cdiv(size, blocks["BLOCK_LINES"]))
    partials = x.new_empty(groups, heads, p, q, q * rank, 2, dtype=torch.float32)
    if groups:
        sizes = {"BLOCK_K1": p, "BLOCK_K2": q, "BLOCK_TERMS": q * rank}
        tiles = prod(triton.cdiv(size, blocks[block]) for block, size in sizes.items())
        monarch_gradient_kernel[groups, tiles, heads](
            x.contiguous(),
            y.contiguous(),
            first.float().contiguous(),
            partials,
            heads,
            slabs,
            size,
            batch * slabs,
            groups,
            **_shape(p, q, rank, inner, adjoint, precision),
            **blocks,
            **_LAUNCH,
            enable_fp_fusion=True,
        )
    return partials.sum(0)


def _product_blocks(p: int, q: int) -> dict[str, int]:
    """Chosen by the instructions a point takes and by registers, which leave room for 12 warps a multiprocessor.

    A batched tl.dot takes at least 16 rows, columns and terms, and a term is half a complex number. SPLIT_K1 gives
    some 300 programs to 15 coils of 320², for which x is read twice, the second time from the L2 cache.
    """
    return {
        "BLOCK_K1": min(2, p),
        "BLOCK_LINES": 32,
        "BLOCK_TERMS": 8,
        "BLOCK_K2": 16 if q <= 16 else 32,
        "SPLIT_K1": 2 if p >= 8 else 1,
    }


def _gradient_blocks(p: int, q: int, rank: int) -> dict[str, int]:
    """Larger tiles than the product's: a program reads x again for each tile of k1, and y for each of the terms."""
    return {
        "BLOCK_K1": min(4, triton.next_power_of_2(p)),
        "BLOCK_LINES": 16,
        "BLOCK_TERMS": 8 if 0 < q * rank % 16 <= 8 else 16,
        "BLOCK_K2": 16 if q <= 16 else 32,
    }


def _shape(p: int, q: int, rank: int, inner: int, adjoint: bool, precision: str) -> dict[str, Any]:
    kind = "interpreted" if INTERPRETED else precision
    return {"P": p, "Q": q, "RANK": rank, "INNER": inner, "ADJOINT": adjoint, "PRECISION": kind}


def configurations() -> Iterator[Build]:
    """What is launched at the matrix sizes of MRI, along both axes, for each direction and precision."""
    for (p, q, rank), inner, (dtype, precision), adjoint in itertools.product(SPLITS, (1, 368), CASES, (False, True)):
        p, q = (q, p) if adjoint else (p, q)
        shape = _shape(p, q, rank, inner, adjoint, precision)
        blocks = {monarch_product_kernel: _product_blocks(p, q), monarch_gradient_kernel: _gradient_blocks(p, q, rank)}
        for kernel in blocks:
            constants = {**shape, **blocks[kernel]}
            yield build(kernel, dtype, constants, ("p_first", "p_second", "p_partials"), **_LAUNCH)
