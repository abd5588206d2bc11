import pytest
import torch
from properties import assert_close, random, relative_error, tolerance

from sciml.kernels import ops
from sciml.kernels.truncated import cpu, layer, reference

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
def test_equals_the_reference(grid, modes, heads, separable, dtype):
    analysis, weight, synthesis = operands(grid, modes, heads, separable, dtype)
    inputs = [random(2, 4, *grid, dtype=dtype), *analysis, weight, *synthesis]
    inputs = [t.requires_grad_() for t in inputs]
    d = len(grid)

    def outputs_and_gradients(f):
        y = f(inputs[0], inputs[1 : 1 + d], inputs[1 + d], inputs[2 + d :])
        return [y, *torch.autograd.grad(y, inputs, random(*y.shape, dtype=dtype, seed=7))]

    for found, expected in zip(
        outputs_and_gradients(layer.spectral_conv), outputs_and_gradients(reference.spectral_conv), strict=True
    ):
        assert_close(found, expected, n=2 * 4 * 120)


@pytest.mark.parametrize(("grid", "modes"), GRIDS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
@pytest.mark.parametrize("gelu", [False, True])
@pytest.mark.parametrize("heads", [1, 2])
@pytest.mark.parametrize("chunk", [1, 2**22])
def test_what_the_last_pass_adds(grid, modes, dtype, gelu, heads, chunk, monkeypatch):
    if gelu and dtype.is_complex:
        pytest.skip("PyTorch has no GELU of complex numbers")
    monkeypatch.setattr(cpu, "_CHUNK", chunk)
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


def test_real_form_is_complex_multiplication():
    matrix, x = random(1, 3, 5), random(4, 5)
    form = layer.real_form(torch.view_as_real(matrix))
    found, expected = torch.cat([x.real, x.imag], -1) @ form[0], x @ matrix[0].mT
    assert_close(found, torch.cat([expected.real, expected.imag], -1), n=5)


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
