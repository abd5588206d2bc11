"""The derivatives of the truncated form by PyTorch's products: their sums, some images at a time, and as ops."""

import pytest
import torch
from properties import assert_close, random, relative_error

from sciml.kernels import dispatch
from sciml.kernels.truncated import cpu, layer


def form_operands(heads, first, dtype=torch.float64):
    """f, s, a1, a2 of the truncated form."""
    modes = (2, 2, 2, 2, 4) if first else (2, 2, 2, 4, 3)
    f, s = random(2, 4, 3, 4, dtype=dtype, seed=1), random(*modes, dtype=dtype, seed=2)
    a1 = random(heads, 2, 3, 2, dtype=dtype, seed=3) if first else None
    return f, s, a1, random(heads, 2, 4, 2, dtype=dtype, seed=4)


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("heads", [1, 2])
def test_form_is_differentiable_twice_and_well_registered(heads, first):
    f, s, a1, a2 = (t if t is None else t.requires_grad_() for t in form_operands(heads, first))
    bias = random(1, 3, 1, dtype=torch.float64, seed=5).requires_grad_()
    form, ended = layer.FORM, (s, a1, a2, bias, f.detach().requires_grad_(), "auto")
    for op, operands in (
        (form.apply, (f, a1, a2, "auto")),
        (form.adjoint, (s, a1, a2, None, None, "auto")),
        (form.adjoint, ended),
        (form.adjoint_gelu, ended),
    ):
        torch.library.opcheck(op, operands)
        assert torch.autograd.gradcheck(op, operands)
        assert torch.autograd.gradgradcheck(op, operands)
    torch.library.opcheck(form.derivatives, (f, s, a1, a2, [True, True, first, True], "auto"))


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("images", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("heads", [1, 2, 4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_images_at_a_time_do_not_matter(heads, images, first, dtype, monkeypatch):
    """Some images at a time or all, by either library: the sums that einsum gives."""
    operands = form_operands(heads, first, dtype)
    f, s, a1, a2 = (None if t is None else t.double() for t in operands)
    monkeypatch.setattr(cpu, "_CHUNK", images * f[0, 0].numel() * operands[0].element_size())
    monkeypatch.setattr(dispatch, "_WORTH_A_CALL", 1)
    right, field = torch.view_as_complex(a2), f.unflatten(1, (heads, -1))
    spectrum = s if first else s.permute(4, 0, 1, 2, 3)  # without a first factor, as if it were the identity
    spectrum = torch.complex(*spectrum.unbind(2)).unflatten(-1, (heads, -1))  # (k1, k2, batch, heads, images)
    left = torch.view_as_complex(a1) if first else torch.eye(3, dtype=right.dtype).expand(heads, -1, -1)
    y = torch.einsum("bhcij,hlj->bhcil", field.to(right.dtype), right)
    u = torch.einsum("hki,klbhc->bhcil", left.conj(), spectrum)
    ds = torch.einsum("hki,bhcil->klbhc", left, y).flatten(3)
    ds = torch.stack([ds.real, ds.imag], 2)
    expected = [
        torch.einsum("bhcil,hlj->bhcij", u, right.conj()).real.flatten(1, 2),
        ds if first else ds.permute(1, 2, 3, 4, 0),
        torch.view_as_real(torch.einsum("klbhc,bhcil->hki", spectrum, y.conj())) if first else None,
        torch.view_as_real(torch.einsum("bhcil,bhcij->hlj", u, field.to(u.dtype))),
    ]
    for found, exact in zip(cpu.derivatives(*operands, [True, True, first, True]), expected, strict=True):
        assert (found is None) == (exact is None)
        if found is not None:
            assert found.dtype == dtype
            assert_close(found, exact, n=30)


@pytest.mark.parametrize("heads", [1, 2])
def test_sums_over_chunks_of_half_precision_are_float32(heads, monkeypatch):
    """Gradients over 256 samples, a few at a time: added up in bfloat16 they would lose two digits."""
    f, s = random(256, 2, 3, 4, dtype=torch.bfloat16) + 1, random(2, 2, 2, 256, 2, dtype=torch.bfloat16, seed=1) + 1
    factors = random(heads, 2, 3, 2, dtype=torch.bfloat16, seed=2), random(heads, 2, 4, 2, dtype=torch.bfloat16, seed=3)
    exact = cpu.derivatives(*(t.double() for t in (f, s, *factors)), [False, False, True, True])
    monkeypatch.setattr(cpu, "_CHUNK", 2 * 2 * 3 * 4)
    for found, expected in zip(cpu.derivatives(f, s, *factors, [False, False, True, True]), exact, strict=True):
        assert found is None or relative_error(found, expected) <= 1e-2
