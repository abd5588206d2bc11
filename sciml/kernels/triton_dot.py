"""The product of two tiles at a chosen precision."""

import triton
import triton.language as tl


@triton.jit
def dot(b_a, b_b, b_c, PRECISION: tl.constexpr):
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
