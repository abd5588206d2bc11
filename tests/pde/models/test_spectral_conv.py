import pytest
import torch
from neuralop.layers.spectral_convolution import SpectralConv
from properties import assert_close, perturb, random, relative_error

from sciml.errors import ConfigError
from sciml.kernels import dispatch
from sciml.kernels.truncated import reference
from sciml.pde.models.spectral_conv import MonarchSpectralConv
from sciml.transforms import DenseTransform, FourierTransform, MonarchTransform

SAME_FUNCTION = 1e-5  # relative, float32 against float32
GRIDS = [
    ((16,), (6,)),
    ((15,), (7,)),
    ((16, 12), (6, 4)),
    ((15, 13), (7, 6)),
    ((16, 15), (5, 15)),
    ((10, 10), (16, 16)),  # more modes than points: neuralop uses what fits
    ((8, 7, 9), (4, 3, 5)),
    ((8, 8, 8), (8, 8, 8)),
]


@pytest.mark.parametrize(("grid", "modes"), GRIDS)
@pytest.mark.parametrize("complex_data", [False, True])
@pytest.mark.parametrize("separable", [False, True])
def test_takes_over_neuralops_function(grid, modes, complex_data, separable):
    conv = SpectralConv(4, 4, modes, complex_data=complex_data, separable=separable)
    x = random(3, 4, *grid, dtype=torch.complex64 if complex_data else torch.float32).requires_grad_()
    expected = conv(x)
    direction = random(*expected.shape, dtype=expected.dtype, seed=1)
    (expected_gradient,) = torch.autograd.grad(expected, x, direction)
    for heads in (1, 4):
        found = MonarchSpectralConv.from_spectral_conv(conv, grid, heads)(x)
        (gradient,) = torch.autograd.grad(found, x, direction)
        assert relative_error(found, expected) <= SAME_FUNCTION
        assert relative_error(gradient, expected_gradient) <= SAME_FUNCTION


@pytest.mark.parametrize("transform", [DenseTransform, FourierTransform])
def test_any_transform_takes_over(transform):
    conv = SpectralConv(4, 6, (6, 6))
    x = random(2, 4, 12, 10, dtype=torch.float32)
    assert relative_error(MonarchSpectralConv.from_spectral_conv(conv, (12, 10), 2, transform)(x), conv(x)) < 1e-5


@pytest.mark.parametrize(("grid", "modes"), GRIDS)
@pytest.mark.parametrize("complex_data", [False, True])
@pytest.mark.parametrize("separable", [False, True])
@pytest.mark.parametrize("by_fft", [False, True])
def test_fixed_transforms_by_ffts_or_matrices(grid, modes, complex_data, separable, by_fft):
    conv = SpectralConv(4, 4, modes, complex_data=complex_data, separable=separable)
    layer = MonarchSpectralConv.from_spectral_conv(conv, grid, 2, FourierTransform)
    layer.backend = "fft" if by_fft else "torch"
    x = random(3, 4, *grid, dtype=torch.complex64 if complex_data else torch.float32).requires_grad_()
    skip = random(*x.shape, dtype=x.dtype, seed=2)
    expected = conv(x) + skip
    direction = random(*expected.shape, dtype=expected.dtype, seed=1)
    found = layer(x, skip=skip)
    assert relative_error(found, expected) <= SAME_FUNCTION
    (expected_gradient,) = torch.autograd.grad(expected, x, direction)
    gradient, of_weight = torch.autograd.grad(found, (x, layer.weight), direction)
    assert relative_error(gradient, expected_gradient) <= SAME_FUNCTION
    layer.backend = "torch" if by_fft else "fft"
    (other,) = torch.autograd.grad(layer(x, skip=skip), layer.weight, direction)
    assert relative_error(of_weight, other) <= SAME_FUNCTION


def test_ffts_keep_float32_under_autocast():
    layer = MonarchSpectralConv(2, 2, (8, 6), grid=(12, 12), transform=FourierTransform)
    layer.backend = "fft"
    x = random(2, 2, 12, 12, dtype=torch.float32)
    expected = layer(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(layer(x), expected)


def test_what_ffts_do_not_compute_goes_by_matrices(monkeypatch):
    layer = MonarchSpectralConv(2, 2, (8, 6), grid=(12, 12), transform=FourierTransform)
    x = random(2, 2, 12, 12, dtype=torch.float32)

    def outputs(by_fft):
        monkeypatch.setattr(dispatch, "_ffts_pay", lambda x, modes, training: by_fft)
        layer.n_modes = (8, 6)
        finer = layer(random(2, 2, 24, 24, dtype=torch.float32))
        layer.n_modes = (4, 4)
        return finer, layer(x)

    for found, expected in zip(outputs(True), outputs(False), strict=True):
        torch.testing.assert_close(found, expected)


def test_fewer_modes_as_neuralop_does_during_training():
    conv = SpectralConv(2, 2, (8, 8))
    new = MonarchSpectralConv.from_spectral_conv(conv, (16, 16))
    conv.n_modes = new.n_modes = (4, 6)
    x = random(2, 2, 16, 16, dtype=torch.float32)
    assert relative_error(new(x), conv(x)) <= SAME_FUNCTION
    conv.n_modes = (4, 4)  # and a layer taken over in that state keeps the other weights in reserve
    taken = MonarchSpectralConv.from_spectral_conv(conv, (16, 16))
    assert taken.weight.shape[:2] == (8, 5)
    assert taken.n_modes == conv.n_modes
    assert relative_error(taken(x), conv(x)) <= SAME_FUNCTION


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("heads", [1, 2])
def test_learned_layer_is_the_reference(heads):
    conv = MonarchSpectralConv(4, 6, (5, 6), grid=(12, 10), heads=heads)
    perturb(conv)
    x = random(3, 4, 12, 10, dtype=torch.float64)
    analysis, synthesis = ([t.as_matrix() for t in ts] for ts in (conv.analysis, conv.synthesis))
    expected = reference.spectral_conv(x, analysis, conv.weight, synthesis) + conv.bias
    assert_close(conv(x), expected, n=480)


@pytest.mark.usefixtures("float64")
def test_gradients():
    conv = MonarchSpectralConv(2, 2, (3, 4), grid=(6, 5), heads=2)
    perturb(conv)
    names, values = zip(*conv.named_parameters(), strict=True)

    def run(x, *parameters):
        return torch.func.functional_call(conv, dict(zip(names, parameters, strict=True)), x)

    inputs = (random(2, 2, 6, 5, dtype=torch.float64).requires_grad_(), *(v.detach().requires_grad_() for v in values))
    assert torch.autograd.gradcheck(run, inputs)
    assert torch.autograd.gradgradcheck(run, inputs)


def wave(n, k, axis):
    """cos(2πk·x) along one axis of an n×n grid."""
    phase = 2 * torch.pi * k * torch.arange(n) / n
    return torch.cos(phase if axis else phase[:, None]).expand(n, n)[None, None].float()


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("k", [0, 1, 3])
@pytest.mark.parametrize("n", [8, 24, 32, 31])
def test_zero_shot_resolution_is_the_same_operator(n, k, axis):
    """A real-weighted layer scales cos(2πkx) and nothing else, on every grid (neuralop misplaces k < 0 on axis 0)."""
    conv = MonarchSpectralConv(1, 1, (8, 8), grid=(16, 16), bias=False).eval()
    with torch.no_grad():
        conv.weight.zero_()
        conv.weight[..., 0, :] = 1
    assert relative_error(conv(wave(n, k, axis)), wave(n, k, axis)) < 1e-5


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("scale", [2, 1.5, 0.75])
def test_scaled_output_is_the_same_wave(scale, axis):
    """Where neuralop's output of another size misplaces k < 0, this layer's does not."""
    conv = MonarchSpectralConv(1, 1, (8, 8), grid=(16, 16), bias=False, resolution_scaling_factor=scale)
    with torch.no_grad():
        conv.weight.zero_()
        conv.weight[..., 0, :] = 1
    n = round(16 * scale)
    assert relative_error(conv(wave(16, 2, axis)), wave(n, 2, axis)) < 1e-5
    assert conv.transform(wave(16, 2, axis)).shape == (1, 1, n, n)


@pytest.mark.parametrize("kept", [3, 4, 5, 8])
def test_fewer_modes_are_the_lowest_ones(kept):
    """A layer that passes each wave as it is passes those below the cut, and stops the others."""
    conv = MonarchSpectralConv(1, 1, (8, 8), grid=(16, 16), bias=False)
    with torch.no_grad():
        conv.weight.zero_()
        conv.weight[..., 0, :] = 1
    conv.n_modes = (kept, 8)
    passed = (kept - 1) // 2  # the highest frequency of which both signs are kept
    assert relative_error(conv(wave(16, passed, 0)), wave(16, passed, 0)) < 1e-5
    assert conv(wave(16, kept // 2 + 1, 0)).abs().max() < 1e-5


def test_learned_factors_are_carried_to_another_resolution():
    conv = MonarchSpectralConv(2, 2, (8, 8), grid=(16, 16), heads=2).eval()
    perturb(conv, 0.02)
    x = sum(torch.rand(1) * wave(32, k, axis) for k in (1, 2, 3) for axis in (0, 1)).repeat(1, 2, 1, 1)
    carried, learned = conv(x)[..., ::2, ::2], conv(x[..., ::2, ::2])
    fresh = MonarchSpectralConv(2, 2, (8, 8), grid=(16, 16), heads=2)
    fresh.weight, fresh.bias = conv.weight, conv.bias
    # Nearer to what was learned than the DFT is: the factors came along, not only the mode weights.
    assert relative_error(carried, learned) < 0.5 * relative_error(fresh(x[..., ::2, ::2]), learned)


def test_carried_factors_follow_further_training():
    conv = MonarchSpectralConv(2, 2, (8, 8), grid=(16, 16)).eval()
    x = random(1, 2, 32, 32, dtype=torch.float32)
    before = conv(x)
    perturb(conv)
    assert relative_error(conv(x), before) > 1e-3


@pytest.mark.parametrize("transform", [MonarchTransform, DenseTransform])
def test_resized_layer_trains_on_its_grid(transform):
    conv = MonarchSpectralConv(2, 2, (8, 8), grid=(16, 16), heads=2, transform=transform)
    if transform is DenseTransform:  # the projection of a learned Monarch matrix loses something, by design
        perturb(conv, 0.02)
    new = conv.resized((24, 12))
    x = random(1, 2, 24, 12, dtype=torch.float32)
    assert relative_error(new(x), conv.eval()(x)) < 1e-5
    new.train()(x).sum().backward()
    assert all(p.grad is not None for p in new.parameters())


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("grid", [(8, 7), (5, 6)])
def test_training_on_another_grid_is_through_the_carried_matrices(grid):
    conv = MonarchSpectralConv(2, 2, (3, 4), grid=(6, 5), heads=2)
    perturb(conv)
    names, values = zip(*conv.named_parameters(), strict=True)
    inputs = (random(2, 2, *grid, dtype=torch.float64).requires_grad_(), *(v.detach().requires_grad_() for v in values))

    def run(x, *parameters):
        return torch.func.functional_call(conv, dict(zip(names, parameters, strict=True)), x)

    def dense(x):
        sides = (conv.analysis, conv.synthesis)
        matrices = [[t.matrix_at(n, modes=t.frequencies) for t, n in zip(side, grid, strict=True)] for side in sides]
        return reference.spectral_conv(x, matrices[0], conv.weight, matrices[1], reference.End(conv.bias))

    assert torch.autograd.gradcheck(run, inputs, fast_mode=True)
    x = inputs[0].detach()
    found, expected = conv(x), dense(x)
    assert_close(found, expected, n=x.numel())
    direction = random(*found.shape, dtype=torch.float64, seed=5)
    wanted = list(conv.parameters())
    for f, e in zip(*(torch.autograd.grad(y, wanted, direction) for y in (found, expected)), strict=True):
        assert e.abs().max() > 0
        assert_close(f, e, n=10 * x.numel())


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(("grid", "modes"), [((9,), (4,)), ((6, 5), (3, 4)), ((4, 5, 6), (3, 2, 4))])
@pytest.mark.parametrize("transform", [MonarchTransform, FourierTransform])
@pytest.mark.parametrize("heads", [2, 4, 7])
def test_any_number_of_channels_goes_with_any_number_of_heads(grid, modes, transform, heads):
    """Channel c of C is served by head c·heads // C, on both sides."""
    conv = MonarchSpectralConv(4, 6, modes, grid=grid, heads=heads, transform=transform)
    perturb(conv)
    x = random(2, 4, *grid, dtype=torch.float64)
    analysis, synthesis = (
        [t.as_matrix()[[c * heads // channels for c in range(channels)]] for t in side]
        for side, channels in ((conv.analysis, 4), (conv.synthesis, 6))
    )
    assert_close(
        conv(x),
        reference.spectral_conv(x, analysis, conv.weight, synthesis, reference.End(conv.bias)),
        n=10 * x.numel(),
    )


def test_ffts_on_an_output_that_is_not_the_layers_own():
    conv = MonarchSpectralConv(1, 1, (4, 4), grid=(8, 8), transform=FourierTransform, resolution_scaling_factor=2)
    x = random(1, 1, 8, 8, dtype=torch.float32)
    conv.backend = "torch"
    expected = conv(x, output_shape=(8, 8))
    conv.backend = "auto"  # which would take FFTs for a field so small
    torch.testing.assert_close(conv(x, output_shape=(8, 8)), expected)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_other_precisions(dtype):
    conv = MonarchSpectralConv(4, 4, (8, 8), grid=(16, 16))
    x = random(2, 4, 16, 16, dtype=torch.float64).to(dtype)
    found = conv(x)
    assert found.dtype == dtype
    assert relative_error(found, conv(x.float())) < 2e-2


def test_autocast_and_empty_and_strided_input():
    conv = MonarchSpectralConv(4, 4, (8, 8), grid=(16, 16))
    x = random(2, 4, 16, 32, dtype=torch.float32)[..., ::2]
    with torch.autocast("cpu", torch.bfloat16):
        assert relative_error(conv(x), conv(x.contiguous())) < 2e-2
    assert relative_error(conv(x), conv(x.contiguous())) < 1e-6
    assert conv(x[:0]).shape == (0, 4, 16, 16)


def test_state_dict_round_trip(tmp_path):
    conv = MonarchSpectralConv(4, 4, (8, 8), grid=(16, 16), heads=4)
    perturb(conv)
    torch.save(conv.state_dict(), tmp_path / "conv.pt")
    new = MonarchSpectralConv(4, 4, (8, 8), grid=(16, 16), heads=4)
    new.load_state_dict(torch.load(tmp_path / "conv.pt", weights_only=True))
    x = random(2, 4, 16, 16, dtype=torch.float32)
    assert torch.equal(new(x), conv(x))


@pytest.mark.parametrize("n_modes", [(0, 4), (-2, 4), (4, 17)])
def test_modes_out_of_range(n_modes):
    with pytest.raises(ConfigError, match="allowed are 1 to 16"):
        MonarchSpectralConv(2, 2, n_modes, grid=(16, 16))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"heads": 0}, "heads=0"),
        ({"in_channels": 0}, "in_channels=0"),
        ({"factorization": "tucker"}, "factorization='tucker'"),
        ({"fno_block_precision": "half"}, "fno_block_precision='half'"),
        ({"separable": True, "out_channels": 2}, "separable"),
    ],
)
def test_unsupported_settings_are_refused(options, message):
    arguments = {"in_channels": 4, "out_channels": 4, "n_modes": (4, 4), "grid": (16, 16)} | options
    with pytest.raises(ConfigError, match=message):
        MonarchSpectralConv(**arguments)


def test_unknown_keyword():
    with pytest.raises(TypeError, match="n_mode="):
        MonarchSpectralConv(4, 4, (4, 4), grid=(16, 16), n_mode=3)


def test_factorized_layer_is_not_taken_over():
    conv = SpectralConv(4, 4, (4, 4), factorization="tucker", rank=0.5)
    with pytest.raises(ConfigError, match="tucker"):
        MonarchSpectralConv.from_spectral_conv(conv, (16, 16))
