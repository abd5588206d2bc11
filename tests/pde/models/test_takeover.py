"""Taking over neuralop's layers and models: the same function, or an error that says what is not the same."""

import copy
import io
import pickle

import pytest
import torch
from neuralop.layers.spectral_convolution import SpectralConv
from neuralop.models import FNO, UNO
from properties import assert_close, perturb, random, relative_error

from sciml.errors import ConfigError
from sciml.pde.models.spectral_conv import MonarchSpectralConv
from sciml.pde.models.takeover import monarchize
from sciml.transforms import DenseTransform, MonarchTransform

SAME = 1e-5  # relative, float32 against float32
OPTIONS = {"n_modes": (6, 6), "in_channels": 2, "out_channels": 1, "hidden_channels": 4, "n_layers": 2}


def field(*grid, channels=2, dtype=torch.float32):
    return random(2, channels, *grid, dtype=dtype)


def spectral_layers(model):
    return [m for m in model.modules() if isinstance(m, MonarchSpectralConv)]


def uno(grid_dims=2, scalings=(1, 0.5, 2)):
    per_layer = {
        "uno_out_channels": [4] * 3,
        "uno_n_modes": [[4] * grid_dims] * 3,
        "uno_scalings": [[s] * grid_dims for s in scalings],
    }
    return UNO(2, 1, 4, n_layers=3, channel_mlp_skip="linear", **per_layer)


# saving


def built():
    return FNO(**OPTIONS, conv_module=MonarchSpectralConv.on_grid((12, 13), heads=4))


def turned():
    return monarchize(FNO(**OPTIONS), (12, 13), 4)


def turned_and_scaled():
    """One axis, where output on another grid is neuralop's, so that every layer has a grid of its own."""
    return monarchize(FNO(**{**OPTIONS, "n_modes": (6,)}, resolution_scaling_factor=[2, 0.5]), (12,), 2)


@pytest.mark.parametrize("make", [built, turned, turned_and_scaled])
def test_models_pickle(make):
    model = make()
    perturb(model)
    x = field(12) if make is turned_and_scaled else field(12, 13)
    assert torch.equal(pickle.loads(pickle.dumps(model))(x), model(x))
    buffer = io.BytesIO()
    torch.save(model.state_dict(), buffer)
    other = make()
    other.load_state_dict(torch.load(io.BytesIO(buffer.getvalue()), weights_only=False))
    assert torch.equal(other(x), model(x))


@pytest.mark.parametrize("make", [built, turned, turned_and_scaled])
def test_neuralops_own_checkpoints(make, tmp_path):
    model = make()
    perturb(model)
    x = field(12) if make is turned_and_scaled else field(12, 13)
    for _ in range(2):  # a model that was loaded can be saved
        model.save_checkpoint(tmp_path, "model")
        loaded = FNO.from_checkpoint(tmp_path, "model")
        assert relative_error(loaded(x), model(x)) <= SAME
        assert [layer.synthesis[0].frequencies for layer in spectral_layers(loaded)] == [
            layer.synthesis[0].frequencies for layer in spectral_layers(model)
        ]
        model = loaded


def test_a_checkpoint_of_a_layer_taken_over_with_fewer_modes(tmp_path):
    model = FNO(**{**OPTIONS, "n_modes": (8, 8)})
    model.n_modes = (3, 4)  # of an odd number of modes neuralop's middle weight is another
    x = field(12, 12)
    expected = model(x)
    monarchize(model, (12, 12)).save_checkpoint(tmp_path, "model")
    assert relative_error(FNO.from_checkpoint(tmp_path, "model")(x), expected) <= SAME


# output on another grid


@pytest.mark.parametrize("grid", [(16,), (15,)])
@pytest.mark.parametrize("scalings", [(1, 0.5, 2), (2, 1, 0.5), (1.5, 1, 1)])
def test_one_axis_is_the_same_on_any_output_grid(grid, scalings):
    model = uno(1, scalings)
    x = field(*grid)
    expected = model(x)
    found = monarchize(model, grid, 2)(x)  # in training, where the synthesis must be for the layer's own output
    assert relative_error(found, expected) <= SAME
    found.sum().backward()
    assert relative_error(model.eval()(x), expected) <= SAME


@pytest.mark.parametrize("make", [uno, lambda: FNO(**OPTIONS, resolution_scaling_factor=2)])
def test_misplaced_frequencies_are_an_error_that_names_the_layer(make):
    model = make()
    before = copy.deepcopy(model)
    with pytest.raises(ConfigError, match=r"fno_blocks\S*: a layer from the grid .* negative frequencies .*corrected"):
        monarchize(model, (16, 16))
    x = field(16, 16)
    assert torch.equal(model(x), before(x))
    assert not spectral_layers(model)


@pytest.mark.parametrize("grid", [(16, 16), (15, 17)])
def test_corrected_they_can_be_taken_and_trained(grid):
    model = monarchize(uno(), grid, 2, corrected=True)
    y = model(field(*grid))
    assert y.shape == (2, 1, *grid)
    y.sum().backward()
    assert all(p.grad is not None for layer in spectral_layers(model) for p in layer.parameters())
    assert relative_error(model.eval()(field(*grid)), y) <= SAME


def test_output_of_unlike_normalisation():
    conv = SpectralConv(2, 2, (6,), resolution_scaling_factor=2, fft_norm="ortho")
    with pytest.raises(ConfigError, match="fft_norm='ortho'"):
        MonarchSpectralConv.from_spectral_conv(conv, (12,))
    conv = SpectralConv(2, 2, (6,), fft_norm="ortho")  # on equal grids it makes no difference
    x = field(12)
    assert relative_error(MonarchSpectralConv.from_spectral_conv(conv, (12,))(x), conv(x)) <= SAME


# kinds of data and parameters


@pytest.mark.parametrize("grid", [(12, 12), (11, 13), (12,)])
def test_complex_data(grid):
    model = FNO(**{**OPTIONS, "n_modes": (6,) * len(grid)}, complex_data=True)
    x = field(*grid, dtype=torch.complex64)
    expected = model(x)
    assert relative_error(monarchize(model, grid, 2)(x), expected) <= SAME


def test_a_real_field_in_a_complex_layer():
    conv = SpectralConv(2, 2, (6, 6), complex_data=True)
    x = field(12, 12)
    found = MonarchSpectralConv.from_spectral_conv(conv, (12, 12))(x)
    assert found.is_complex()
    assert relative_error(found, conv(x)) <= SAME


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64, torch.bool])
@pytest.mark.parametrize("complex_data", [False, True])
def test_integers_are_refused(dtype, complex_data):
    layer = MonarchSpectralConv(2, 2, (4, 4), grid=(8, 8), complex_data=complex_data)
    with pytest.raises(ValueError, match="floating-point"):
        layer(torch.ones(1, 2, 8, 8, dtype=dtype))


def test_a_complex_field_in_a_real_layer_is_refused():
    layer = MonarchSpectralConv(2, 2, (4, 4), grid=(8, 8))
    with pytest.raises(ValueError, match="complex_data=True"):
        layer(torch.ones(1, 2, 8, 8, dtype=torch.complex64))


@pytest.mark.parametrize("shape", [(2, 8, 8), (1, 2, 4, 8, 8)])
def test_a_field_of_another_dimension_is_refused(shape):
    layer = MonarchSpectralConv(2, 2, (4, 4), grid=(8, 8))
    with pytest.raises(ValueError, match=r"\(batch, channel\) and a grid of 2 axes"):
        layer(torch.ones(shape))


@pytest.mark.parametrize("transform", [MonarchTransform, DenseTransform])
def test_what_is_frozen_stays_frozen(transform):
    model = FNO(**OPTIONS).requires_grad_(False)
    monarchize(model, (12, 12), 2, transform=transform)
    assert not any(p.requires_grad for p in model.parameters())
    assert not any(p.requires_grad for p in spectral_layers(model)[0].resized((16, 16)).parameters())

    conv = SpectralConv(2, 2, (4, 4))
    conv.bias.requires_grad_(False)
    new = MonarchSpectralConv.from_spectral_conv(conv, (8, 8), transform=transform)
    assert [name for name, p in new.named_parameters() if not p.requires_grad] == ["bias"]


def test_a_double_layer_is_exact():
    conv = SpectralConv(2, 3, (5, 6)).double()  # which leaves its complex weight in float32, and does not run
    layer = MonarchSpectralConv.from_spectral_conv(conv, (8, 9), 1)
    assert {p.dtype for p in layer.parameters()} == {torch.float64}
    x = field(8, 9, dtype=torch.float64)
    analysis = torch.fft.rfft2(x, norm="forward")
    kept = torch.fft.fftshift(analysis, dim=-2)[..., 4 - 2 : 4 + 3, :4]
    out = torch.zeros(2, 3, 8, 5, dtype=torch.complex128)
    weight = conv.weight.to_tensor().to(torch.complex128)
    out[..., 4 - 2 : 4 + 3, :4] = torch.einsum("bixy,ioxy->boxy", kept, weight)
    expected = torch.fft.irfft2(torch.fft.ifftshift(out, dim=-2), s=(8, 9), norm="forward") + conv.bias
    assert_close(layer(x), expected, n=72)


def test_a_double_model_is_taken_over():
    model = monarchize(FNO(**OPTIONS).double(), (12, 12), 2)
    assert model(field(12, 12, dtype=torch.float64)).dtype == torch.float64


# what is not the user's to lose


def test_statistics_and_modes_are_not_touched_by_the_look_inside():
    model = FNO(**OPTIONS, norm="batch_norm")
    model.fno_blocks.convs[0].eval()
    before = {name: value.clone() for name, value in model.named_buffers()}
    monarchize(model, (12, 12))
    assert all(torch.equal(value, before[name]) for name, value in model.named_buffers())
    assert [layer.training for layer in spectral_layers(model)] == [False, True]
    assert model.training


def test_hooks_are_carried_over_and_see_the_layers_own_output():
    model = FNO(**OPTIONS)
    seen, inputs = [], []
    first, second = model.fno_blocks.convs
    handle = first.register_forward_hook(lambda module, args, output: seen.append(output.detach()))
    second.register_forward_pre_hook(lambda module, args, kwargs: inputs.append(args[0].detach()), with_kwargs=True)
    x = field(12, 12)
    expected = model(x)
    monarchize(model, (12, 12), 4)
    assert (len(seen), len(inputs)) == (1, 1)  # not called by the conversion
    found = model(x)
    assert relative_error(found, expected) <= SAME
    assert relative_error(seen[1], seen[0]) <= SAME
    assert relative_error(inputs[1], inputs[0]) <= SAME
    handle.remove()
    model(x)
    assert (len(seen), len(inputs)) == (2, 3)


def test_a_hook_set_afterwards_sees_the_layers_own_output():
    twin = FNO(**OPTIONS)
    model = monarchize(copy.deepcopy(twin), (12, 12), 4)
    x = field(12, 12)
    outputs = []
    for m in (twin, model):
        m.fno_blocks.convs[0].register_forward_hook(lambda module, args, output: outputs.append(output.detach()))
        m(x)
    assert relative_error(outputs[1], outputs[0]) <= SAME


def test_a_backward_hook_sees_the_layers_own_gradient():
    twin = FNO(**OPTIONS)
    model = monarchize(copy.deepcopy(twin), (12, 12), 4)
    gradients = []
    for m in (twin, model):
        m.fno_blocks.convs[0].register_full_backward_hook(lambda module, into, out: gradients.append(out[0].detach()))
        m(field(12, 12)).square().sum().backward()
    assert relative_error(gradients[1], gradients[0]) <= SAME


def test_a_layer_used_in_two_places_stays_one():
    model = FNO(**OPTIONS)
    model.fno_blocks.convs[1] = model.fno_blocks.convs[0]
    x = field(12, 12)
    expected = model(x)
    monarchize(model, (12, 12))
    assert model.fno_blocks.convs[1] is model.fno_blocks.convs[0]
    assert relative_error(model(x), expected) <= SAME


class Own(SpectralConv):
    def forward(self, x, output_shape=None):
        return 2 * super().forward(x, output_shape)


def other_forward():
    return FNO(**OPTIONS, conv_module=Own)


def unused_layer():
    model = FNO(**OPTIONS)
    model.extra = SpectralConv(2, 2, (4, 4))
    return model


def parametrized():
    model = FNO(**OPTIONS)
    torch.nn.utils.parametrize.register_parametrization(model.fno_blocks.convs[0], "bias", torch.nn.Tanh())
    return model


def other_input():
    model = FNO(**OPTIONS)
    model.in_channels = 5
    return model


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: torch.nn.DataParallel(FNO(**OPTIONS)), "DataParallel has no in_channels: .* here `module`"),
        (lambda: torch.nn.Sequential(torch.nn.Identity(), FNO(**OPTIONS)), "here `1`"),
        (other_forward, "convs.0: Own has a forward of its own"),
        (unused_layer, "extra is not called"),
        (parametrized, "convs.0: the layer is parametrized"),
        (other_input, "FNO does not run on"),
        (lambda: FNO(**OPTIONS, fno_block_precision="half"), "convs.0: fno_block_precision='half'"),
        (lambda: FNO(**OPTIONS, factorization="tucker", rank=0.5), "factorization='tucker'"),
    ],
)
def test_what_cannot_be_taken_over_is_named_and_left_alone(make, message):
    model = make()
    layers = [m for m in model.modules() if isinstance(m, SpectralConv)]
    with pytest.raises(ConfigError, match=message):
        monarchize(model, (12, 12))
    assert [m for m in model.modules() if isinstance(m, SpectralConv)] == layers
    assert not any("forward" in vars(m) for m in layers)


# modes in reserve


@pytest.mark.parametrize("grid", [(12, 12), (11, 13), (6, 7)])
@pytest.mark.parametrize("modes", [(2, 2), (3, 4), (5, 5)])
@pytest.mark.parametrize("most", [(8, 8), (7, 9)])
def test_weights_in_reserve_are_kept_and_come_into_use(grid, modes, most):
    conv = SpectralConv(2, 2, modes, max_n_modes=most)
    layer = MonarchSpectralConv.from_spectral_conv(conv, grid)
    x = field(*grid)
    assert relative_error(layer(x), conv(x)) <= SAME
    kept = [min(most[0], grid[0]), min(most[1], grid[1] // 2 + 1)]
    if (most[0] - modes[0]) % 2 == 0:  # otherwise neuralop's weights lie about another centre
        assert list(layer.weight.shape[:2]) == kept
        for more in ((4 + modes[0] % 2, 4), (6 - modes[0] % 2, 6)):
            conv.n_modes = layer.n_modes = more
            if layer.n_modes[0] <= grid[0]:
                assert relative_error(layer(x), conv(x)) <= SAME


def test_incremental_training_of_a_model():
    model = FNO(**{**OPTIONS, "n_modes": (2, 2)}, max_n_modes=(8, 8))
    twin = monarchize(copy.deepcopy(model), (12, 12), 2)
    x = field(12, 12)
    for modes in ((2, 2), (4, 4), (6, 6), (8, 8)):
        model.n_modes = twin.n_modes = modes
        assert relative_error(twin(x), model(x)) <= SAME
    with pytest.raises(ConfigError, match="holds weights for"):
        twin.n_modes = (10, 10)


def test_a_resized_layer_keeps_the_reserve():
    layer = MonarchSpectralConv(2, 2, (4, 4), grid=(16, 16), max_n_modes=(8, 8))
    new = layer.resized((24, 24))
    layer.n_modes = new.n_modes = (8, 8)
    x = field(24, 24)
    assert relative_error(new(x), layer.eval()(x)) <= SAME
    assert new.weight.shape == layer.weight.shape


# where the parameters lie


@pytest.mark.parametrize("grid", [(12,), (12, 10), (6, 6, 6)])
def test_a_model_for_channels_last(grid):
    model = monarchize(FNO(**{**OPTIONS, "n_modes": (4,) * len(grid)}), grid, 2)
    layers = torch.nn.ModuleList(spectral_layers(model))
    x = field(*grid, channels=4)
    expected = layers[0](x)
    layers.to(memory_format=torch.channels_last)
    assert torch.equal(layers[0](x), expected)
    if len(grid) == 2:  # neuralop's own parameters have four axes at most
        whole = model(field(*grid))
        assert relative_error(model.to(memory_format=torch.channels_last)(field(*grid)), whole) <= SAME
