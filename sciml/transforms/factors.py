"""Closed-form Monarch factors of the discrete Fourier transform, in float64.

With n = p·q, input index n1·q + n2 and output row j (frequency f = f0 + j, j = k1 + p·k2), the DFT's kernel splits
into a part of (k1, n1, n2) and a part of (j, n2), which is all that a Monarch product may hold (Cooley and Tukey
1965; Dao et al. 2022, section 3):

    W_n^(f·(n1·q + n2)) = W_p^((f0 + k1)·n1) · W_n^(f·n2),        W_m = exp(-2πi/m).

Truncation keeps rows j < m; the offset f0 and the centring of the origin are phases inside the factors.

A rank r > 1 adds products to it. The DFT needs none of them, so their left factors start as zero; their right factors
must then not be zero, for a product of two zeros has no gradient in either. They start as the DFT's rows weighed by
the discrete Legendre polynomial of degree ρ in n1. The r rows of a block are orthonormal, so each opens a direction
that the others do not have; and the first is the one in which a frequency that is slightly wrong moves a row,
dW_p^(f·n1)/df ∝ n1·W_p^(f·n1).
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class MonarchFactors(NamedTuple):
    """left (heads, m, q·r), right (heads, q, r·min(p, m), p): A[j, n1·q + n2] = Σ_ρ L[j, n2, ρ]·R[n2, ρ, j mod p, n1].

    Complex, of rank r; n2·r + ρ and ρ·min(p, m) + k1 index the axes that hold ρ, and rank 1 has no trace of it.
    """

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


def full_rank(size: int, rows: int, radix: int | None = None) -> int:
    """The rank at which a Monarch matrix of that many rows is dense: no slice, rows by n1, has a higher one."""
    p, _ = split(size, radix)
    return min(p, -(-rows // min(p, rows)))


def lowest(m: int) -> range:
    """The m frequencies of smallest modulus, the negative one first: -(m // 2) … m - m // 2 - 1."""
    return range(-(m // 2), m - m // 2)


def dft_matrix(size: int, frequencies: range, *, origin: int = 0) -> Tensor:
    """The orthonormal DFT, (m, n) complex128: A[j, i] = exp(-2πi·f_j·(i - origin)/n)/√n."""
    turns = torch.outer(torch.tensor(frequencies), torch.arange(size) - origin) % size
    return roots(turns, size) * size**-0.5


def dft_factors(
    size: int, frequencies: range, *, radix: int | None = None, origin: int = 0, rank: int = 1
) -> MonarchFactors:
    """Monarch factors of `dft_matrix`, each block with orthonormal rows (1/√q in L, 1/√p in R), complex128.

    Exactly the DFT at any rank: terms beyond the first have zero in L, and rows orthonormal to the others' in R.

    Args:
        size: n, the number of grid points.
        frequencies: m consecutive integers, one for each row.
        radix: the p to aim for; see `split`.
        origin: the grid index of the coordinate zero (n // 2 for a centred transform).
        rank: r, up to `full_rank`.
    """
    p, q = split(size, radix)
    f = torch.tensor(frequencies)
    n1, n2 = torch.arange(p), torch.arange(q)
    k1 = f[: min(p, len(f))]
    left = roots(torch.outer(f, n2 - origin) % size, size) * q**-0.5
    right = roots(torch.outer(k1, n1) % p, p) * p**-0.5
    factors = MonarchFactors(left[None], right.repeat(1, q, 1, 1))
    return factors if rank == 1 else with_terms(factors, [weight * factors.right for weight in legendre(p, rank)])


def with_terms(factors: MonarchFactors, rights: Sequence[Tensor]) -> MonarchFactors:
    """The same matrix of rank len(rights): the right factors of all terms, and left ones of zero but the first."""
    left = torch.stack([factors.left, *[torch.zeros_like(factors.left)] * (len(rights) - 1)], -1)
    return MonarchFactors(left.flatten(2), torch.cat(list(rights), 2))


def legendre(points: int, count: int) -> Tensor:
    """(count, points) float64: the discrete Legendre polynomials of degrees 0 to count - 1, of mean square 1."""
    position = torch.arange(points, dtype=torch.float64) - (points - 1) / 2
    rows = torch.ones(1, points, dtype=torch.float64)
    while len(rows) < count:
        new = position * rows[-1]
        for _ in range(2):  # once leaves what rounding makes of earlier degrees
            new = new - rows.mT @ (rows @ new) / points
        rows = torch.cat([rows, new[None] / new.square().mean().sqrt()])
    return rows


def roots(turns: Tensor, order: int) -> Tensor:
    """exp(-2πi·turns/order), complex128, for integer turns; exact to rounding within one turn."""
    angle = turns.double() * (-2 * math.pi / order)
    return torch.polar(torch.ones_like(angle), angle)
