"""What every class of transform does alike: shapes it refuses, empty batches, types, memory formats, its start."""

import pytest
import torch
from properties import assert_close, perturb, random, relative_error

from sciml.errors import ConfigError
from sciml.mri.physics.fourier import Fourier2d
from sciml.transforms import (
    DenseTransform,
    FourierTransform,
    MonarchTransform,
    factor_parameters,
    initial_factors,
    separable,
)

CLASSES = (MonarchTransform, DenseTransform, FourierTransform)
LEARNED = (MonarchTransform, DenseTransform)
SYNTHESIS = {"modes": 5, "inverse": True}
REAL = {"modes": range(7), "inverse": True, "real": True}


@pytest.mark.parametrize("cls", CLASSES)
@pytest.mark.parametrize(
    ("options", "shape", "message"),
    [
        ({}, (2, 16), "16 points along axis -1, the transform 12"),
        ({}, (2, 8), "8 points"),
        ({"centered": True}, (2, 16), "16 points"),
        (SYNTHESIS, (2, 4), "4 points along axis -1, the transform 5"),
        (SYNTHESIS, (2, 7), "7 points"),
        (REAL, (2, 6), "6 points"),
        ({"heads": 2}, (2, 3, 12), "2 heads"),
        ({"heads": 2}, (4, 12), "2 heads"),
    ],
)
def test_shapes_that_do_not_fit(cls, options, shape, message):
    with pytest.raises(ValueError, match=message):
        cls(12, **options)(torch.zeros(shape, dtype=torch.complex64))


@pytest.mark.parametrize("cls", CLASSES)
def test_the_adjoint_refuses_the_same(cls):
    with pytest.raises(ValueError, match="16 points"):
        cls(12).adjoint(torch.zeros(2, 16))
    with pytest.raises(ValueError, match="2 heads"):
        cls(12, heads=2).adjoint(torch.zeros(2, 3, 12))


@pytest.mark.parametrize("cls", CLASSES)
@pytest.mark.parametrize("options", [{}, {"centered": True}, {"heads": 2}, SYNTHESIS, REAL])
def test_an_empty_batch_gives_an_empty_result(cls, options):
    transform = cls(12, **options)
    out, into = transform.shape
    x = torch.zeros(0, 4, into, dtype=torch.complex64, requires_grad=True)
    y = transform(x)
    assert (y.shape, y.dtype) == ((0, 4, out), transform(torch.zeros(1, 4, into, dtype=torch.complex64)).dtype)
    y.abs().sum().backward()
    assert x.grad is not None
    assert transform.adjoint(torch.zeros(0, 4, out)).shape == x.shape


@pytest.mark.parametrize("kind", ["fft", "monarch", "dense"])
@pytest.mark.parametrize("size", [(12, 20), (9, 20)])
def test_an_empty_batch_of_coil_images(kind, size):
    fourier = Fourier2d((12, 20), transform=kind, heads=2)
    for shape in ((0, 4, *size), (2, 0, *size)):
        x = torch.zeros(shape, dtype=torch.complex64)
        for y in (fourier(x), fourier.adjoint(x), fourier.inverse(x)):
            assert (y.shape, y.dtype) == (shape, torch.complex64)


@pytest.mark.parametrize("cls", [DenseTransform, FourierTransform])
def test_a_radix_is_refused_where_it_means_nothing(cls):
    with pytest.raises(ConfigError, match=f"radix=4: a {cls.__name__} has no radix"):
        cls(12, radix=4)
    assert cls(12, radix=None).size == 12  # a caller may swap the class


@pytest.mark.parametrize("cls", LEARNED)
@pytest.mark.parametrize("options", [{}, {"heads": 2, "centered": True}, SYNTHESIS, {**REAL, "heads": 3}])
def test_a_learned_transform_returns_to_the_dft(cls, options):
    transform = cls(12, **options)
    start = [p.detach().clone() for p in transform.parameters()]
    perturb(transform)
    for found, expected in zip(initial_factors(transform), start, strict=True):
        assert found.dtype == torch.float64
        assert torch.equal(found.float(), expected)
    transform.double().reset()
    assert_close(transform.as_matrix(), transform.initial_matrix().expand(transform.heads, -1, -1), n=12)


def test_initial_factors_go_with_the_parameters_that_learn():
    shared = MonarchTransform(8)
    frozen = DenseTransform(8, learnable=False)
    model = torch.nn.ModuleList([shared, torch.nn.Linear(8, 8), FourierTransform(8), frozen, shared, DenseTransform(6)])
    factors, initial = factor_parameters(model), initial_factors(model)
    assert [p.shape for p in factors] == [i.shape for i in initial]
    assert len(factors) == 3


@pytest.mark.parametrize("cls", LEARNED)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_factors_may_be_of_half_precision(cls, dtype):
    transform = cls(12, heads=2)
    x = random(2, 4, 12, dtype=torch.complex64)
    expected = transform(x)
    found = transform.to(dtype)(x)
    assert found.dtype == torch.complex64
    assert relative_error(found, expected) < 1e-2
    found.abs().sum().backward()
    assert {p.grad.dtype for p in transform.parameters()} == {dtype}


@pytest.mark.parametrize("cls", CLASSES)
def test_real_input_of_half_precision(cls):
    x = random(2, 12, dtype=torch.float32).bfloat16()
    found = cls(12).bfloat16()(x)
    assert found.dtype == torch.complex64
    assert relative_error(found, cls(12)(x.float())) < 1e-2


@pytest.mark.parametrize("cls", CLASSES)
def test_computes_in_the_type_of_the_input(cls):
    x = random(2, 5, dtype=torch.complex64)
    assert cls(12, **SYNTHESIS).double()(x).dtype == torch.complex64
    assert cls(12, **SYNTHESIS)(x.to(torch.complex128)).dtype == torch.complex128


@pytest.mark.parametrize("cls", LEARNED)
def test_a_memory_format_of_images_leaves_the_factors_alone(cls):
    transform = cls(12, heads=2)
    x = random(2, 4, 12, dtype=torch.complex64)
    expected = transform(x)
    for layout in (torch.channels_last, torch.channels_last_3d):
        transform.to(memory_format=layout)
    assert torch.equal(transform(x), expected)
    assert all(p.is_contiguous() and p.requires_grad for p in transform.parameters())
    transform.to("meta", torch.float64, memory_format=torch.channels_last)
    assert {(p.device.type, p.dtype) for p in transform.parameters()} == {("meta", torch.float64)}


@pytest.mark.parametrize("cls", CLASSES)
def test_built_without_memory_and_filled_by_a_checkpoint(cls):
    with torch.device("meta"):
        transform = cls(12, **REAL)
    transform.to_empty(device="cpu").load_state_dict(cls(12, **REAL).state_dict())
    x = random(2, 7, dtype=torch.complex64)
    assert torch.equal(transform(x), cls(12, **REAL)(x))


@pytest.mark.parametrize("cls", LEARNED)
def test_a_resized_transform_keeps_type_mode_and_what_is_frozen(cls):
    transform = cls(12).double().eval()
    transform.requires_grad_(False)
    resized = transform.resized(16)
    assert not resized.training
    assert {(p.dtype, p.requires_grad) for p in resized.parameters()} == {(torch.float64, False)}
    assert relative_error(resized.as_matrix(), transform.matrix_at(16)) < 1e-6


def test_separable_on_an_empty_batch():
    made = [MonarchTransform(n, heads=2, centered=True) for n in (256, 12)]
    assert separable(torch.zeros(0, 4, 256, 12), made).shape == (0, 4, 256, 12)


@pytest.mark.parametrize("cls", CLASSES)
@pytest.mark.usefixtures("float64")
def test_the_matrix_of_all_channels_has_that_of_each_head_in_blocks(cls):
    transform = cls(6, heads=2, modes=3)
    perturb(transform)
    blocks = transform.as_matrix().repeat_interleave(2, 0)
    assert_close(transform.as_matrix((1, 4, 6)), torch.block_diag(*blocks), n=24)
