"""Complex products and conjugates that may be compiled: by their real parts where a compiler traces them.

Inductor (torch 2.13) loses the conjugation of a tensor that is conjugated lazily, as `conj()` does and autograd's
formulas for complex products do: a copy that it makes, for other strides say, reads the memory as it lies. Values and
gradients are then wrong without a word (docs/decisions/0011). By these functions no such tensor is in a graph, neither
forward nor backward. In eager mode they are PyTorch's own operations.
"""

import torch
from torch import Tensor


def conj(x: Tensor) -> Tensor:
    """The complex conjugate."""
    if not (torch.compiler.is_compiling() and x.is_complex()):
        return x.conj()
    real, imag = _parts(x)
    return _complex(real, -imag)


def times(a: Tensor, b: Tensor) -> Tensor:
    """a·b elementwise, real or complex, broadcast."""
    if not torch.compiler.is_compiling():
        return a * b
    if not a.is_complex() and not b.is_complex():
        return a * b
    if a.is_complex() and b.is_complex():
        (ar, ai), (br, bi) = _parts(a), _parts(b)
        return _complex(ar * br - ai * bi, ar * bi + ai * br)
    scale, z = (b, a) if a.is_complex() else (a, b)
    real, imag = _parts(z)
    return _complex(scale * real, scale * imag)


def matmul(a: Tensor, b: Tensor) -> Tensor:
    """The complex matrix product a·b of matrices, or of batches of them with three axes each."""
    if not torch.compiler.is_compiling():
        return _product(a, b)
    (ar, ai), (br, bi) = _parts(a), _parts(b)
    return _complex(_product(ar, br) - _product(ai, bi), _product(ar, bi) + _product(ai, br))


def real_part(x: Tensor) -> Tensor:
    """Re x, as a complex number."""
    return from_real(x.real)


def from_real(x: Tensor) -> Tensor:
    """A real x as a complex number."""
    return _complex(x, torch.zeros_like(x))


def _product(a: Tensor, b: Tensor) -> Tensor:
    return torch.bmm(a, b) if a.ndim == b.ndim == 3 else a @ b


def _parts(x: Tensor) -> tuple[Tensor, Tensor]:
    return x.real, x.imag


def _complex(real: Tensor, imag: Tensor) -> Tensor:
    # Not torch.complex, whose result Inductor may lay out in channels_last and then not take in its own sum.
    return torch.view_as_complex(torch.stack([real, imag], -1))
