"""The truncated transform of the last two axes on a GPU: the field is read once, only the kept modes are written.

The four derivatives of φ = Re Σ conj(s[k2, k1])·A_1[k1, i1]·A_2[k2, i2]·f[i1, i2] (see `truncated.cpu`), a kernel each.
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
from torch import Tensor

from sciml.kernels.common.triton_build import CASES, INTERPRETED, Build, build
from sciml.kernels.truncated.cpu import sizes
from sciml.kernels.truncated.triton_kernels import (
    truncated_analysis_kernel,
    truncated_first_gradient_kernel,
    truncated_second_gradient_kernel,
    truncated_synthesis_kernel,
)

# The kernels' spectra are (batch, images, m2, 2, m1), so that a block writes a run of numbers: with A_1, and without.
_IMAGES_FIRST = ((3, 4, 1, 2, 0), (2, 3, 0, 1, 4))
_MODES_FIRST = ((4, 2, 3, 0, 1), (2, 3, 0, 1, 4))
GROUPS = 64  # partial sums for each factor gradient and head, at the most


def derivatives(
    f: Tensor | None,
    s: Tensor | None,
    a1: Tensor | None,
    a2: Tensor,
    want: Sequence[bool],
    *,
    bias: Tensor | None = None,
    skip: Tensor | None = None,
    gelu: Tensor | None = None,
    precision: str = "tf32x3",
) -> tuple[Tensor | None, ...]:
    """Equal to `truncated.cpu.derivatives`; see there for shapes. float32, bfloat16 or float16, sums in float32.

    Args:
        bias, skip, gelu: as there; one pass over memory with the synthesis.
        precision: of float32 products: ieee, tf32x3 or tf32.
    """
    like = f if f is not None else s
    assert like is not None
    launch = _Launch(like, f, s, a1, a2, "interpreted" if INTERPRETED else precision)
    return (
        launch.synthesis(bias, skip, gelu) if want[0] else None,
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
        self.f = None if f is None else f.contiguous()
        self.s = None if s is None else s.permute(_IMAGES_FIRST[a1 is None]).contiguous()
        self.a2 = a2.to(like.dtype).movedim(-1, 1).contiguous()
        self.a1 = self.a2 if a1 is None else a1.to(like.dtype).movedim(-1, 1).contiguous()  # a pointer that is not read
        (self.batch, self.images, self.n1, self.n2), _ = sizes(f, s, a1, a2)
        self.m1, self.m2 = self.n1 if a1 is None else a1.shape[1], a2.shape[1]
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
        return s.permute(_MODES_FIRST[not self.first["HAS_FIRST"]])

    def synthesis(self, bias: Tensor | None, skip: Tensor | None, gelu: Tensor | None) -> Tensor:
        f = self.like.new_empty(self.batch, self.images, self.n1, self.n2)
        grid = (self.batch * self.images, *self.tiles("B1", "B2"))
        if f.numel():
            strides = (0, 0) if bias is None else bias.expand(self.images, self.n1, 1).stride()[:2]
            truncated_synthesis_kernel[grid](
                self.s,
                self.a1,
                self.a2,
                f,
                f if bias is None else bias,
                f if skip is None else skip.contiguous(),
                f if gelu is None else gelu,
                *strides,
                self.images,
                self.images // self.heads,
                *self.sizes,
                HAS_BIAS=bias is not None,
                HAS_SKIP=skip is not None,
                GELU=gelu is not None,
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
    "tf32x3": ((16, 32), (32, 32)),
    "tf32": ((32, 64), (64, 32)),
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
    kernels = (
        truncated_analysis_kernel,
        truncated_synthesis_kernel,
        truncated_first_gradient_kernel,
        truncated_second_gradient_kernel,
    )
    sizes = ((64, 64, 24, 13), (256, 256, 32, 17), (64, 64, 12, 7))
    for (dtype, precision), kernel, size, first in itertools.product(CASES, kernels, sizes, (True, False)):
        constants: dict[str, object] = {"PRECISION": precision, **_blocks(size, first, dtype, precision)}
        if "HAS_FIRST" in kernel.arg_names:
            constants["HAS_FIRST"] = first
        elif not first:
            continue
        if "HAS_BIAS" in kernel.arg_names:
            constants |= {"HAS_BIAS": True, "HAS_SKIP": True, "GELU": True}
        yield build(kernel, dtype, constants, ("p_partials",), **_LAUNCH)
