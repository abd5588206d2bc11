# mypy: allow-untyped-defs
"""The full-spectrum Monarch product on a GPU: both stages, and the transposition between them, on chip.

All three operations are derivatives of one form, linear in x, L and R and antilinear in y, with n = p·q,

    φ(x, L, R, y) = Re Σ conj(y[k1 + p·k2]) · L[k1 + p·k2, n2] · R[n2, k1, n1] · x[n1·q + n2].

Its adjoint has the same form with p and q exchanged, R' = conj(L) and L' = conj(R), so that one kernel serves the
product and its adjoint, and one kernel the gradients of both factors: each has a first stage, whose factor is read
along n2 (`_first_stage`), and a second one on the tensor cores. Complex numbers are interleaved real pairs in
memory, read as one word, and pairs of real tiles on chip.

Tiles are (k1, lines, n2), batched over k1: all k1 of a tile share the loads of x, and where the line is contiguous
in memory (inner = 1) neighbouring k1 complete a sector of the output.
"""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from sciml.kernels.common.triton_build import INTERPRETED, POINTER, Build
from sciml.kernels.common.triton_dot import dot

PRECISIONS = ("ieee", "tf32x3", "tf32")
SPLITS = ((16, 20), (16, 23), (20, 32), (12, 31), (4, 83))  # (p, q) of n = 320, 368, 640, 372, 332
GROUPS = 64  # partial sums of a factor's gradient: their memory is bounded, and with the tiles they fill a GPU
# One stage: loads come from the L1 cache, so there is nothing to prefetch. The limits are above what the kernels need;
# left alone, ptxas spills a register or two to reach the next lower step of occupancy.
PRODUCT = {"num_warps": 4, "num_stages": 1, "maxnreg": 255}
GRADIENT = {"num_warps": 4, "num_stages": 1, "maxnreg": 255}


@triton.jit
def _load_pairs(p_pairs, offsets, mask):
    """Real and imaginary tiles, float32, of interleaved pairs; offsets count pairs."""
    dtype: tl.constexpr = p_pairs.dtype.element_ty
    if dtype == tl.float32:
        b_words = tl.load(p_pairs.to(tl.pointer_type(tl.int64), bitcast=True) + offsets, mask=mask, other=0)
        b_re = b_words.to(tl.int32).to(tl.float32, bitcast=True)
        b_im = (b_words >> 32).to(tl.int32).to(tl.float32, bitcast=True)
    else:
        b_words = tl.load(p_pairs.to(tl.pointer_type(tl.int32), bitcast=True) + offsets, mask=mask, other=0)
        b_re = b_words.to(tl.int16).to(dtype, bitcast=True).to(tl.float32)
        b_im = (b_words >> 16).to(tl.int16).to(dtype, bitcast=True).to(tl.float32)
    return b_re, b_im


@triton.jit
def _store_pairs(p_pairs, offsets, b_re, b_im, mask):
    dtype: tl.constexpr = p_pairs.dtype.element_ty
    if dtype == tl.float32:
        b_low = b_re.to(tl.uint32, bitcast=True).to(tl.int64)
        b_words = (b_im.to(tl.uint32, bitcast=True).to(tl.int64) << 32) | b_low
        tl.store(p_pairs.to(tl.pointer_type(tl.int64), bitcast=True) + offsets, b_words, mask=mask)
    else:
        b_low = b_re.to(dtype).to(tl.uint16, bitcast=True).to(tl.int32)
        b_words = (b_im.to(dtype).to(tl.uint16, bitcast=True).to(tl.int32) << 16) | b_low
        tl.store(p_pairs.to(tl.pointer_type(tl.int32), bitcast=True) + offsets, b_words, mask=mask)


@triton.jit
def _complex_dot(b_ar, b_ai, b_br, b_bi, b_cr, b_ci, PRECISION: tl.constexpr):
    """c + a @ bᵀ for (batch, rows, terms) tiles: real products of twice the terms, (Re, Im) interleaved."""
    b_a = tl.interleave(b_ar, b_ai)
    b_cr = dot(b_a, tl.permute(tl.interleave(b_br, -b_bi), (0, 2, 1)), b_cr, PRECISION)
    b_ci = dot(b_a, tl.permute(tl.interleave(b_bi, b_br), (0, 2, 1)), b_ci, PRECISION)
    return b_cr, b_ci


@triton.jit
def _first_stage(
    p_x,
    p_first,
    lines,
    line_mask,
    k1,
    n2,
    P: tl.constexpr,
    Q: tl.constexpr,
    INNER: tl.constexpr,
    CONJ: tl.constexpr,
    BLOCK_K1: tl.constexpr,
    BLOCK_LINES: tl.constexpr,
    BLOCK_N2: tl.constexpr,
):
    """s[k1, l, n2] = Σ_n1 R[n2, k1, n1]·x[l, n1·q + n2], R laid out (k1, n1, n2), as fused multiply-adds."""
    x_offsets = lines[None, :, None] + n2[None, None, :] * INNER
    x_mask = line_mask[None, :, None] & (n2 < Q)[None, None, :]
    r_offsets = k1[:, None, None] * (P * Q) + n2[None, None, :]
    r_mask = (k1 < P)[:, None, None] & (n2 < Q)[None, None, :]
    b_sr = tl.zeros([BLOCK_K1, BLOCK_LINES, BLOCK_N2], tl.float32)
    b_si = tl.zeros([BLOCK_K1, BLOCK_LINES, BLOCK_N2], tl.float32)
    for n1 in tl.range(P, loop_unroll_factor=2):
        b_xr, b_xi = _load_pairs(p_x, x_offsets + n1 * (Q * INNER), x_mask)
        b_rr, b_ri = _load_pairs(p_first, r_offsets + n1 * Q, r_mask)
        if CONJ:
            b_ri = -b_ri
        b_sr += b_rr * b_xr
        b_sr -= b_ri * b_xi
        b_si += b_rr * b_xi
        b_si += b_ri * b_xr
    return b_sr, b_si


@triton.jit(do_not_specialize=["heads", "slabs", "size"])
def monarch_product_kernel(
    p_x,
    p_y,
    p_second,
    p_first,
    heads,
    slabs,
    size,
    P: tl.constexpr,
    Q: tl.constexpr,
    INNER: tl.constexpr,
    ADJOINT: tl.constexpr,
    PRECISION: tl.constexpr,
    BLOCK_K1: tl.constexpr,
    BLOCK_LINES: tl.constexpr,
    BLOCK_N2: tl.constexpr,
    BLOCK_K2: tl.constexpr,
    SPLIT_K1: tl.constexpr,
):
    """y[l, k1 + p·k2] = Σ_n2 L[k1 + p·k2, n2]·s[k1, l, n2].

    A slab is `size` lines of one head that are evenly spaced in memory: columns where they are neighbours
    (inner > 1), else rows. There are `slabs` to a batch item and head. A program has some lines of a slab, a tile of
    k2 and every SPLIT_K1-th tile of k1.
    """
    blocks = tl.cdiv(size, BLOCK_LINES)
    slab = tl.program_id(0) // blocks
    head = (slab // slabs) % heads
    line = tl.program_id(0) % blocks * BLOCK_LINES
    spacing: tl.constexpr = P * Q if INNER == 1 else 1
    start = slab.to(tl.int64) * size * (P * Q) + line.to(tl.int64) * spacing
    p_x += 2 * start
    p_y += 2 * start
    lines = tl.arange(0, BLOCK_LINES) * spacing
    line_mask = line + tl.arange(0, BLOCK_LINES) < size
    k2 = tl.program_id(1) * BLOCK_K2 + tl.arange(0, BLOCK_K2)
    p_first += head * (2 * P * P * Q)
    p_second += head * (2 * P * Q * Q)

    # Not hoisting the offsets of all tiles out of the loop spares some 30 registers, and costs little.
    for k1_start in tl.range(tl.program_id(2) * BLOCK_K1, P, SPLIT_K1 * BLOCK_K1, disable_licm=True):
        k1 = k1_start + tl.arange(0, BLOCK_K1)
        b_yr = tl.zeros([BLOCK_K1, BLOCK_LINES, BLOCK_K2], tl.float32)
        b_yi = tl.zeros([BLOCK_K1, BLOCK_LINES, BLOCK_K2], tl.float32)
        for n2_start in tl.range(0, Q, BLOCK_N2):
            n2 = n2_start + tl.arange(0, BLOCK_N2)
            b_sr, b_si = _first_stage(
                p_x, p_first, lines, line_mask, k1, n2, P, Q, INNER, ADJOINT, BLOCK_K1, BLOCK_LINES, BLOCK_N2
            )
            if ADJOINT:  # the right factor, (n2, k1, n1) in the names of the product that is transposed
                l_offsets = k1[:, None, None] * (Q * Q) + n2[None, None, :] * Q + k2[None, :, None]
            else:  # the left factor, (k1 + p·k2, n2)
                l_offsets = k1[:, None, None] * Q + n2[None, None, :] + k2[None, :, None] * (P * Q)
            l_mask = (k1 < P)[:, None, None] & (n2 < Q)[None, None, :] & (k2 < Q)[None, :, None]
            b_lr, b_li = _load_pairs(p_second, l_offsets, l_mask)
            if ADJOINT:
                b_li = -b_li
            b_yr, b_yi = _complex_dot(b_sr, b_si, b_lr, b_li, b_yr, b_yi, PRECISION)
        j = k1[:, None, None] + P * k2[None, None, :]
        y_mask = (k1 < P)[:, None, None] & line_mask[None, :, None] & (k2 < Q)[None, None, :]
        _store_pairs(p_y, lines[None, :, None] + j * INNER, b_yr, b_yi, y_mask)


@triton.jit(do_not_specialize=["heads", "slabs", "size", "batch_slabs", "groups"])
def monarch_gradient_kernel(
    p_x,
    p_y,
    p_first,
    p_partials,
    heads,
    slabs,
    size,
    batch_slabs,
    groups,
    P: tl.constexpr,
    Q: tl.constexpr,
    INNER: tl.constexpr,
    ADJOINT: tl.constexpr,
    PRECISION: tl.constexpr,
    BLOCK_K1: tl.constexpr,
    BLOCK_LINES: tl.constexpr,
    BLOCK_N2: tl.constexpr,
    BLOCK_K2: tl.constexpr,
):
    """d[k1, k2, n2] = Σ_l y[l, k1 + p·k2]·conj(s[k1, l, n2]) over every groups-th block of a head's lines."""
    group = tl.program_id(0)
    head = tl.program_id(2)
    blocks_n2 = tl.cdiv(Q, BLOCK_N2)
    blocks_k2 = tl.cdiv(Q, BLOCK_K2)
    tile = tl.program_id(1)
    n2 = tile % blocks_n2 * BLOCK_N2 + tl.arange(0, BLOCK_N2)
    k2 = tile // blocks_n2 % blocks_k2 * BLOCK_K2 + tl.arange(0, BLOCK_K2)
    k1 = tile // (blocks_n2 * blocks_k2) * BLOCK_K1 + tl.arange(0, BLOCK_K1)
    p_first += head * (2 * P * P * Q)
    j = (k1[:, None, None] + P * k2[None, :, None]) * INNER
    j_mask = (k1 < P)[:, None, None] & (k2 < Q)[None, :, None]
    spacing: tl.constexpr = P * Q if INNER == 1 else 1
    lines = tl.arange(0, BLOCK_LINES) * spacing
    b_dr = tl.zeros([BLOCK_K1, BLOCK_K2, BLOCK_N2], tl.float32)
    b_di = tl.zeros([BLOCK_K1, BLOCK_K2, BLOCK_N2], tl.float32)

    blocks = tl.cdiv(size, BLOCK_LINES)
    for block in tl.range(group, batch_slabs * blocks, groups):
        of_head = block // blocks
        slab = (of_head // slabs * heads + head) * slabs + of_head % slabs
        line = block % blocks * BLOCK_LINES
        line_mask = line + tl.arange(0, BLOCK_LINES) < size
        start = 2 * (slab.to(tl.int64) * size * (P * Q) + line.to(tl.int64) * spacing)
        b_sr, b_si = _first_stage(
            p_x + start, p_first, lines, line_mask, k1, n2, P, Q, INNER, ADJOINT, BLOCK_K1, BLOCK_LINES, BLOCK_N2
        )
        b_yr, b_yi = _load_pairs(p_y + start, lines[None, None, :] + j, j_mask & line_mask[None, None, :])
        b_sr, b_si = tl.permute(b_sr, (0, 2, 1)), tl.permute(b_si, (0, 2, 1))
        b_dr, b_di = _complex_dot(b_yr, b_yi, b_sr, -b_si, b_dr, b_di, PRECISION)
    if ADJOINT:
        b_di = -b_di
    d_offsets = (k1[:, None, None] * Q + k2[None, :, None]) * Q + n2[None, None, :]
    d_mask = j_mask & (n2 < Q)[None, None, :]
    _store_pairs(p_partials + (group * heads + head).to(tl.int64) * (2 * P * Q * Q), d_offsets, b_dr, b_di, d_mask)


def apply(x: Tensor, left: Tensor, right: Tensor, *, precision: str = "tf32x3") -> Tensor:
    """The product along the axis before the last but one: y[j] = Σ_n2 L[j, n2]·s[j mod p, n2], s = R x.

    Args:
        x: (batch, heads, outer, n, inner, 2), float32, bfloat16 or float16, interleaved real and imaginary parts.
        left: (heads, n, q, 2).
        right: (heads, q, p, p, 2).
        precision: of the second stage, one of `PRECISIONS`. Factors, the first stage and all sums are float32.

    Returns:
        y, of the shape and type of x.
    """
    return _product(x, left, right.permute(0, 2, 3, 1, 4), adjoint=False, precision=precision)


def adjoint(y: Tensor, left: Tensor, right: Tensor, *, precision: str = "tf32x3") -> Tensor:
    """The conjugate transpose of `apply`, of the shape and type of y."""
    return _product(y, right, _columns(left), adjoint=True, precision=precision)


def gradients(x: Tensor, y: Tensor, left: Tensor, right: Tensor, *, precision: str = "tf32x3") -> tuple[Tensor, Tensor]:
    """d_left[j, n2] = Σ y[j]·conj(s[j mod p, n2]) and d_right[n2, k1, n1] = Σ t[k1, n2]·conj(x[n1·q + n2]).

    Here s = R x and t[k1, n2] = Σ_k2 conj(L[k1 + p·k2, n2])·y[k1 + p·k2]; the sums run over all lines of a head. They
    are deterministic: each program adds up a fixed set of lines, and the partial sums are added in a fixed order.

    Returns:
        float32, of the shapes of left and right.
    """
    d_left = _factor_gradient(x, y, right.permute(0, 2, 3, 1, 4), adjoint=False, precision=precision)
    d_right = _factor_gradient(y, x, _columns(left), adjoint=True, precision=precision)
    return d_left.transpose(1, 2).reshape(left.shape), d_right.transpose(2, 3).contiguous()


def derivatives(
    x: Tensor | None, y: Tensor | None, left: Tensor, right: Tensor, want: Sequence[bool], *, precision: str = "tf32x3"
) -> tuple[Tensor | None, ...]:
    """Equal to `two_stage.derivatives`; see there for shapes."""
    dx = adjoint(y, left, right, precision=precision) if want[0] and y is not None else None
    dy = apply(x, left, right, precision=precision) if want[1] and x is not None else None
    if not (want[2] or want[3]) or x is None or y is None:
        return dx, dy, None, None
    d_left, d_right = gradients(x, y, left, right, precision=precision)
    return dx, dy, d_left.to(x.dtype) if want[2] else None, d_right.to(x.dtype) if want[3] else None


def _columns(left: Tensor) -> Tensor:
    """The left factor as the first stage of the adjoint reads it, (heads, n2, k2, k1, 2)."""
    q = left.shape[2]
    return left.unflatten(1, (q, -1)).permute(0, 3, 1, 2, 4)


def _product(x: Tensor, second: Tensor, first: Tensor, *, adjoint: bool, precision: str) -> Tensor:
    batch, heads, outer, _, inner, _ = x.shape
    x, y = x.contiguous(), torch.empty_like(x, memory_format=torch.contiguous_format)
    if not x.numel():
        return y
    slabs, size = (1, outer) if inner == 1 else (outer, inner)
    p, q = first.shape[2:4]
    blocks = _product_blocks(p, q)
    programs = batch * heads * slabs * triton.cdiv(size, blocks["BLOCK_LINES"])
    monarch_product_kernel[programs, triton.cdiv(q, blocks["BLOCK_K2"]), blocks["SPLIT_K1"]](
        x,
        y,
        second.float().contiguous(),
        first.float().contiguous(),
        heads,
        slabs,
        size,
        **_shape(p, q, inner, adjoint, precision),
        **blocks,
        **PRODUCT,
        enable_fp_fusion=True,
    )
    return y


def _factor_gradient(x: Tensor, y: Tensor, first: Tensor, *, adjoint: bool, precision: str) -> Tensor:
    """The gradient of the second stage's factor, (heads, k1, k2, n2, 2)."""
    batch, heads, outer, _, inner, _ = x.shape
    slabs, size = (1, outer) if inner == 1 else (outer, inner)
    p, q = first.shape[2:4]
    blocks = _gradient_blocks(p, q)
    groups = min(max(1, GROUPS // heads), batch * slabs * triton.cdiv(size, blocks["BLOCK_LINES"]))
    partials = x.new_empty(groups, heads, p, q, q, 2, dtype=torch.float32)
    if groups:
        tiles = (
            triton.cdiv(p, blocks["BLOCK_K1"]) * triton.cdiv(q, blocks["BLOCK_K2"]) * triton.cdiv(q, blocks["BLOCK_N2"])
        )
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
            **_shape(p, q, inner, adjoint, precision),
            **blocks,
            **GRADIENT,
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
        "BLOCK_N2": 8,
        "BLOCK_K2": 16 if q <= 16 else 32,
        "SPLIT_K1": 2 if p >= 8 else 1,
    }


def _gradient_blocks(p: int, q: int) -> dict[str, int]:
    """Larger tiles than the product's: a program reads x again for each tile of k1, and y for each of n2."""
    return {
        "BLOCK_K1": min(4, triton.next_power_of_2(p)),
        "BLOCK_LINES": 16,
        "BLOCK_N2": 8 if 0 < q % 16 <= 8 else 16,
        "BLOCK_K2": 16 if q <= 16 else 32,
    }


def _shape(p: int, q: int, inner: int, adjoint: bool, precision: str) -> dict[str, Any]:
    kind = "interpreted" if INTERPRETED else precision
    return {"P": p, "Q": q, "INNER": inner, "ADJOINT": adjoint, "PRECISION": kind}


def configurations() -> Iterator[Build]:
    """What is launched at the matrix sizes of MRI, along both axes, for each direction and precision."""
    cases = [(torch.float32, "ieee"), (torch.float32, "tf32x3"), (torch.float32, "tf32"), (torch.bfloat16, "tf32x3")]
    for (p, q), inner, (dtype, precision) in itertools.product(SPLITS, (1, 368), cases):
        for adjoint in (False, True):
            first, second = (q, p) if adjoint else (p, q)
            shape = _shape(first, second, inner, adjoint, precision)
            for kernel, blocks, options in (
                (monarch_product_kernel, _product_blocks(first, second), PRODUCT),
                (monarch_gradient_kernel, _gradient_blocks(first, second), GRADIENT),
            ):
                constants = {**shape, **blocks}
                yield Build(kernel, _signature(kernel, dtype, constants), constants, **options)


def _signature(kernel: Any, dtype: torch.dtype, constants: dict[str, Any]) -> dict[str, str]:
    pointers = {
        "p_x": dtype,
        "p_y": dtype,
        "p_first": torch.float32,
        "p_second": torch.float32,
        "p_partials": torch.float32,
    }
    return {
        name: "constexpr" if name in constants else POINTER[pointers[name]] if name in pointers else "i32"
        for name in kernel.arg_names
    }
