from functools import partial

import pytest
import torch
from neuralop.layers.spectral_convolution import SpectralConv
from neuralop.models import FNO, UNO
from properties import random, relative_error
from torch.func import functional_call, grad, vmap
from torch.utils.checkpoint import checkpoint

from sciml.errors import ConfigError
from sciml.pde.models.fno import fno
from sciml.pde.models.layers import PointwiseConv1d, use_pointwise
from sciml.pde.models.spectral_conv import MonarchSpectralConv
from sciml.pde.models.takeover import monarchize
from sciml.transforms import DenseTransform, MonarchTransform, factor_parameters

SMALL = {"n_modes": [4, 4], "in_channels": 2, "out_channels": 1, "hidden_channels": 8, "grid": [16, 16]}
GRIDS = [(32,), (15,), (16, 12), (15, 13), (8, 7, 9)]


def value_and_gradient(model, x):
    x = x.clone().requires_grad_()
    y = model(x)
    return y, *torch.autograd.grad(y, x, random(*y.shape, dtype=y.dtype, seed=3))


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("heads", [1, 8])
def test_monarchize_keeps_the_function(grid, heads):
    model = FNO(tuple(n // 2 for n in grid), 3, 1, 8, n_layers=2)
    x = random(2, 3, *grid, dtype=torch.float32)
    before = value_and_gradient(model, x)
    monarchize(model, grid, heads)
    assert not any(isinstance(m, SpectralConv) for m in model.modules())
    for found, expected in zip(value_and_gradient(model, x), before, strict=True):
        assert relative_error(found, expected) <= 1e-5


@pytest.mark.parametrize("options", [{"domain_padding": 0.25}, {"norm": "group_norm"}])
def test_monarchize_finds_the_grid_inside(options):
    model = FNO((6, 6), 2, 1, 4, n_layers=2, **options)
    x = random(2, 2, 12, 12, dtype=torch.float32)
    expected = model(x)
    assert relative_error(monarchize(model, (12, 12))(x), expected) <= 1e-5


def test_monarchize_serves_other_neuralop_models():
    per_layer = {"uno_out_channels": [8] * 3, "uno_n_modes": [[4, 4]] * 3, "uno_scalings": [[1, 1]] * 3}
    model = UNO(2, 1, 8, n_layers=3, channel_mlp_skip="linear", **per_layer)
    x = random(1, 2, 16, 16, dtype=torch.float32)
    expected = model(x)
    assert relative_error(monarchize(model, (16, 16))(x), expected) <= 1e-5


def test_monarchize_without_a_spectral_layer():
    with pytest.raises(ConfigError, match="no neuralop SpectralConv"):
        monarchize(torch.nn.Linear(2, 2), (4,))


@pytest.mark.parametrize("grid", GRIDS)
def test_fno_accepts_the_layer_as_conv_module(grid):
    modes = tuple(n // 2 for n in grid)
    model = FNO(modes, 3, 1, 8, n_layers=2, conv_module=MonarchSpectralConv.on_grid(grid, heads=4))
    x = random(2, 3, *grid, dtype=torch.float32)
    assert model(x).shape == (2, 1, *grid)
    model.n_modes = tuple(m - 1 for m in modes)
    assert torch.isfinite(model(x)).all()


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("padding", [None, 0.25])
@pytest.mark.parametrize("separable", [False, True])
def test_a_learned_fno_starts_as_the_one_with_the_fft(grid, padding, separable):
    """Of one seed: weight for weight, also where neuralop shifts frequencies (odd axes) and pads the grid."""
    settings = SMALL | {"n_modes": [n // 2 for n in grid], "grid": list(grid), "n_layers": 2}
    nets = []
    for transform in ("fft", "monarch"):
        torch.manual_seed(1)
        nets.append(fno(**settings, domain_padding=padding, separable=separable, transform=transform))
    x = random(2, 2, *grid, dtype=torch.float32)
    expected, found = (value_and_gradient(net, x) for net in nets)
    for one, other in zip(found, expected, strict=True):
        assert relative_error(one, other) <= 1e-5


def test_a_learned_fno_in_neuralops_checkpoints(tmp_path):
    net = fno(**SMALL, transform="monarch", domain_padding=0.25)
    x = random(2, 2, 16, 16, dtype=torch.float32)
    net.save_checkpoint(tmp_path, "model")
    assert torch.equal(FNO.from_checkpoint(tmp_path, "model")(x), net(x))


def test_complex_layers_are_taken_over_not_made_as_neuralops():
    with pytest.raises(ConfigError, match="from_spectral_conv"):
        MonarchSpectralConv(2, 2, 4, grid=9, complex_data=True, as_neuralop=True)


@pytest.mark.parametrize("transform", ["monarch", "dense"])
def test_builder_starts_from_its_fft_twin(transform):
    arguments = {**SMALL, "n_layers": 2}
    torch.manual_seed(0)
    twin = fno(**arguments)
    torch.manual_seed(0)
    model = fno(**arguments, transform=transform)
    x = random(2, 2, 16, 16, dtype=torch.float32)
    assert relative_error(model(x), twin(x)) <= 1e-5
    assert factor_parameters(twin) == []
    assert factor_parameters(model)
    assert {m.heads for m in model.modules() if hasattr(m, "as_matrix")} == {8}


def test_model_runs_zero_shot_at_another_resolution():
    """On a band-limited field an untrained layer gives the same values at the shared points of a finer grid."""
    model = fno([6, 6], 1, 1, 4, grid=[16, 16], transform="monarch", n_layers=1).eval()
    fine = torch.cos(2 * torch.pi * torch.arange(32) / 32).expand(1, 1, 32, 32)
    convs = [m for m in model.modules() if isinstance(m, MonarchSpectralConv)]
    lifted = fine.repeat(1, 4, 1, 1)
    assert relative_error(convs[0](lifted)[..., ::2, ::2], convs[0](lifted[..., ::2, ::2])) < 1e-5
    assert model(fine).shape == (1, 1, 32, 32)


def test_pointwise_convolution_is_the_convolution():
    conv = torch.nn.Conv1d(5, 7, 1)
    twin = torch.nn.Conv1d(5, 7, 1)
    twin.load_state_dict(conv.state_dict())
    twin = use_pointwise(twin)
    assert isinstance(twin, PointwiseConv1d)
    x = random(3, 5, 11, dtype=torch.float32)
    for found, expected in zip(value_and_gradient(twin, x), value_and_gradient(conv, x), strict=True):
        assert relative_error(found, expected) < 1e-6
    wide = torch.nn.Conv1d(5, 7, 3)
    assert type(use_pointwise(wide)) is torch.nn.Conv1d


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hidden_channels": -4}, "hidden_channels=-4"),
        ({"n_layers": 0}, "n_layers=0"),
        ({"n_modes": [0, 4]}, r"n_modes\[0\]=0 .* 1 to 16"),
        ({"n_modes": [4, 17]}, r"n_modes\[1\]=17 .* 1 to 16"),
        ({"n_modes": [4]}, "one number for each"),
        ({"domain_padding": -0.1}, "domain_padding"),
        ({"heads": 4}, "transform=fft"),
        ({"heads": 0, "transform": "monarch"}, "heads"),
    ],
)
def test_settings_out_of_range(options, message):
    arguments = SMALL | options
    with pytest.raises(ConfigError, match=message):
        fno(**arguments)


def test_dense_class_can_be_given():
    model = monarchize(FNO((4,), 1, 1, 4, n_layers=1), (8,), transform=DenseTransform)
    assert any(isinstance(m, DenseTransform) for m in model.modules())


def test_monarchize_at_a_higher_rank_keeps_the_function():
    model = FNO((16,), 2, 1, 4, n_layers=1)
    x = random(2, 2, 16, dtype=torch.float32)
    expected = model(x)
    learned = monarchize(model, (16,), transform=partial(MonarchTransform, rank=2))
    assert relative_error(learned(x), expected) <= 1e-5
    assert {m.rank for m in learned.modules() if isinstance(m, MonarchTransform)} == {2}


@pytest.mark.parametrize("heads", [0, -1])
def test_a_number_of_heads_below_one_is_refused(heads):
    with pytest.raises(ConfigError, match=rf"heads={heads}: must be at least 1"):
        fno(**SMALL, transform="monarch", heads=heads)


@pytest.mark.parametrize("transform", ["monarch", "dense"])
@pytest.mark.parametrize("grid", [(12,), (12, 10)])
def test_activation_checkpointing_gives_the_same_gradients(transform, grid):
    model = fno([4] * len(grid), 2, 1, 4, grid=list(grid), transform=transform, n_layers=2)
    x = random(2, 2, *grid, dtype=torch.float32)
    expected = torch.autograd.grad(model(x).square().sum(), list(model.parameters()))
    found = torch.autograd.grad(checkpoint(model, x, use_reentrant=False).square().sum(), list(model.parameters()))
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)


@pytest.mark.parametrize("grid", [(12,), (12, 10)])
def test_per_sample_gradients(grid):
    """torch.func's vmap of grad against a backward for each sample."""
    model = fno([4] * len(grid), 2, 1, 4, grid=list(grid), transform="monarch", n_layers=2)
    x = random(3, 2, *grid, dtype=torch.float32)
    parameters = {name: p.detach() for name, p in model.named_parameters()}

    def loss(parameters, sample):
        return functional_call(model, parameters, (sample[None],)).square().sum()

    found = vmap(grad(loss), in_dims=(None, 0))(parameters, x)
    for i, sample in enumerate(x):
        expected = torch.autograd.grad(model(sample[None]).square().sum(), list(model.parameters()))
        for (name, _), g in zip(model.named_parameters(), expected, strict=True):
            torch.testing.assert_close(found[name][i], g, rtol=1e-4, atol=1e-5 * float(g.abs().max()))


def test_the_fft_twin_can_be_monarchized_too():
    model = fno(**SMALL, transform="fft")
    x = random(2, SMALL["in_channels"], *SMALL["grid"], dtype=torch.float32)
    expected = model(x)
    torch.testing.assert_close(monarchize(model, SMALL["grid"])(x), expected, rtol=1e-4, atol=1e-5)
    assert any(isinstance(m, MonarchSpectralConv) for m in model.modules())
