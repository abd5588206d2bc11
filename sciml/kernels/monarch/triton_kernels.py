"""The kernels of `monarch.triton`: both stages of the product, and of the gradients of its factors, on chip.

Pointers `p_`, tiles `b_`. Tiles are (k1, lines, terms), batched over k1: all k1 of a tile share the loads of x, and
where the line is contiguous in memory (inner = 1) neighbouring k1 complete a sector of the output. The terms are the
pairs (n2, ρ), at n2·r + ρ, that the second stage sums over: a rank makes this sum longer. Complex numbers are
interleaved real pairs in memory, read as one word, and pairs of real tiles on chip.
"""

import triton
import triton.language as tl

from sciml.kernels.common.triton_dot import dot


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
    terms,
    P: tl.constexpr,
    Q: tl.constexpr,
    RANK: tl.constexpr,
    INNER: tl.constexpr,
    CONJ: tl.constexpr,
    BLOCK_K1: tl.constexpr,
    BLOCK_LINES: tl.constexpr,
    BLOCK_TERMS: tl.constexpr,
):
    """s[k1, l, (n2, ρ)] = Σ_n1 R[n2, ρ, k1, n1]·x[l, n1·q + n2], R laid out (k1, n1, (n2, ρ)), as multiply-adds."""
    x_offsets = lines[None, :, None] + (terms // RANK)[None, None, :] * INNER
    x_mask = line_mask[None, :, None] & (terms < Q * RANK)[None, None, :]
    r_offsets = k1[:, None, None] * (P * Q * RANK) + terms[None, None, :]
    r_mask = (k1 < P)[:, None, None] & (terms < Q * RANK)[None, None, :]
    b_sr = tl.zeros([BLOCK_K1, BLOCK_LINES, BLOCK_TERMS], tl.float32)
    b_si = tl.zeros([BLOCK_K1, BLOCK_LINES, BLOCK_TERMS], tl.float32)
    for n1 in tl.range(P, loop_unroll_factor=2):
        b_xr, b_xi = _load_pairs(p_x, x_offsets + n1 * (Q * INNER), x_mask)
        b_rr, b_ri = _load_pairs(p_first, r_offsets + n1 * (Q * RANK), r_mask)
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
    RANK: tl.constexpr,
    INNER: tl.constexpr,
    ADJOINT: tl.constexpr,
    PRECISION: tl.constexpr,
    BLOCK_K1: tl.constexpr,
    BLOCK_LINES: tl.constexpr,
    BLOCK_TERMS: tl.constexpr,
    BLOCK_K2: tl.constexpr,
    SPLIT_K1: tl.constexpr,
):
    """y[l, k1 + p·k2] = Σ L[k1 + p·k2, (n2, ρ)]·s[k1, l, (n2, ρ)].

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
    p_first += head * (2 * P * P * Q * RANK)
    p_second += head * (2 * P * Q * Q * RANK)

    # Not hoisting the offsets of all tiles out of the loop spares some 30 registers, and costs little.
    for k1_start in tl.range(tl.program_id(2) * BLOCK_K1, P, SPLIT_K1 * BLOCK_K1, disable_licm=True):
        k1 = k1_start + tl.arange(0, BLOCK_K1)
        b_yr = tl.zeros([BLOCK_K1, BLOCK_LINES, BLOCK_K2], tl.float32)
        b_yi = tl.zeros([BLOCK_K1, BLOCK_LINES, BLOCK_K2], tl.float32)
        for terms_start in tl.range(0, Q * RANK, BLOCK_TERMS):
            terms = terms_start + tl.arange(0, BLOCK_TERMS)
            b_sr, b_si = _first_stage(
                p_x,
                p_first,
                lines,
                line_mask,
                k1,
                terms,
                P,
                Q,
                RANK,
                INNER,
                ADJOINT,
                BLOCK_K1,
                BLOCK_LINES,
                BLOCK_TERMS,
            )
            if ADJOINT:  # the right factor, (n2, (k1, ρ), n1) in the names of the product that is transposed
                l_offsets = k1[:, None, None] * (Q * RANK * Q) + terms[None, None, :] * Q + k2[None, :, None]
            else:  # the left factor, (k1 + p·k2, (n2, ρ))
                l_offsets = k1[:, None, None] * (Q * RANK) + terms[None, None, :] + k2[None, :, None] * (P * Q * RANK)
            l_mask = (k1 < P)[:, None, None] & (terms < Q * RANK)[None, None, :] & (k2 < Q)[None, :, None]
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
    RANK: tl.constexpr,
    INNER: tl.constexpr,
    ADJOINT: tl.constexpr,
    PRECISION: tl.constexpr,
    BLOCK_K1: tl.constexpr,
    BLOCK_LINES: tl.constexpr,
    BLOCK_TERMS: tl.constexpr,
    BLOCK_K2: tl.constexpr,
):
    """d[k1, k2, (n2, ρ)] = Σ_l y[l, k1 + p·k2]·conj(s[k1, l, (n2, ρ)]) over every groups-th block of a head's lines."""
    group = tl.program_id(0)
    head = tl.program_id(2)
    blocks_terms = tl.cdiv(Q * RANK, BLOCK_TERMS)
    blocks_k2 = tl.cdiv(Q, BLOCK_K2)
    tile = tl.program_id(1)
    terms = tile % blocks_terms * BLOCK_TERMS + tl.arange(0, BLOCK_TERMS)
    k2 = tile // blocks_terms % blocks_k2 * BLOCK_K2 + tl.arange(0, BLOCK_K2)
    k1 = tile // (blocks_terms * blocks_k2) * BLOCK_K1 + tl.arange(0, BLOCK_K1)
    p_first += head * (2 * P * P * Q * RANK)
    j = (k1[:, None, None] + P * k2[None, :, None]) * INNER
    j_mask = (k1 < P)[:, None, None] & (k2 < Q)[None, :, None]
    spacing: tl.constexpr = P * Q if INNER == 1 else 1
    lines = tl.arange(0, BLOCK_LINES) * spacing
    b_dr = tl.zeros([BLOCK_K1, BLOCK_K2, BLOCK_TERMS], tl.float32)
    b_di = tl.zeros([BLOCK_K1, BLOCK_K2, BLOCK_TERMS], tl.float32)

    blocks = tl.cdiv(size, BLOCK_LINES)
    for block in tl.range(group, batch_slabs * blocks, groups):
        of_head = block // blocks
        slab = (of_head // slabs * heads + head) * slabs + of_head % slabs
        line = block % blocks * BLOCK_LINES
        line_mask = line + tl.arange(0, BLOCK_LINES) < size
        start = 2 * (slab.to(tl.int64) * size * (P * Q) + line.to(tl.int64) * spacing)
        b_sr, b_si = _first_stage(
            p_x + start,
            p_first,
            lines,
            line_mask,
            k1,
            terms,
            P,
            Q,
            RANK,
            INNER,
            ADJOINT,
            BLOCK_K1,
            BLOCK_LINES,
            BLOCK_TERMS,
        )
        b_yr, b_yi = _load_pairs(p_y + start, lines[None, None, :] + j, j_mask & line_mask[None, None, :])
        b_sr, b_si = tl.permute(b_sr, (0, 2, 1)), tl.permute(b_si, (0, 2, 1))
        b_dr, b_di = _complex_dot(b_yr, b_yi, b_sr, -b_si, b_dr, b_di, PRECISION)
    if ADJOINT:
        b_di = -b_di
    d_offsets = (k1[:, None, None] * Q + k2[None, :, None]) * (Q * RANK) + terms[None, None, :]
    d_mask = j_mask & (terms < Q * RANK)[None, None, :]
    _store_pairs(
        p_partials + (group * heads + head).to(tl.int64) * (2 * P * Q * Q * RANK), d_offsets, b_dr, b_di, d_mask
    )
