"""The kernels of `truncated.triton`: y and u tiles, and what is made of them.

Pointers `p_`, tiles `b_`. Factors are planes (heads, 2, m, n), fields (images, N1, N2), spectra (images, M2, 2, M1).
"""

import triton
import triton.language as tl

from sciml.kernels.common.triton_dot import dot


@triton.jit
def _negative(b_a):
    """-a, by way of float32: the interpreter holds bfloat16 as integers."""
    return (-b_a.to(tl.float32)).to(b_a.dtype)


@triton.jit
def _plane(p_a, rows, columns, M, N, PLANE: tl.constexpr):
    """A tile A[rows, columns] of the real (0) or imaginary (1) plane of a head's (2, M, N)."""
    mask = (rows[:, None] < M) & (columns[None, :] < N)
    return tl.load(p_a + PLANE * M * N + rows[:, None] * N + columns[None, :], mask=mask, other=0.0)


@triton.jit
def _spectrum(p_s, k2, k1, M2, M1, PLANE: tl.constexpr):
    """A tile s[k1, k2] of an image's (M2, 2, M1)."""
    mask = (k1[:, None] < M1) & (k2[None, :] < M2)
    return tl.load(p_s + (k2[None, :] * 2 + PLANE) * M1 + k1[:, None], mask=mask, other=0.0)


@triton.jit
def _y_tile(
    p_f, p_a2, i1, k2, N1, N2, M2, PRECISION: tl.constexpr, B1: tl.constexpr, B2: tl.constexpr, BK2: tl.constexpr
):
    b_yr = tl.zeros([B1, BK2], tl.float32)
    b_yi = tl.zeros([B1, BK2], tl.float32)
    for start in range(0, N2, B2):
        i2 = start + tl.arange(0, B2)
        mask = (i1[:, None] < N1) & (i2[None, :] < N2)
        b_f = tl.load(p_f + i1[:, None] * N2 + i2[None, :], mask=mask, other=0.0)
        b_yr = dot(b_f, tl.trans(_plane(p_a2, k2, i2, M2, N2, 0)), b_yr, PRECISION)
        b_yi = dot(b_f, tl.trans(_plane(p_a2, k2, i2, M2, N2, 1)), b_yi, PRECISION)
    return b_yr, b_yi


@triton.jit
def _u_tile(
    p_s,
    p_a1,
    i1,
    k2,
    N1,
    M1,
    M2,
    HAS_FIRST: tl.constexpr,
    PRECISION: tl.constexpr,
    B1: tl.constexpr,
    BK1: tl.constexpr,
    BK2: tl.constexpr,
):
    if HAS_FIRST:
        b_ur = tl.zeros([B1, BK2], tl.float32)
        b_ui = tl.zeros([B1, BK2], tl.float32)
        for start in range(0, M1, BK1):
            k1 = start + tl.arange(0, BK1)
            b_ar = tl.trans(_plane(p_a1, k1, i1, M1, N1, 0))
            b_ai = tl.trans(_plane(p_a1, k1, i1, M1, N1, 1))
            b_sr = _spectrum(p_s, k2, k1, M2, M1, 0)
            b_si = _spectrum(p_s, k2, k1, M2, M1, 1)
            b_ur = dot(b_ar, b_sr, b_ur, PRECISION)
            b_ur = dot(b_ai, b_si, b_ur, PRECISION)
            b_ui = dot(b_ar, b_si, b_ui, PRECISION)
            b_ui = dot(_negative(b_ai), b_sr, b_ui, PRECISION)
    else:
        b_ur = _spectrum(p_s, k2, i1, M2, M1, 0).to(tl.float32)
        b_ui = _spectrum(p_s, k2, i1, M2, M1, 1).to(tl.float32)
    return b_ur, b_ui


@triton.jit
def truncated_analysis_kernel(
    p_f,
    p_a1,
    p_a2,
    p_s,
    images,
    per_head,
    N1,
    N2,
    M1,
    M2,
    HAS_FIRST: tl.constexpr,
    PRECISION: tl.constexpr,
    B1: tl.constexpr,
    B2: tl.constexpr,
    BK1: tl.constexpr,
    BK2: tl.constexpr,
):
    """∂φ/∂s: a program has an image and a tile of modes, and runs over the rows of the field."""
    image = tl.program_id(0).to(tl.int64)
    head = image % images // per_head
    k1 = tl.program_id(1) * BK1 + tl.arange(0, BK1)
    k2 = tl.program_id(2) * BK2 + tl.arange(0, BK2)
    p_f += image * N1 * N2
    p_s += image * M2 * 2 * M1
    p_a1 += head * 2 * M1 * N1
    p_a2 += head * 2 * M2 * N2
    dtype: tl.constexpr = p_s.dtype.element_ty
    p_out = p_s + k2[None, :] * 2 * M1 + k1[:, None]
    mask = (k1[:, None] < M1) & (k2[None, :] < M2)
    if HAS_FIRST:
        b_sr = tl.zeros([BK1, BK2], tl.float32)
        b_si = tl.zeros([BK1, BK2], tl.float32)
        for start in range(0, N1, B1):
            i1 = start + tl.arange(0, B1)
            b_yr, b_yi = _y_tile(p_f, p_a2, i1, k2, N1, N2, M2, PRECISION, B1, B2, BK2)
            b_yr, b_yi = b_yr.to(dtype), b_yi.to(dtype)
            b_ar = _plane(p_a1, k1, i1, M1, N1, 0)
            b_ai = _plane(p_a1, k1, i1, M1, N1, 1)
            b_sr = dot(b_ar, b_yr, b_sr, PRECISION)
            b_sr = dot(_negative(b_ai), b_yi, b_sr, PRECISION)
            b_si = dot(b_ar, b_yi, b_si, PRECISION)
            b_si = dot(b_ai, b_yr, b_si, PRECISION)
    else:  # rows stay: the tile of k1 is the tile of i1
        b_sr, b_si = _y_tile(p_f, p_a2, k1, k2, N1, N2, M2, PRECISION, BK1, B2, BK2)
    tl.store(p_out, b_sr.to(dtype), mask=mask)
    tl.store(p_out + M1, b_si.to(dtype), mask=mask)


@triton.jit
def truncated_synthesis_kernel(
    p_s,
    p_a1,
    p_a2,
    p_f,
    p_bias,
    p_skip,
    p_gelu,
    bias_image,
    bias_row,
    images,
    per_head,
    N1,
    N2,
    M1,
    M2,
    HAS_FIRST: tl.constexpr,
    HAS_BIAS: tl.constexpr,
    HAS_SKIP: tl.constexpr,
    GELU: tl.constexpr,
    PRECISION: tl.constexpr,
    B1: tl.constexpr,
    B2: tl.constexpr,
    BK1: tl.constexpr,
    BK2: tl.constexpr,
):
    """x = ∂φ/∂f + bias + skip, and GELU(x): a program has a tile of an image, and runs over the modes."""
    image = tl.program_id(0).to(tl.int64)
    head = image % images // per_head
    i1 = tl.program_id(1) * B1 + tl.arange(0, B1)
    i2 = tl.program_id(2) * B2 + tl.arange(0, B2)
    p_f += image * N1 * N2
    p_s += image * M2 * 2 * M1
    p_a1 += head * 2 * M1 * N1
    p_a2 += head * 2 * M2 * N2
    dtype: tl.constexpr = p_f.dtype.element_ty
    b_f = tl.zeros([B1, B2], tl.float32)
    for start in range(0, M2, BK2):
        k2 = start + tl.arange(0, BK2)
        b_ur, b_ui = _u_tile(p_s, p_a1, i1, k2, N1, M1, M2, HAS_FIRST, PRECISION, B1, BK1, BK2)
        b_f = dot(b_ur.to(dtype), _plane(p_a2, k2, i2, M2, N2, 0), b_f, PRECISION)
        b_f = dot(b_ui.to(dtype), _plane(p_a2, k2, i2, M2, N2, 1), b_f, PRECISION)
    if HAS_BIAS:
        b_bias = tl.load(p_bias + image % images * bias_image + i1 * bias_row, mask=i1 < N1, other=0.0)
        b_f += b_bias.to(tl.float32)[:, None]
    mask = (i1[:, None] < N1) & (i2[None, :] < N2)
    offsets = i1[:, None] * N2 + i2[None, :]
    if HAS_SKIP:
        b_f += tl.load(p_skip + image * N1 * N2 + offsets, mask=mask, other=0.0).to(tl.float32)
    tl.store(p_f + offsets, b_f.to(dtype), mask=mask)
    if GELU:
        b_gelu = 0.5 * b_f * (1.0 + tl.erf(b_f * 0.7071067811865476))
        tl.store(p_gelu + image * N1 * N2 + offsets, b_gelu.to(dtype), mask=mask)


@triton.jit
def truncated_first_gradient_kernel(
    p_f,
    p_s,
    p_a2,
    p_partials,
    images,
    per_head,
    in_head,
    groups,
    N1,
    N2,
    M1,
    M2,
    PRECISION: tl.constexpr,
    B1: tl.constexpr,
    B2: tl.constexpr,
    BK1: tl.constexpr,
    BK2: tl.constexpr,
):
    """∂φ/∂A_1[k1, i1] = Σ s[k2, k1]·conj(y[i1, k2]) over every groups-th of a head's `in_head` images."""
    group = tl.program_id(0)
    head = tl.program_id(1)
    tiles = tl.cdiv(N1, B1)
    i1 = tl.program_id(2) % tiles * B1 + tl.arange(0, B1)
    k1 = tl.program_id(2) // tiles * BK1 + tl.arange(0, BK1)
    p_a2 += head * 2 * M2 * N2
    dtype: tl.constexpr = p_f.dtype.element_ty
    b_dr = tl.zeros([BK1, B1], tl.float32)
    b_di = tl.zeros([BK1, B1], tl.float32)
    for of_head in range(group, in_head, groups):
        image = (of_head // per_head * images + head * per_head + of_head % per_head).to(tl.int64)
        for start in range(0, M2, BK2):
            k2 = start + tl.arange(0, BK2)
            b_yr, b_yi = _y_tile(p_f + image * N1 * N2, p_a2, i1, k2, N1, N2, M2, PRECISION, B1, B2, BK2)
            b_yr, b_yi = tl.trans(b_yr.to(dtype)), tl.trans(b_yi.to(dtype))
            b_sr = _spectrum(p_s + image * M2 * 2 * M1, k2, k1, M2, M1, 0)
            b_si = _spectrum(p_s + image * M2 * 2 * M1, k2, k1, M2, M1, 1)
            b_dr = dot(b_sr, b_yr, b_dr, PRECISION)
            b_dr = dot(b_si, b_yi, b_dr, PRECISION)
            b_di = dot(b_si, b_yr, b_di, PRECISION)
            b_di = dot(_negative(b_sr), b_yi, b_di, PRECISION)
    p_out = p_partials + (group * tl.num_programs(1) + head).to(tl.int64) * 2 * M1 * N1 + k1[:, None] * N1 + i1[None, :]
    mask = (k1[:, None] < M1) & (i1[None, :] < N1)
    tl.store(p_out, b_dr, mask=mask)
    tl.store(p_out + M1 * N1, b_di, mask=mask)


@triton.jit
def truncated_second_gradient_kernel(
    p_f,
    p_s,
    p_a1,
    p_partials,
    images,
    per_head,
    in_head,
    groups,
    N1,
    N2,
    M1,
    M2,
    HAS_FIRST: tl.constexpr,
    PRECISION: tl.constexpr,
    B1: tl.constexpr,
    B2: tl.constexpr,
    BK1: tl.constexpr,
    BK2: tl.constexpr,
):
    """∂φ/∂A_2[k2, i2] = Σ u[i1, k2]·f[i1, i2] over every groups-th of a head's `in_head` images."""
    group = tl.program_id(0)
    head = tl.program_id(1)
    tiles = tl.cdiv(N2, B2)
    i2 = tl.program_id(2) % tiles * B2 + tl.arange(0, B2)
    k2 = tl.program_id(2) // tiles * BK2 + tl.arange(0, BK2)
    p_a1 += head * 2 * M1 * N1
    dtype: tl.constexpr = p_f.dtype.element_ty
    b_dr = tl.zeros([BK2, B2], tl.float32)
    b_di = tl.zeros([BK2, B2], tl.float32)
    for of_head in range(group, in_head, groups):
        image = (of_head // per_head * images + head * per_head + of_head % per_head).to(tl.int64)
        for start in range(0, N1, B1):
            i1 = start + tl.arange(0, B1)
            b_ur, b_ui = _u_tile(
                p_s + image * M2 * 2 * M1, p_a1, i1, k2, N1, M1, M2, HAS_FIRST, PRECISION, B1, BK1, BK2
            )
            f_mask = (i1[:, None] < N1) & (i2[None, :] < N2)
            b_f = tl.load(p_f + image * N1 * N2 + i1[:, None] * N2 + i2[None, :], mask=f_mask, other=0.0)
            b_dr = dot(tl.trans(b_ur.to(dtype)), b_f, b_dr, PRECISION)
            b_di = dot(tl.trans(b_ui.to(dtype)), b_f, b_di, PRECISION)
    p_out = p_partials + (group * tl.num_programs(1) + head).to(tl.int64) * 2 * M2 * N2 + k2[:, None] * N2 + i2[None, :]
    mask = (k2[:, None] < M2) & (i2[None, :] < N2)
    tl.store(p_out, b_dr, mask=mask)
    tl.store(p_out + M2 * N2, b_di, mask=mask)
