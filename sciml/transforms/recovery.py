"""The factors of A = M₁ M₂*, recovered from the dense A by simultaneous diagonalisation.

**Structure.** With n = p·q, rows k1 + p·k2, columns k1' + p·k2', and Monarch factors (L, R) of M₁, (L', R') of M₂,
take A as p×p blocks A_ij of size q×q, i = k1 and j = k1' (every p-th row and column). Then

    A_ij = L_i D_ij C_j,   L_i = L[i], q×q;   C_j = L'[j]*, q×q;   D_ij diagonal, D_ij[n2] = (R[n2] R'[n2]*)[i, j],

and conversely any such L_i, D_ij, C_j are a member: R R'* is any p×p matrix. p and q need not be equal.

**Recovery.** Where A_i1 and A_1j are invertible, the cross ratios

    F_ij = A_i1^(-1) A_ij A_1j^(-1) A_11 = C_1^(-1) (D_i1^(-1) D_ij D_1j^(-1) D_11) C_1

are all diagonal in one basis V, the columns of C_1^(-1). Any V that diagonalises them all gives factors: L_i = A_i1 V,
C_j = V^(-1) A_11^(-1) A_1j, and what is left, L_i^(-1) A_ij C_j^(-1) = V^(-1) F_ij V, is D_ij. The first row and column
of blocks are nothing special: here L_i and C_j are carried along the best conditioned paths of the graph with an edge
i-j for every invertible A_ij. So others may be singular, and block diagonal matrices are taken too: each connected
part of the graph has a V of its own. Rounding is amplified along the paths and by V; so L_i and C_j are then refined
from all blocks at once: A_ij C_j^(-1) = L_i D_ij says that column n2 is one vector for all j, the first singular vector
of them together, and likewise the rows of C_j.

**Gauge.** For invertible diagonal S_i, T_j and one permutation Π, L_i S_i Π, Π^(-1) S_i^(-1) D_ij T_j^(-1) Π and
Π^(-1) T_j C_j make the same A; and of R and R' the product R R'* is all that A knows. If two n2 have the same cross
ratios in all blocks, their plane in V is free as well. Chosen here: columns of L_i and rows of C_j of norm 1, D[n2]
shared evenly (R = U√Σ and R' = V√Σ of its SVD); the order of n2 is that in which the eigenvalues come.

Source: Dao et al. 2022, arXiv 2204.00595, section 3 (the class MM* and the recovery of its factors), for p = q = √n and
invertible blocks. Cost O(p²q³ + q⁴), n^(5/2) for p = q.
"""

import numpy as np
import torch
from scipy.sparse import csgraph, csr_array
from torch import Tensor

from sciml.errors import ConfigError
from sciml.kernels.monarch.reference import monarch_matrix
from sciml.transforms.factors import MonarchFactors, split

WORST_CONDITION = 1e8  # of a block that others are carried through
SWEEPS = 3  # of refinement over all blocks
DRAWS = 5  # random combinations of the cross ratios, of which the best basis is kept
SAME_EIGENVALUE = 1e-7  # apart, relative to the largest


def star_factors(
    matrix: Tensor, radix: int | None = None, *, tolerance: float = 1e-7
) -> tuple[MonarchFactors, MonarchFactors]:
    """Factors of M₁ and M₂, in complex128 with one head, so that M₁ M₂* is the matrix.

    The relative error of M₁ M₂* grows with the condition of the blocks and of their common eigenbasis: about
    1e-14 for convolutions and Hadamard's matrices, 1e-14 to 1e-11 for random normal factors, n up to 256.

    Args:
        matrix: (n, n), real or complex.
        radix: the p to aim for in n = p·q; a member for one p is in general none for another.
        tolerance: the relative Frobenius error ‖M₁ M₂* - A‖/‖A‖ up to which A counts as a member.

    Raises:
        ValueError: not a square matrix of finite numbers.
        ConfigError: the invertible blocks do not reach every row and column of blocks, or A is not in the class: the
            relative error of the product found is named.
    """
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ValueError(f"expected a square matrix, got the shape {tuple(matrix.shape)}")
    if not torch.isfinite(torch.view_as_real(matrix.to(torch.complex128))).all():
        raise ValueError("the matrix holds NaN or infinity: its factors cannot be recovered")
    n = len(matrix)
    p, q = split(n, radix)
    blocks = matrix.detach().to(torch.complex128).reshape(q, p, q, p).permute(1, 3, 0, 2)  # (i, j, k2, k2')
    left, right, part = _carried(blocks)
    ratios = torch.linalg.solve(left[:, None], blocks) @ torch.linalg.inv(right)
    for c in part[:p].unique():
        rows, columns = part[:p] == c, part[p:] == c
        basis = _common_eigenvectors(ratios[rows][:, columns].flatten(0, 1))
        left[rows] = left[rows] @ basis
        right[columns] = torch.linalg.pinv(basis) @ right[columns]
    for _ in range(SWEEPS):
        left, right = _refined(blocks, right)
    factors = _factors(blocks, left, right)
    first, second = (monarch_matrix(*side)[0] for side in factors)
    error = ((first @ second.mH - matrix).norm() / matrix.norm()).item()
    if not error <= tolerance:
        raise ConfigError(
            f"the matrix of size {n} is no product M₁ M₂* of Monarch matrices with p·q = {p}·{q}: the one found has"
            f" the relative error {error:.1e}, allowed is {tolerance:.0e}; try another radix, or project_to_monarch"
        )
    return factors


def _carried(blocks: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """L_i and C_j in units of each part's C_root, (p, q, q) each, with A_ij = L_i C_j along a tree; the parts, (2p,).

    Nodes are the p rows of blocks, then the p columns. Paths from the root have the least product of conditions.
    """
    p, q = len(blocks), blocks.shape[-1]
    condition = torch.linalg.cond(blocks).nan_to_num(torch.inf).numpy(force=True)
    good = condition < WORST_CONDITION
    if not (good.any(0).all() and good.any(1).all()):
        side, found = ("row", good.any(1)) if not good.any(1).all() else ("column", good.any(0))
        raise ConfigError(
            f"{side} {found.argmin()} of the {p}×{p} blocks of size {q} holds no invertible one: factors of M₁ M₂* are"
            " recovered from invertible blocks; try another radix"
        )
    weight = np.zeros((2 * p, 2 * p))
    weight[:p, p:] = np.log(np.where(good, condition, 1)) + good  # 0 is no edge
    distance, parents = csgraph.dijkstra(csr_array(weight), directed=False, return_predecessors=True)
    _, part = csgraph.connected_components(weight, directed=False)
    nodes = torch.eye(q, dtype=blocks.dtype, device=blocks.device).repeat(2 * p, 1, 1)
    for c in np.unique(part):
        members = np.flatnonzero(part == c)
        root = members[distance[np.ix_(members, members)].max(1).argmin()]
        for node in sorted(set(members) - {root}, key=lambda node: distance[root, node]):
            parent = parents[root, node]
            block = blocks[parent, node - p] if parent < p else blocks[node, parent - p]
            nodes[node] = torch.linalg.solve(nodes[parent], block, left=bool(parent < p))
    return nodes[:p], nodes[p:], torch.from_numpy(part).to(blocks.device)


def _common_eigenvectors(matrices: Tensor) -> Tensor:
    """(q, q), a basis in which all the matrices (k, q, q) are diagonal, if there is one, else nearly so.

    Almost every combination of commuting matrices has their common eigenspaces, and no others.
    """
    generator = torch.Generator().manual_seed(0)
    scaled = matrices / torch.linalg.matrix_norm(matrices).clamp(min=torch.finfo(torch.float64).tiny)[:, None, None]
    weights = torch.randn(DRAWS, len(scaled), dtype=torch.complex128, generator=generator).to(scaled.device)
    bases = [_eigenspaces(torch.einsum("k,kab->ab", weight, scaled)) for weight in weights]

    def left_over(basis: Tensor) -> float:
        turned = torch.linalg.pinv(basis) @ scaled @ basis
        error = (turned - torch.diag_embed(turned.diagonal(dim1=-2, dim2=-1))).norm().item()
        return error if error == error else float("inf")

    return min(bases, key=left_over)


def _eigenspaces(matrix: Tensor) -> Tensor:
    """A basis of eigenvectors, orthonormal within every eigenspace: of λ the kernel of M - λ, by its SVD."""
    eigenvalues = torch.linalg.eigvals(matrix)
    near = SAME_EIGENVALUE * eigenvalues.abs().max()
    identity = torch.eye(len(matrix), dtype=matrix.dtype, device=matrix.device)
    spaces = []
    while len(eigenvalues):
        same = (eigenvalues - eigenvalues[0]).abs() <= near
        _, _, vh = torch.linalg.svd(matrix - eigenvalues[same].mean() * identity)
        spaces.append(vh[-int(same.sum()) :].mH)
        eigenvalues = eigenvalues[~same]
    return torch.cat(spaces, 1)


def _refined(blocks: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
    """L_i from all A_ij C_j^(-1) = L_i D_ij, whose columns n2 are one vector in all j, then C_j from all L_i^(-1) A_ij.

    The vector is the first singular one, so its norm is 1.
    """
    columns = blocks @ torch.linalg.pinv(right)  # (i, j, k2, n2)
    left = torch.linalg.svd(columns.permute(0, 3, 2, 1)).U[..., 0].mT  # of each (i, n2): (k2, j)
    rows = torch.linalg.pinv(left)[:, None] @ blocks  # (i, j, n2, k2')
    return left, torch.linalg.svd(rows.permute(1, 2, 0, 3)).Vh[..., 0, :]  # of each (j, n2): (i, k2')


def _factors(blocks: Tensor, left: Tensor, right: Tensor) -> tuple[MonarchFactors, MonarchFactors]:
    """Monarch factors of M₁ and M₂ from A_ij, L_i and C_j, in the gauge of this module."""
    p, q = len(left), left.shape[-1]
    middle = (torch.linalg.pinv(left)[:, None] @ blocks @ torch.linalg.pinv(right)).diagonal(dim1=2, dim2=3)
    u, s, vh = torch.linalg.svd(middle.permute(2, 0, 1))  # of D[n2], (i, j)
    root = s.sqrt().to(u.dtype)[:, None]

    def rows(blocks: Tensor) -> Tensor:
        """(k1, k2, n2) to (1, k1 + p·k2, n2)."""
        return blocks.permute(1, 0, 2).reshape(1, p * q, q)

    return (
        MonarchFactors(rows(left), (u * root)[None]),
        MonarchFactors(rows(right.mH), (vh.mH * root)[None]),
    )
