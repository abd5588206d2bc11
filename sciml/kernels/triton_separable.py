"""The truncated transform of the last two axes on a GPU: the field is read once, only the kept modes are written.

The four derivatives of φ = Re Σ conj(s[k2, k1])·A_1[k1, i1]·A_2[k2, i2]·f[i1, i2] (see `dense`), a kernel each.
Two intermediate tiles, which never leave the chip, are all that they share:

    y[i1, k2] = Σ_i2 A_2[k2, i2] f[i1, i2]               from the field
    u[i1, k2] = Σ_k1 conj(A_1[k1, i1]) s[k2, k1]         from the spectrum

    ∂φ/∂s = A_1 y     ∂φ/∂f = Re A_2^H u     ∂φ/∂A_1 = s y^H     ∂φ/∂A_2 = f^T u

Factors are read as two planes (heads, 2, m, n). Gradients of the factors are partial sums of groups of images, added up
afterwards in a fixed order. Any size works: what a block has beyond it is masked.
"""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from sciml.kernels.triton_build import INTERPRETED, POINTER, Build

GROUPS = 64  # partial sums for each factor gradient and head, at the most


@triton.jit
def _dot(b_a, b_b, b_c, PRECISION: tl.constexpr):
    """c + a @ b. The tf32x3 of tl.dot spends as long again on guards against infinities, and its registers."""
    if PRECISION == "interpreted":  # the interpreter's dot is wrong in bfloat16
        b_c = tl.dot(b_a.to(tl.float32), b_b.to(tl.float32), b_c)
    elif PRECISION == "tf32x3":
        b_a_high = (b_a.to(tl.int32, bitcast=True) & -8192).to(tl.float32, bitcast=True)  # what tf32 holds of it
        b_b_high = (b_b.to(tl.int32, bitcast=True) & -8192).to(tl.float32, bitcast=True)
        b_c = tl.dot(b_a - b_a_high, b_b_high, b_c, input_precision="tf32")
        b_c = tl.dot(b_a_high, b_b - b_b_high, b_c, input_precision="tf32")
        b_c = tl.dot(b_a_high, b_b_high, b_c, input_precision="tf32")
    else:
        b_c = tl.dot(b_a, b_b, b_c, input_precision=PRECISION)
    return b_c


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
        b_yr = _dot(b_f, tl.trans(_plane(p_a2, k2, i2, M2, N2, 0)), b_yr, PRECISION)
        b_yi = _dot(b_f, tl.trans(_plane(p_a2, k2, i2, M2, N2, 1)), b_yi, PRECISION)
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
            b_ur = _dot(b_ar, b_sr, b_ur, PRECISION)
            b_ur = _dot(b_ai, b_si, b_ur, PRECISION)
            b_ui = _dot(b_ar, b_si, b_ui, PRECISION)
            b_ui = _dot(_negative(b_ai), b_sr, b_ui, PRECISION)
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
            b_sr = _dot(b_ar, b_yr, b_sr, PRECISION)
            b_sr = _dot(_negative(b_ai), b_yi, b_sr, PRECISION)
            b_si = _dot(b_ar, b_yi, b_si, PRECISION)
            b_si = _dot(b_ai, b_yr, b_si, PRECISION)
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
    PRECISION: tl.constexpr,
    B1: tl.constexpr,
    B2: tl.constexpr,
    BK1: tl.constexpr,
    BK2: tl.constexpr,
):
    """∂φ/∂f, plus a bias: a program has a tile of an image, and runs over the modes."""
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
        b_f = _dot(b_ur.to(dtype), _plane(p_a2, k2, i2, M2, N2, 0), b_f, PRECISION)
        b_f = _dot(b_ui.to(dtype), _plane(p_a2, k2, i2, M2, N2, 1), b_f, PRECISION)
    if HAS_BIAS:
        b_bias = tl.load(p_bias + image % images * bias_image + i1 * bias_row, mask=i1 < N1, other=0.0)
        b_f += b_bias.to(tl.float32)[:, None]
    mask = (i1[:, None] < N1) & (i2[None, :] < N2)
    tl.store(p_f + i1[:, None] * N2 + i2[None, :], b_f.to(dtype), mask=mask)


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
            b_dr = _dot(b_sr, b_yr, b_dr, PRECISION)
            b_dr = _dot(b_si, b_yi, b_dr, PRECISION)
            b_di = _dot(b_si, b_yr, b_di, PRECISION)
            b_di = _dot(_negative(b_sr), b_yi, b_di, PRECISION)
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
            b_dr = _dot(tl.trans(b_ur.to(dtype)), b_f, b_dr, PRECISION)
            b_di = _dot(tl.trans(b_ui.to(dtype)), b_f, b_di, PRECISION)
    p_out = p_partials + (group * tl.num_programs(1) + head).to(tl.int64) * 2 * M2 * N2 + k2[:, None] * N2 + i2[None, :]
    mask = (k2[:, None] < M2) & (i2[None, :] < N2)
    tl.store(p_out, b_dr, mask=mask)
    tl.store(p_out + M2 * N2, b_di, mask=mask)


def derivatives(
    f: Tensor | None,
    s: Tensor | None,
    a1: Tensor | None,
    a2: Tensor,
    want: Sequence[bool],
    *,
    bias: Tensor | None = None,
    precision: str = "tf32x3",
) -> tuple[Tensor | None, ...]:
    """Equal to `dense.derivatives`; see there for shapes. float32, bfloat16 or float16, sums in float32.

    Args:
        bias: added to ∂φ/∂f, (images or 1, n1 or 1, 1).
        precision: of float32 products: ieee, tf32x3 or tf32.
    """
    like = f if f is not None else s
    assert like is not None
    launch = _Launch(like, f, s, a1, a2, "interpreted" if INTERPRETED else precision)
    return (
        launch.synthesis(bias) if want[0] else None,
        launch.analysis() if want[1] else None,
        launch.first_gradient() if want[2] else None,
        launch.second_gradient() if want[3] else None,
    )


class _Launch:
    """The operands of one call as the kernels read them, and the grid of each kernel."""

    def __init__(
        self, like: Tensor, f: Tensor | None, s: Tensor | None, a1: Tensor | None, a2: Tensor, precision: str
    ) -> None:
        self.like, self.heads = like, len(a2)
        self.f, self.s = (None if t is None else t.contiguous() for t in (f, s))
        self.a2 = a2.to(like.dtype).movedim(-1, 1).contiguous()
        self.a1 = self.a2 if a1 is None else a1.to(like.dtype).movedim(-1, 1).contiguous()  # a pointer that is not read
        self.batch, self.images = like.shape[:2]
        self.m2, self.n2 = a2.shape[1:3]
        rows = like.shape[2 if f is not None else 4]
        self.m1, self.n1 = (rows, rows) if a1 is None else (a1.shape[1], a1.shape[2])
        self.first = {"HAS_FIRST": a1 is not None}
        self.blocks = _blocks(self.sizes, a1 is not None, like.dtype, precision)
        self.options = {"PRECISION": precision, **self.blocks, "enable_fp_fusion": True}

    @property
    def sizes(self) -> tuple[int, ...]:
        return self.n1, self.n2, self.m1, self.m2

    def tiles(self, *names: str) -> list[int]:
        size = {"B1": self.n1, "B2": self.n2, "BK1": self.m1, "BK2": self.m2}
        return [triton.cdiv(size[name], self.blocks[name]) for name in names]

    def analysis(self) -> Tensor:
        s = self.like.new_empty(self.batch, self.images, self.m2, 2, self.m1)
        grid = (self.batch * self.images, *self.tiles("BK1", "BK2"))
        if s.numel():
            per_head = self.images // self.heads
            truncated_analysis_kernel[grid](
                self.f, self.a1, self.a2, s, self.images, per_head, *self.sizes, **self.first, **self.options, **_LAUNCH
            )
        return s

    def synthesis(self, bias: Tensor | None) -> Tensor:
        f = self.like.new_empty(self.batch, self.images, self.n1, self.n2)
        grid = (self.batch * self.images, *self.tiles("B1", "B2"))
        if f.numel():
            strides = (0, 0) if bias is None else bias.expand(self.images, self.n1, 1).stride()[:2]
            truncated_synthesis_kernel[grid](
                self.s,
                self.a1,
                self.a2,
                f,
                self.a2 if bias is None else bias,
                *strides,
                self.images,
                self.images // self.heads,
                *self.sizes,
                HAS_BIAS=bias is not None,
                **self.first,
                **self.options,
                **_LAUNCH,
            )
        return f

    def first_gradient(self) -> Tensor:
        i1, k1 = self.tiles("B1", "BK1")
        return self._summed(self.m1, self.n1, truncated_first_gradient_kernel, self.a2, i1 * k1, _LAUNCH)

    def second_gradient(self) -> Tensor:
        i2, k2 = self.tiles("B2", "BK2")
        return self._summed(
            self.m2, self.n2, truncated_second_gradient_kernel, self.a1, i2 * k2, {**self.first, **_LAUNCH}
        )

    def _summed(self, m: int, n: int, kernel: Any, factor: Tensor, tiles: int, options: dict[str, Any]) -> Tensor:
        per_head = self.images // self.heads
        in_head = self.batch * per_head
        groups = min(GROUPS, in_head)
        partials = self.like.new_empty(groups, self.heads, 2, m, n, dtype=torch.float32)
        if groups:
            kernel[groups, self.heads, tiles](
                self.f,
                self.s,
                factor,
                partials,
                self.images,
                per_head,
                in_head,
                groups,
                *self.sizes,
                **options,
                **self.options,
            )
        return partials.sum(0).movedim(1, -1).to(self.like.dtype)


# (rows, columns) of a field's tile, with a first factor and without: what 8 warps hold without spilling, for compute
# capability 8.0 and 9.0 alike.
_TILES = {
    "ieee": ((16, 32), (32, 32)),
    "tf32x3": ((16, 64), (32, 64)),
    "tf32": ((64, 32), (64, 32)),
    "half": ((32, 64), (64, 64)),
    "interpreted": ((64, 64), (64, 64)),
}
_LAUNCH = {"num_warps": 8, "num_stages": 1, "maxnreg": 255}  # else ptxas saves registers for a few bytes of spills


def _blocks(sizes: Sequence[int], first: bool, dtype: torch.dtype, precision: str) -> dict[str, int]:
    """Powers of two of at least 16, which tl.dot needs, and at most what the registers take."""
    kind = precision if dtype == torch.float32 or precision == "interpreted" else "half"
    rows, columns = _TILES[kind][0 if first else 1]
    most = {"B1": rows, "B2": columns, "BK1": 32, "BK2": 32}
    return {
        name: max(16, min(most[name], triton.next_power_of_2(size))) for name, size in zip(most, sizes, strict=True)
    }


def configurations() -> Iterator[Build]:
    """What is launched for fields from 64² to 256², and of one axis, in each type and precision."""
    cases = [(torch.float32, "ieee"), (torch.float32, "tf32x3"), (torch.float32, "tf32"), (torch.bfloat16, "tf32")]
    kernels = (
        truncated_analysis_kernel,
        truncated_synthesis_kernel,
        truncated_first_gradient_kernel,
        truncated_second_gradient_kernel,
    )
    sizes = ((64, 64, 24, 13), (256, 256, 32, 17), (64, 64, 12, 7))
    for (dtype, precision), kernel, size, first in itertools.product(cases, kernels, sizes, (True, False)):
        constants: dict[str, object] = {"PRECISION": precision, **_blocks(size, first, dtype, precision)}
        if "HAS_FIRST" in kernel.arg_names:
            constants["HAS_FIRST"] = first
        elif not first:
            continue
        if "HAS_BIAS" in kernel.arg_names:
            constants["HAS_BIAS"] = True
        yield Build(kernel, _signature(kernel, dtype, constants), constants, **_LAUNCH)


def _signature(kernel: Any, dtype: torch.dtype, constants: dict[str, object]) -> dict[str, str]:
    def kind(name: str) -> str:
        if name in constants:
            return "constexpr"
        if name == "p_partials":
            return POINTER[torch.float32]
        return POINTER[dtype] if name.startswith("p_") else "i32"

    return {name: kind(name) for name in kernel.arg_names}
