import pytest
import torch
from properties import assert_close, random, relative_error, tolerance

from sciml.kernels import dense, ops, reference, truncated

GRIDS = [((6,), (4,)), ((5, 6), (3, 4)), ((4, 5, 6), (3, 5, 2))]


def operands(grid, modes, heads, separable, dtype=torch.float64):
    cplx = torch.promote_types(dtype, torch.complex64)
    analysis = [random(heads, m, n, dtype=cplx, seed=i) for i, (m, n) in enumerate(zip(modes, grid, strict=True))]
    synthesis = [random(heads, n, m, dtype=cplx, seed=9 + i) for i, (m, n) in enumerate(zip(modes, grid, strict=True))]
    channels = (2, 4) if separable else (4, 2, 6)
    weight = random(*modes, *channels, dtype=torch.empty((), dtype=dtype).real.dtype, seed=5)
    return analysis, weight, synthesis


@pytest.mark.parametrize(("grid", "modes"), GRIDS)
@pytest.mark.parametrize("heads", [1, 2])
@pytest.mark.parametrize("separable", [False, True])
@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_dense_equals_the_reference(grid, modes, heads, separable, dtype):
    analysis, weight, synthesis = operands(grid, modes, heads, separable, dtype)
    inputs = [random(2, 4, *grid, dtype=dtype), *analysis, weight, *synthesis]
    inputs = [t.requires_grad_() for t in inputs]
    d = len(grid)

    def outputs_and_gradients(f):
        y = f(inputs[0], inputs[1 : 1 + d], inputs[1 + d], inputs[2 + d :])
        return [y, *torch.autograd.grad(y, inputs, random(*y.shape, dtype=dtype, seed=7))]

    for found, expected in zip(
        outputs_and_gradients(truncated.spectral_conv), outputs_and_gradients(reference.spectral_conv), strict=True
    ):
        assert_close(found, expected, n=2 * 4 * 120)


def test_recomputed_gradients_are_the_same(monkeypatch):
    analysis, weight, synthesis = operands((5, 6), (3, 4), 2, False)
    inputs = [t.requires_grad_() for t in (random(2, 4, 5, 6, dtype=torch.float64), *analysis, weight, *synthesis)]

    def run(x, a1, a2, w, s1, s2):
        return truncated.spectral_conv(x, [a1, a2], w, [s1, s2])

    direct = torch.autograd.grad(run(*inputs).square().sum(), inputs)
    monkeypatch.setattr(dense, "_RECOMPUTE_FROM", 0)
    for found, expected in zip(torch.autograd.grad(run(*inputs).square().sum(), inputs), direct, strict=True):
        assert torch.equal(found, expected)
    assert torch.autograd.gradgradcheck(run, inputs)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.complex64])
def test_precision_of_the_input_decides(dtype):
    analysis, weight, synthesis = operands((12, 16), (6, 5), 2, False)
    # Inputs are rounded first: what is tested is the arithmetic.
    rounded = lambda t: t.to(dtype if not t.is_complex() and not dtype.is_complex else t.dtype)  # noqa: E731
    x = random(3, 4, 12, 16, dtype=torch.complex128 if dtype.is_complex else torch.float64).to(dtype)
    found = ops.spectral_conv(x, analysis, weight, synthesis)
    wide = torch.complex128 if dtype.is_complex else torch.float64
    expected = reference.spectral_conv(x.to(wide), analysis, rounded(weight).to(torch.float64), synthesis)
    assert found.dtype == dtype
    assert relative_error(found, expected) < 3 * tolerance(dtype, 192)


def test_strides_and_empty_batch():
    analysis, weight, synthesis = operands((5, 6), (3, 4), 2, False)
    x = random(2, 4, 6, 10, dtype=torch.float64).transpose(2, 3)[:, :, ::2]
    assert_close(
        ops.spectral_conv(x, analysis, weight, synthesis), reference.spectral_conv(x, analysis, weight, synthesis), n=99
    )
    assert ops.spectral_conv(x[:0], analysis, weight, synthesis).shape == (0, 6, 5, 6)


@pytest.mark.parametrize(("m", "p", "q"), [(12, 3, 4), (7, 3, 4), (2, 3, 4), (5, 1, 5)])
def test_two_stages_are_the_matrix(m, p, q):
    left, right = random(2, m, q, seed=1), random(2, q, min(p, m), p, seed=2)
    matrix = reference.monarch_matrix(left, right)
    x, y = random(3, 2, p * q, seed=3), random(3, 2, m, seed=4)
    assert_close(reference.monarch(x, left, right), torch.einsum("hmn,bhn->bhm", matrix, x), n=p * q)
    assert_close(reference.monarch_transpose(y, left, right), torch.einsum("hmn,bhm->bhn", matrix, y), n=p * q)


@pytest.mark.parametrize(("real_in", "real_out"), [(False, False), (True, False), (False, True)])
def test_real_form_is_complex_multiplication(real_in, real_out):
    matrix, x = random(1, 3, 5), random(4, 5)
    x = x.real if real_in else x
    rows = x if real_in else torch.cat([x.real, x.imag], -1)
    found = rows @ dense.real_form(matrix, real_in=real_in, real_out=real_out)[0]
    expected = x.to(matrix.dtype) @ matrix[0].mT
    assert_close(found, expected.real if real_out else torch.cat([expected.real, expected.imag], -1), n=5)


def test_shapes_that_do_not_fit():
    analysis, weight, synthesis = operands((5, 6), (3, 4), 1, False)
    with pytest.raises(ValueError, match=r"grid \(5, 7\)"):
        ops.spectral_conv(torch.zeros(1, 4, 5, 7), analysis, weight, synthesis)
    with pytest.raises(ValueError, match="3 channels, the weight 4"):
        ops.spectral_conv(torch.zeros(1, 3, 5, 6), analysis, weight, synthesis)
