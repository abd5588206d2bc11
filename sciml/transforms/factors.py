"""Closed-form Monarch factors of the discrete Fourier transform, in float64.

With n = p·q, input index n1·q + n2 and output row j (frequency f = f0 + j, j = k1 + p·k2), the DFT's kernel splits
into a part of (k1, n1, n2) and a part of (j, n2), which is all that a Monarch product may hold (Cooley and Tukey
1965; Dao et al. 2022, section 3):

    W_n^(f·(n1·q + n2)) = W_p^((f0 + k1)·n1) · W_n^(f·n2),        W_m = exp(-2πi/m).

Truncation keeps rows j < m; the offset f0 and the centring of the origin are phases inside the factors.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor


class MonarchFactors(NamedTuple):
    """left (heads, m, q) and right (heads, q, min(p, m), p), complex: A[j, n1·q + n2] = L[j, n2]·R[n2, j mod p, n1]."""

    left: Tensor
    right: Tensor


def as_complex(pairs: Tensor) -> Tensor:
    """Real pairs (…, 2) as complex numbers (…); bfloat16 and float16, which have none, become complex64."""
    return torch.view_as_complex(pairs.to(torch.promote_types(pairs.dtype, torch.float32)))


def split(size: int, radix: int | None = None) -> tuple[int, int]:
    """(p, q) with p·q = size and p the divisor nearest to the radix (√size by default), by ratio.

    A prime's only inner split is p = 1 or q = 1; p = 1 is one dense block.
    """
    target = math.sqrt(size) if radix is None else radix
    divisors = [p for p in range(1, size + 1) if size % p == 0]
    inner = [p for p in divisors if 1 < p < size]
    if not inner and radix is None:
        return 1, size
    p = min(inner if radix is None else divisors, key=lambda p: (abs(math.log(p / target)), p))
    return p, size // p


def lowest(m: int) -> range:
    """The m frequencies of smallest modulus, the negative one first: -(m // 2) … m - m // 2 - 1."""
    return range(-(m // 2), m - m // 2)


def dft_matrix(size: int, frequencies: range, *, origin: int = 0) -> Tensor:
    """The orthonormal DFT, (m, n) complex128: A[j, i] = exp(-2πi·f_j·(i - origin)/n)/√n."""
    turns = torch.outer(torch.tensor(frequencies), torch.arange(size) - origin) % size
    return _roots(turns, size) * size**-0.5


def dft_factors(size: int, frequencies: range, *, radix: int | None = None, origin: int = 0) -> MonarchFactors:
    """Monarch factors of `dft_matrix`, each block with orthonormal rows (1/√q in L, 1/√p in R), complex128.

    Args:
        size: n, the number of grid points.
        frequencies: m consecutive integers, one for each row.
        radix: the p to aim for; see `split`.
        origin: the grid index of the coordinate zero (n // 2 for a centred transform).
    """
    p, q = split(size, radix)
    f = torch.tensor(frequencies)
    n1, n2 = torch.arange(p), torch.arange(q)
    k1 = f[: min(p, len(f))]
    left = _roots(torch.outer(f, n2 - origin) % size, size) * q**-0.5
    right = _roots(torch.outer(k1, n1) % p, p) * p**-0.5
    return MonarchFactors(left[None], right.repeat(1, q, 1, 1))


def _roots(turns: Tensor, order: int) -> Tensor:
    """exp(-2πi·turns/order), complex128, for integer turns."""
    angle = turns.double() * (-2 * math.pi / order)
    return torch.polar(torch.ones_like(angle), angle)
