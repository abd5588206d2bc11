import itertools

import pytest
import torch
from properties import assert_close, random, relative_error, tolerance

from sciml.kernels import ops
from sciml.kernels.common import products
from sciml.kernels.monarch import cpu as two_stage
from sciml.kernels.truncated import cpu as dense
from sciml.kernels.truncated import layer as truncated
from sciml.kernels.truncated import reference

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
    form, ended = truncated.FORM, (s, a1, a2, bias, f.detach().requires_grad_(), "auto")
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
    monkeypatch.setattr(dense, "_CHUNK", images * f[0, 0].numel() * operands[0].element_size())
    monkeypatch.setattr(products, "_WORTH_A_CALL", 1)
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
    for found, exact in zip(dense.derivatives(*operands, [True, True, first, True]), expected, strict=True):
        assert (found is None) == (exact is None)
        if found is not None:
            assert found.dtype == dtype
            assert_close(found, exact, n=30)


@pytest.mark.parametrize(("grid", "modes"), GRIDS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
@pytest.mark.parametrize("gelu", [False, True])
@pytest.mark.parametrize("heads", [1, 2])
@pytest.mark.parametrize("chunk", [1, 2**22])
def test_what_the_last_pass_adds(grid, modes, dtype, gelu, heads, chunk, monkeypatch):
    if gelu and dtype.is_complex:
        pytest.skip("PyTorch has no GELU of complex numbers")
    monkeypatch.setattr(dense, "_CHUNK", chunk)
    analysis, weight, synthesis = operands(grid, modes, heads, False, dtype)
    x, bias = random(2, 4, *grid, dtype=dtype), random(6, *[1] * len(grid), dtype=torch.float64, seed=8)
    ends = (bias.requires_grad_(), random(2, 6, *grid, dtype=dtype, seed=9).requires_grad_())

    def run(backend):
        y = ops.spectral_conv(x, analysis, weight, synthesis, *ends, gelu=gelu, backend=backend)
        return [y, *torch.autograd.grad(y.abs().square().sum(), ends)]

    for found, expected in zip(run("auto"), run("reference"), strict=True):
        assert_close(found, expected, n=200)


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")  # torch's own, on the first use of jvp
def test_forward_mode_takes_the_specification():
    """A custom operation would give a tangent of zero without a word."""
    analysis, weight, synthesis = operands((5, 6), (3, 4), 1, False)
    x, direction = random(2, 4, 5, 6, dtype=torch.float64), random(2, 4, 5, 6, dtype=torch.float64, seed=6)
    value, tangent = torch.func.jvp(lambda x: ops.spectral_conv(x, analysis, weight, synthesis), (x,), (direction,))
    assert_close(value, ops.spectral_conv(x, analysis, weight, synthesis), n=200)
    assert_close(tangent, ops.spectral_conv(direction, analysis, weight, synthesis), n=200)


def test_autocast_does_not_change_the_arithmetic():
    analysis, weight, synthesis = operands((12, 16), (6, 5), 2, False)
    x = random(3, 4, 12, 16, dtype=torch.float32).requires_grad_()
    expected = ops.spectral_conv(x, analysis, weight, synthesis)
    with torch.autocast("cpu", torch.bfloat16):
        found = ops.spectral_conv(x, analysis, weight, synthesis)
    assert torch.equal(found, expected)
    for out in (found, expected):
        (x.grad,) = torch.autograd.grad(out.square().sum(), x)
        assert x.grad.dtype == torch.float32


def test_backends():
    analysis, weight, synthesis = operands((5, 6), (3, 4), 1, False)
    x = random(2, 4, 5, 6, dtype=torch.float64)
    with pytest.raises(ValueError, match="backend='cuda': use one of"):
        ops.spectral_conv(x, analysis, weight, synthesis, backend="cuda")
    with pytest.raises(ValueError, match=r"backend='triton' for torch\.float64 on cpu: only float32"):
        ops.spectral_conv(x, analysis, weight, synthesis, backend="triton")


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
    skip = random(0, 6, 5, 6, dtype=torch.float64)
    assert ops.spectral_conv(x[:0], analysis, weight, synthesis, None, skip, gelu=True).shape == skip.shape


@pytest.mark.parametrize(("m", "p", "q"), [(12, 3, 4), (7, 3, 4), (2, 3, 4), (5, 1, 5)])
def test_two_stages_are_the_matrix(m, p, q):
    left, right = random(2, m, q, seed=1), random(2, q, min(p, m), p, seed=2)
    matrix = reference.monarch_matrix(left, right)
    x, y = random(3, 2, p * q, seed=3), random(3, 2, m, seed=4)
    assert_close(reference.monarch(x, left, right), torch.einsum("hmn,bhn->bhm", matrix, x), n=p * q)
    assert_close(reference.monarch_transpose(y, left, right), torch.einsum("hmn,bhm->bhn", matrix, y), n=p * q)


def test_real_form_is_complex_multiplication():
    matrix, x = random(1, 3, 5), random(4, 5)
    form = truncated.real_form(torch.view_as_real(matrix))
    found, expected = torch.cat([x.real, x.imag], -1) @ form[0], x @ matrix[0].mT
    assert_close(found, torch.cat([expected.real, expected.imag], -1), n=5)


def matrices(batch, rows, columns, dtype, seed):
    """Contiguous, transposed, with a gap after each row, every second column, the same for all of a batch."""
    yield random(batch, rows, columns, dtype=dtype, seed=seed)
    yield random(batch, columns, rows, dtype=dtype, seed=seed).mT
    yield random(batch, rows, columns + 3, dtype=dtype, seed=seed)[:, :, :columns]
    yield random(batch, rows, 2 * columns, dtype=dtype, seed=seed)[:, :, ::2]
    yield random(1, rows, columns, dtype=dtype, seed=seed).expand(batch, -1, -1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("worth", [1, 2**22])
def test_products_of_any_strides(batch, dtype, worth, monkeypatch):
    monkeypatch.setattr(products, "_WORTH_A_CALL", worth)
    for a, b in itertools.product(matrices(batch, 7, 10, dtype, 1), matrices(batch, 9, 10, dtype, 2)):
        assert_close(products.times_transposed(a, b), torch.bmm(a.double(), b.double().mT), n=10)
        assert products.times_transposed(a[:, :0], b).shape == (batch, 0, 9)
        assert torch.equal(products.times_transposed(a[:, :, :0], b[:, :, :0]), a.new_zeros(batch, 7, 9))


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="PyTorch without oneDNN")
def test_which_products_go_by_onednn(monkeypatch):
    seen = []
    linear = products._linear
    monkeypatch.setattr(products, "_linear", lambda a, b: seen.append((a, b)) or linear(a, b))

    def calls(batch, rows, dtype=torch.float32):
        seen.clear()
        products.times_transposed(random(batch, 64, 64, dtype=dtype), random(batch, rows, 64, dtype=dtype))
        return len(seen)

    assert calls(1, 8) == 1
    assert (calls(3, 8), calls(3, 1024)) == (0, 3)
    assert calls(1, 8, torch.float64) == calls(1, 8, torch.bfloat16) == 0
    monkeypatch.setattr(products.torch.backends.mkldnn, "enabled", False)
    assert calls(1, 8) == 0


@pytest.mark.parametrize("heads", [1, 2])
def test_sums_over_chunks_of_half_precision_are_float32(heads, monkeypatch):
    """Gradients over 256 samples, a few at a time: added up in bfloat16 they would lose two digits."""
    f, s = random(256, 2, 3, 4, dtype=torch.bfloat16) + 1, random(2, 2, 2, 256, 2, dtype=torch.bfloat16, seed=1) + 1
    factors = random(heads, 2, 3, 2, dtype=torch.bfloat16, seed=2), random(heads, 2, 4, 2, dtype=torch.bfloat16, seed=3)
    exact = dense.derivatives(*(t.double() for t in (f, s, *factors)), [False, False, True, True])
    monkeypatch.setattr(dense, "_CHUNK", 2 * 2 * 3 * 4)
    for found, expected in zip(dense.derivatives(f, s, *factors, [False, False, True, True]), exact, strict=True):
        assert found is None or relative_error(found, expected) <= 1e-2


@pytest.mark.parametrize(("grid", "modes"), GRIDS)
@pytest.mark.parametrize("heads", [1, 2])
def test_empty_batch(grid, modes, heads):
    inputs = [
        t.requires_grad_() for t in (*operands(grid, modes, heads, False)[0], operands(grid, modes, heads, False)[1])
    ]
    synthesis = operands(grid, modes, heads, False)[2]
    y = ops.spectral_conv(torch.zeros(0, 4, *grid, dtype=torch.float64), inputs[:-1], inputs[-1], synthesis)
    assert y.shape == (0, 6, *grid)
    assert not any(gradient.any() for gradient in torch.autograd.grad(y.sum(), inputs))


def test_shapes_that_do_not_fit():
    analysis, weight, synthesis = operands((5, 6), (3, 4), 1, False)
    with pytest.raises(ValueError, match=r"grid \(5, 7\)"):
        ops.spectral_conv(torch.zeros(1, 4, 5, 7), analysis, weight, synthesis)
    with pytest.raises(ValueError, match="3 channels, the weight 4"):
        ops.spectral_conv(torch.zeros(1, 3, 5, 6), analysis, weight, synthesis)


@pytest.mark.parametrize("transpose", [False, True])
def test_per_sample_gradients_of_two_stages(transpose, monkeypatch):
    monkeypatch.setattr(two_stage, "worthwhile", lambda left, right: True)
    left, right = random(2, 6, 3, dtype=torch.complex64), random(2, 3, 2, 2, dtype=torch.complex64, seed=1)
    x = random(3, 4, 6, dtype=torch.complex64, seed=2)

    def loss(left, sample):
        y = ops.monarch(sample[None], [(left, right)], transpose=transpose)
        return (y.real**4 + y.imag).sum()

    found = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0))(left, x)
    left.requires_grad_()
    for g, sample in zip(found, x, strict=True):
        assert relative_error(g, torch.autograd.grad(loss(left, sample), left)[0]) <= 1e-5
