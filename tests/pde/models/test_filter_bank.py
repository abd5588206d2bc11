"""Spectral layers of other members than the DFT, and sums of such layers, against dense matrices."""

import pytest
import torch
from jsonargparse import ArgumentParser
from neuralop.models import FNO
from properties import assert_close, perturb, random

from sciml.errors import ConfigError
from sciml.kernels.truncated import reference
from sciml.pde import Branch, FilterBank, MonarchSpectralConv, fno
from sciml.transforms import DCT, DST, ByAxis, DenseTransform, LocalDFT, factor_parameters, use_backend
from sciml.transforms.inits import Init
from sciml.transforms.replace import has_hooks

BRANCHES = (Branch(), Branch(init=LocalDFT(4), n_modes=[2]), Branch(init="dct", n_modes=[5]))
GRIDS = ((12,), (15,), (8, 7), (5, 6), (4, 3, 6))  # even and odd, one axis to three
IN_2D = (Branch(n_modes=[4, 6]), Branch(init=LocalDFT(2), n_modes=[3, 2], heads=2), Branch(init=DST(), n_modes=[5, 4]))


def bank(grid, branches, **options):
    made = FilterBank.of_branches(4, 6, [6] * len(grid), grid=grid, branches=branches, **options)
    perturb(made)
    return made


def dense(conv, x):
    """The specification, with the layer's whole matrices."""
    sides = ([t.as_matrix() for t in side] for side in (conv.analysis, conv.synthesis))
    analysis, synthesis = sides
    weight = conv.weight
    if weight.shape[-2] == 1:
        weight = torch.cat([weight, torch.zeros_like(weight)], -2)
    return reference.spectral_conv(x, analysis, weight, synthesis, reference.End(conv.bias))


def value_and_gradients(run, module, x):
    y = run(x)
    wanted = [x, *module.parameters()]
    return [y, *torch.autograd.grad(y, wanted, random(*y.shape, dtype=y.dtype, seed=7))]


def identity(conv):
    """Every mode of every channel passes: then S·A = 1 makes the layer the identity."""
    with torch.no_grad():
        conv.weight.zero_()
        conv.weight[..., 0, :] = torch.eye(conv.in_channels, dtype=conv.weight.dtype)
        conv.bias.zero_()
    return conv


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(
    ("init", "grid"),
    [
        *((word, grid) for word in ("dft", "dct", "dst", "hartley") for grid in GRIDS),
        ("hadamard", (16,)),
        ("hadamard", (8, 4)),
        (LocalDFT(2), (12,)),
        (LocalDFT(3), (9, 12)),
        (ByAxis(["dft", "dct"]), (8, 7)),
        (ByAxis(["dst", "dft"]), (8, 7)),
        (ByAxis(["dft", "hartley", LocalDFT(2)]), (4, 3, 6)),
        (["dct", "dst"], (8, 7)),
    ],
)
@pytest.mark.parametrize("complex_data", [False, True])
def test_with_all_modes_a_layer_can_be_the_identity(init, grid, complex_data):
    """So modes of real data are counted right: once, or twice where the conjugate is left out."""
    blocks = init.blocks if isinstance(init, LocalDFT) else 1
    modes = [n // blocks for n in grid]
    if isinstance(init, ByAxis):
        modes[-1] = grid[-1] // getattr(init.inits[-1], "blocks", 1)
    conv = MonarchSpectralConv(2, 2, modes, grid=grid, heads=2, init=init, complex_data=complex_data)
    x = random(3, 2, *grid, dtype=torch.complex128 if complex_data else torch.float64)
    assert_close(identity(conv)(x), x, n=x.numel())


def test_real_members_have_real_weights():
    assert MonarchSpectralConv(3, 5, 8, grid=16, init="dct").weight.shape == (8, 3, 1, 5)
    assert MonarchSpectralConv(3, 5, 8, grid=16, init=["dct", "dst"], heads=2).weight.shape == (8, 3, 1, 5)
    assert MonarchSpectralConv(3, 3, 8, grid=16, init="dct", separable=True).weight.shape == (8, 1, 3)
    assert MonarchSpectralConv(3, 5, 8, grid=16, init="dct", complex_data=True).weight.shape == (8, 3, 2, 5)
    assert MonarchSpectralConv(3, 5, (8, 4), grid=(16, 8), init=ByAxis(["dct", "dft"])).weight.shape == (8, 3, 3, 2, 5)
    assert MonarchSpectralConv(3, 5, 6, grid=32, init=LocalDFT(4)).weight.shape == (4 * 4, 3, 2, 5)
    assert MonarchSpectralConv(3, 5, 6, grid=32, init=LocalDFT(4)).n_modes == [4]  # of each block, counted as neuralop


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("init", ["dct", ["dft", LocalDFT(3)], ["dct", "dft"], LocalDFT(3), "hartley"])
@pytest.mark.parametrize("grid", [(12,), (12, 9)])
@pytest.mark.parametrize("separable", [False, True])
def test_a_learned_layer_is_the_reference(init, grid, separable):
    if isinstance(init, list) and "dct" in init and len(grid) == 2:
        init = ["dct", "dst"]  # frequencies of both signs and cosines do not share an axis
    if isinstance(init, list) and len(grid) == 2 and init[0] == "dft":
        init = [LocalDFT(3), LocalDFT(3)]
    conv = MonarchSpectralConv(4, 4, [3] * len(grid), grid=grid, heads=2, init=init, separable=separable)
    perturb(conv)
    x = random(2, 4, *grid, dtype=torch.float64)
    assert_close(conv(x), dense(conv, x), n=10 * x.numel())


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(
    ("grid", "branches", "heads"),
    [((24,), BRANCHES, 1), ((24,), BRANCHES, 2), ((24,), (Branch(heads=2), *BRANCHES[1:]), 1), ((8, 12), IN_2D, 1)],
)
@pytest.mark.parametrize("separable", [False, True])
def test_a_bank_is_the_sum_of_its_layers(grid, branches, heads, separable):
    made = FilterBank.of_branches(4, 4, [6] * len(grid), grid=grid, branches=branches, heads=heads, separable=separable)
    perturb(made)
    x = random(3, 4, *grid, dtype=torch.float64).requires_grad_()
    found = value_and_gradients(made, made, x)
    expected = value_and_gradients(lambda x: sum(dense(conv, x) for conv in made.layers), made, x)
    for a, b in zip(found, expected, strict=True):
        assert_close(a, b, n=100 * x.numel())
    skip = random(*found[0].shape, dtype=torch.float64, seed=2)
    assert_close(made(x, skip=skip, gelu=True), torch.nn.functional.gelu(found[0] + skip), n=100 * x.numel())


@pytest.mark.usefixtures("float64")
def test_on_one_axis_a_bank_is_one_product(monkeypatch):
    made = bank((24,), BRANCHES)
    x = random(3, 4, 24, dtype=torch.float64)
    expected = made(x)
    monkeypatch.setattr(MonarchSpectralConv, "forward", None)  # so no layer runs by itself
    assert_close(made(x), expected, n=72)


@pytest.mark.usefixtures("float64")
def test_hooks_on_a_layer_inside_are_called():
    made = bank((24,), BRANCHES)
    x = random(3, 4, 24, dtype=torch.float64)
    expected, seen = made(x), []
    made.layers[1].register_forward_hook(lambda module, inputs, output: seen.append(output))
    assert has_hooks(made.layers[1])
    assert_close(made(x), expected, n=72)
    assert len(seen) == 1


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(("grid", "branches"), [((24,), BRANCHES), ((8, 12), IN_2D)])
def test_every_backend_computes_the_same(grid, branches):
    made = bank(grid, branches)
    x = random(3, 4, *grid, dtype=torch.float64)
    expected = made(x)
    for backend in ("reference", "torch"):
        use_backend(made, backend)
        assert_close(made(x), expected, n=10 * x.numel())


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(
    ("grid", "branches", "other"), [((24,), BRANCHES, (32,)), ((24,), BRANCHES, (16,)), ((8, 12), IN_2D, (12, 16))]
)
def test_another_grid_through_the_carried_matrices(grid, branches, other):
    made = bank(grid, [Branch(b.init, b.n_modes, b.heads) for b in branches], transform=DenseTransform)
    x = random(2, 4, *other, dtype=torch.float64)
    resized = made.resized(other)
    assert resized.grid == other
    assert_close(resized(x), made(x), n=10 * x.numel())
    assert_close(resized(x), sum(dense(conv, x) for conv in resized.layers), n=10 * x.numel())


def test_a_local_layer_on_a_grid_that_its_blocks_do_not_divide():
    conv = MonarchSpectralConv(1, 1, 4, grid=16, init=LocalDFT(4))
    with pytest.raises(ConfigError, match="18 points: the blocks must divide it"):
        conv(torch.zeros(1, 1, 18))


def test_modes_are_limited_by_assignment():
    made = bank((24,), BRANCHES)
    assert [conv.n_modes for conv in made.layers] == [[4], [2], [5]]
    made.n_modes = 3
    assert [conv.n_modes for conv in made.layers] == [[2], [2], [3]]
    assert torch.isfinite(made(random(1, 4, 24, dtype=torch.float32))).all()
    made.n_modes = [24]
    assert [conv.n_modes for conv in made.layers] == [[4], [2], [5]]


@pytest.mark.parametrize(
    ("branches", "message"),
    [
        ((), "at least one branch"),
        ((Branch(init=LocalDFT(5)),), "24 points: the blocks must divide it"),
        ((Branch(n_modes=[30]),), r"n_modes\[0\]=30 on a grid of 24"),
        ((Branch(init=LocalDFT(4), n_modes=[7]),), r"n_modes\[0\]=7 on a grid of 6"),
        ((Branch(init=ByAxis(["dct", "dft"])),), "a field of 1 axes"),
    ],
)
def test_branches_that_do_not_fit(branches, message):
    with pytest.raises(ConfigError, match=message):
        FilterBank.of_branches(4, 4, [6], grid=(24,), branches=branches)


def test_layers_that_do_not_belong_together():
    with pytest.raises(ConfigError, match="expected the same channels, grid and data"):
        FilterBank([MonarchSpectralConv(2, 2, 4, grid=16), MonarchSpectralConv(2, 2, 4, grid=8)])


SMALL = {"in_channels": 2, "out_channels": 1, "hidden_channels": 8, "n_layers": 2, "transform": "monarch"}


@pytest.mark.parametrize(
    ("grid", "options"),
    [
        ([32], {"bank": [Branch(), Branch(init=LocalDFT(4), n_modes=[4])], "heads": 1, "domain_padding": 0.25}),
        ([16, 8], {"bank": [Branch(), Branch(init="dct", heads=1, learnable=False)]}),
        ([32], {"init": ["dft", DCT()]}),
        ([32], {"rank": 2, "heads": 2, "bank": [Branch(), Branch(init=LocalDFT(4), n_modes=[4], rank=1)]}),
        ([16, 16], {"init": "dst", "rank": 2}),
        ([16, 8], {"init": ByAxis(["dct", "dft"]), "learnable": False}),
    ],
)
def test_an_fno_trains_saves_and_serves_other_grids(grid, options, tmp_path):
    torch.manual_seed(0)
    net = fno([n // 2 for n in grid], grid=grid, **SMALL, **options)
    x = random(2, 2, *grid, dtype=torch.float32)
    net(x).square().sum().backward()
    assert all(p.grad is not None for p in net.parameters() if p.requires_grad)
    assert bool(factor_parameters(net)) == options.get("learnable", True)
    twin = fno([n // 2 for n in grid], grid=grid, **SMALL, **options)
    twin.load_state_dict(net.state_dict())
    assert torch.equal(twin(x), net(x))
    net.save_checkpoint(tmp_path, "model")
    torch.testing.assert_close(FNO.from_checkpoint(tmp_path, "model")(x), net(x))
    assert net(random(1, 2, *(2 * n for n in grid), dtype=torch.float32)).shape[2:] == tuple(2 * n for n in grid)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"transform": "fft", "init": "dct"}, "init=dct with transform=fft"),
        ({"transform": "fft", "bank": [Branch()]}, "bank=.* with transform=fft"),
        ({"transform": "fft", "rank": 2}, "rank=2 with transform=fft"),
        ({"transform": "fft", "heads": 1}, "heads=1 with transform=fft"),
        ({"transform": "dense", "rank": 2}, "only Monarch transforms have one"),
        ({"transform": "dense", "bank": [Branch(rank=2)]}, "rank=2 .* only Monarch transforms have one"),
        ({"rank": 0}, "rank=0: must be at least 1"),
        ({"init": "dct", "bank": [Branch()]}, "beside a bank"),
        ({"bank": []}, "at least one branch"),
    ],
)
def test_options_of_an_fno_that_do_not_fit(options, message):
    with pytest.raises(ConfigError, match=message):
        fno([8], grid=[32], **SMALL | options)


@pytest.mark.usefixtures("float64")
def test_the_fixed_cosine_layer_is_scipys():
    import scipy.fft

    conv = MonarchSpectralConv(2, 3, 5, grid=16, init="dct", bias=False)
    x = random(4, 2, 16, dtype=torch.float64)
    spectrum = scipy.fft.dct(x.numpy(), norm="ortho")[..., :5]
    mixed = torch.einsum("bik,kio->bok", torch.as_tensor(spectrum), conv.weight[:, :, 0].detach())
    padded = torch.nn.functional.pad(mixed, (0, 11)).numpy()
    assert_close(conv(x), torch.as_tensor(scipy.fft.idct(padded, norm="ortho")), n=160)


LOCAL = {"class_path": "sciml.transforms.LocalDFT", "init_args": {"blocks": 2}}
BY_AXIS = {"class_path": "sciml.transforms.ByAxis", "init_args": {"inits": ["dct", LOCAL]}}
FIXED = {"init": LOCAL, "n_modes": [2, 2], "rank": 2, "learnable": False}


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ({"init": "hartley"}, {"init": "hartley"}),
        ({"init": LOCAL}, {"init": LocalDFT(2)}),
        ({"init": ["dct", LOCAL]}, {"init": ["dct", LocalDFT(2)]}),
        ({"init": BY_AXIS}, {"init": ByAxis(["dct", LocalDFT(2)])}),
        (
            {"bank": [{"init": "dft"}, FIXED]},
            {"bank": [Branch(), Branch(LocalDFT(2), [2, 2], rank=2, learnable=False)]},
        ),
    ],
)
def test_what_a_configuration_says_becomes_objects(said, meant):
    parser = ArgumentParser()
    parser.add_class_arguments(Settings)
    again = parser.dump(parser.parse_object(said))  # as a run's config.yaml keeps it
    found = parser.parse_string(again)
    made = {key: getattr(parser.instantiate(found), key) for key in meant}
    assert repr(made) == repr(meant)


class Settings:
    def __init__(self, init: Init | ByAxis = "dft", bank: list[Branch] | None = None) -> None: ...
