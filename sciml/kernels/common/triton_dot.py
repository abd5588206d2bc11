"""The product of two tiles at a chosen precision."""

import triton
import triton.language as tl


@triton.jit
def _rounded(b_a):
    """To the nearest tf32. Tensor cores cut off what they do not hold, which shrinks every product by 0.05 %."""
    return tl.inline_asm_elementwise("cvt.rna.tf32.f32 $0, $1;", "=r,r", [b_a], dtype=tl.float32, is_pure=True, pack=1)


@triton.jit
def dot(b_a, b_b, b_c, PRECISION: tl.constexpr):
    """c + a @ b; PRECISION is of float32 tiles.

    tf32x3 splits each tile into what tf32 holds of it and the rest. The tf32x3 of tl.dot spends as long again on guards
    against infinities, and its registers. The three products are summed apart from c: tensor cores round sums toward
    zero, which in a long sum is an error of its own.
    """
    if PRECISION == "interpreted":  # the interpreter's dot is wrong in bfloat16
        b_c = tl.dot(b_a.to(tl.float32), b_b.to(tl.float32), b_c)
    elif b_a.dtype != tl.float32:
        b_c = tl.dot(b_a, b_b, b_c)
    elif PRECISION == "tf32x3":
        b_a_high = (b_a.to(tl.int32, bitcast=True) & -8192).to(tl.float32, bitcast=True)
        b_b_high = (b_b.to(tl.int32, bitcast=True) & -8192).to(tl.float32, bitcast=True)
        b_d = tl.dot(b_a - b_a_high, b_b_high, input_precision="tf32")
        b_d = tl.dot(b_a_high, b_b - b_b_high, b_d, input_precision="tf32")
        b_c += tl.dot(b_a_high, b_b_high, b_d, input_precision="tf32")
    elif PRECISION == "tf32":
        b_c = tl.dot(_rounded(b_a), _rounded(b_b), b_c, input_precision="tf32")
    else:
        b_c = tl.dot(b_a, b_b, b_c, input_precision=PRECISION)
    return b_c
