"""The product with two block factors equals the specification: values, gradients of any order, types, strides."""

import pytest
import torch
from properties import assert_close, random, relative_error
from torch.nn import functional

from sciml.kernels import ops
from sciml.kernels.blocks.reference import monarch_linear_matrix

# (N, K, rank, p, q)
SIZES = [(1, 1, 1, 1, 1), (3, 3, 1, 4, 5), (2, 5, 3, 7, 1), (6, 4, 2, 16, 24), (1, 3, 2, 20, 9)]


def operands(sizes, *rows, short=0):
    """x, right, left and bias; `short` of the inputs and outputs are missing at their ends."""
    blocks_in, blocks_out, rank, p, q = sizes
    return [
        random(*rows, blocks_in * p - short, dtype=torch.float64, seed=1),
        random(blocks_in, blocks_out, rank, p, dtype=torch.float64, seed=2),
        random(blocks_out, q, blocks_in, rank, dtype=torch.float64, seed=3),
        random(blocks_out * q - short, dtype=torch.float64, seed=4),
    ]


def with_gradients(function, inputs, **options):
    inputs = [None if t is None else t.detach().requires_grad_() for t in inputs]
    y = function(*inputs, **options)
    wanted = [t for t in inputs if t is not None]
    return [y, *torch.autograd.grad(y, wanted, random(*y.shape, dtype=torch.float64, seed=5).to(y.dtype))]


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("biased", [True, False])
def test_equals_the_specification(sizes, dtype, biased):
    inputs = operands(sizes, 2, 9)
    inputs[3] = inputs[3] if biased else None
    cast = [None if t is None else t.to(dtype) for t in inputs]
    expected = with_gradients(ops.monarch_linear, [t if t is None else t.double() for t in cast], backend="reference")
    for found, value in zip(with_gradients(ops.monarch_linear, cast), expected, strict=True):
        assert found.dtype == dtype
        assert_close(found, value, n=10**4)


@pytest.mark.parametrize("sizes", SIZES)
def test_is_its_matrix(sizes):
    x, right, left, bias = operands(sizes, 9)
    expected = functional.linear(x, monarch_linear_matrix(right, left), bias)
    assert_close(ops.monarch_linear(x, right, left, bias), expected, n=10**4)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision(dtype):
    inputs = [t.to(dtype) for t in operands((6, 4, 2, 16, 24), 50)]
    expected = with_gradients(ops.monarch_linear, [t.double() for t in inputs], backend="reference")
    for found, value in zip(with_gradients(ops.monarch_linear, inputs), expected, strict=True):
        assert found.dtype == dtype
        assert_close(found, value)


@pytest.mark.parametrize("backend", ["auto", "reference"])
def test_missing_columns_are_zero(backend):
    x, right, left, bias = operands((3, 4, 2, 4, 3), 5, short=2)
    y = ops.monarch_linear(x, right, left, bias, backend=backend)
    assert y.shape == (5, 12)
    expected = functional.pad(x, (0, 2)) @ monarch_linear_matrix(right, left).mT + functional.pad(bias, (0, 2))
    assert_close(y, expected, n=100)


@pytest.mark.parametrize("short", [0, 1])
def test_derivatives_of_first_and_second_order(short):
    inputs = [t.requires_grad_() for t in operands((2, 3, 2, 3, 2), 4, short=short)]
    assert torch.autograd.gradcheck(ops.monarch_linear, inputs)
    assert torch.autograd.gradgradcheck(ops.monarch_linear, inputs)


@pytest.mark.parametrize("factors", [torch.float64, torch.complex128])
def test_derivatives_of_complex_rows(factors):
    x, *parameters = operands((2, 1, 2, 2, 3), 2)
    inputs = [random(*x.shape).requires_grad_(), *(t.to(factors).requires_grad_() for t in parameters)]
    assert torch.autograd.gradcheck(ops.monarch_linear, inputs)
    assert torch.autograd.gradgradcheck(ops.monarch_linear, inputs)
    with torch.autocast("cpu", torch.bfloat16):
        under_autocast = ops.monarch_linear(*inputs)
    assert torch.equal(under_autocast, ops.monarch_linear(*inputs))


@pytest.mark.parametrize("slot", range(4))
def test_gradient_of_one_operand_alone(slot):
    inputs = operands((3, 4, 2, 4, 3), 5)
    inputs[slot].requires_grad_()

    def gradient(backend, order):
        y = ops.monarch_linear(*inputs, backend=backend)
        (first,) = torch.autograd.grad(y.square().sum(), inputs[slot], create_graph=order == 2)
        return first if order == 1 else torch.autograd.grad(first.square().sum(), inputs[slot])[0]

    for order in (1, 2):
        assert_close(gradient("auto", order), gradient("reference", order), n=1000)


def test_no_rows():
    inputs = operands((3, 4, 2, 4, 3), 2, 0)
    y, dx, *factors = with_gradients(ops.monarch_linear, inputs)
    assert (y.shape, dx.shape) == ((2, 0, 12), (2, 0, 12))
    assert all(torch.equal(found, torch.zeros_like(found)) for found in factors)


def strided(shape, seed):
    """Transposed, with gaps, every second number, the same for all of the first axis."""
    yield random(*reversed(shape), dtype=torch.float64, seed=seed).permute(*reversed(range(len(shape))))
    yield random(*shape[:-1], shape[-1] + 3, dtype=torch.float64, seed=seed)[..., :-3]
    yield random(*shape[:-1], 2 * shape[-1], dtype=torch.float64, seed=seed)[..., ::2]
    yield random(1, *shape[1:], dtype=torch.float64, seed=seed).expand(shape)


@pytest.mark.parametrize("slot", range(3))
def test_any_strides(slot):
    inputs = operands((6, 4, 2, 16, 24), 9)
    for tensor in strided(inputs[slot].shape, seed=7):
        inputs[slot] = tensor
        expected = with_gradients(ops.monarch_linear, [t.contiguous() for t in inputs])
        for found, value in zip(with_gradients(ops.monarch_linear, inputs), expected, strict=True):
            assert_close(found, value, n=10**4)


def test_an_expanded_cotangent():
    inputs = [t.requires_grad_() for t in operands((6, 4, 2, 16, 24), 9)]
    found, expected = (
        torch.autograd.grad(ops.monarch_linear(*inputs, backend=backend).sum(), inputs)
        for backend in ("auto", "reference")
    )
    for ours, theirs in zip(found, expected, strict=True):
        assert_close(ours, theirs, n=10**4)


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")  # torch's own, on the first use of jvp
def test_forward_mode_and_per_sample_gradients():
    x, right, left, bias = operands((3, 4, 2, 4, 3), 5)
    direction = random(*x.shape, dtype=torch.float64, seed=6)
    _, tangent = torch.func.jvp(lambda x: ops.monarch_linear(x, right, left, bias), (x,), (direction,))
    assert_close(tangent, ops.monarch_linear(direction, right, left), n=100)

    def loss(left, sample):
        return (ops.monarch_linear(sample, right, left, bias) ** 3).sum()

    each = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0))(left, x)
    left.requires_grad_()
    for found, sample in zip(each, x, strict=True):
        assert relative_error(found, torch.autograd.grad(loss(left, sample), left)[0]) <= 1e-12


def test_under_autocast_as_a_dense_layer():
    wide = operands((6, 4, 2, 16, 24), 9)
    inputs = [t.float() for t in wide]
    with torch.autocast("cpu", torch.bfloat16):
        for backend in ("auto", "reference"):
            found = with_gradients(ops.monarch_linear, inputs, backend=backend)
            assert [t.dtype for t in found] == [torch.bfloat16] + 4 * [torch.float32]
            expected = functional.linear(inputs[0], monarch_linear_matrix(*inputs[1:3]).float(), inputs[3])
            assert found[0].dtype == expected.dtype
            assert ops.monarch_linear(*wide, backend=backend).dtype == functional.linear(wide[0], wide[0]).dtype
    assert_close(found[0], ops.monarch_linear(*wide), n=1)


@pytest.mark.parametrize("dynamic", [False, True])
def test_compiled_without_a_break(dynamic):
    compiled = torch.compile(ops.monarch_linear, fullgraph=True, backend="aot_eager", dynamic=dynamic)
    for rows in (3, 8) if dynamic else (3,):
        inputs = operands((3, 4, 2, 4, 3), rows, short=1)
        for found, value in zip(
            with_gradients(compiled, inputs), with_gradients(ops.monarch_linear, inputs), strict=True
        ):
            assert_close(found, value, n=100)


class Layer(torch.nn.Module):
    def __init__(self, *parameters):
        super().__init__()
        self.factors = torch.nn.ParameterList(parameters)

    def forward(self, x):
        return ops.monarch_linear(x, *self.factors)


def test_exported_for_any_number_of_rows_without_an_operation_of_its_own():
    x, *parameters = operands((3, 4, 2, 4, 3), 6)
    layer = Layer(*parameters)
    program = torch.export.export(layer, (x,), dynamic_shapes=({0: torch.export.Dim("rows")},))
    assert not [node for node in program.graph.nodes if "sciml" in str(node.target)]
    more = random(11, 12, dtype=torch.float64, seed=9)
    assert_close(program.module()(more), layer(more), n=100)


@pytest.mark.parametrize(
    ("slot", "shape", "message"),
    [
        (0, (5, 13), "x has 13 features, the factors take 12"),
        (1, (3, 4, 1, 4), r"right \(3, 4, 1, 4\) and left"),
        (2, (4, 3, 3), r"left \(4, 3, 3\) do not fit"),
        (3, (13,), r"the bias has the shape \(13,\)"),
    ],
)
def test_what_does_not_fit_is_named(slot, shape, message):
    inputs = operands((3, 4, 2, 4, 3), 5)
    inputs[slot] = random(*shape, dtype=torch.float64)
    with pytest.raises(ValueError, match=message):
        ops.monarch_linear(*inputs)
    with pytest.raises(ValueError, match=r"x holds torch.int64: .* use x.float\(\)"):
        ops.monarch_linear(torch.ones(5, 12, dtype=torch.long), *operands((3, 4, 2, 4, 3), 5)[1:])
    with pytest.raises(ValueError, match="use one of"):
        ops.monarch_linear(*operands((3, 4, 2, 4, 3), 5), backend="fast")
