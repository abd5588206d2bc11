"""The backend reaches every layer: with "reference" the specification alone computes, and gives what "auto" gives."""

import copy
from functools import partial

import pytest
import torch
from properties import assert_close, perturb, random, relative_error, tolerance

from sciml.kernels import ops
from sciml.kernels.dense import matmul
from sciml.kernels.dense import reference as dense_reference
from sciml.kernels.monarch import product
from sciml.kernels.truncated import fft, layer, reference
from sciml.mri import Fourier2d, MoDL, Sense, VarNet
from sciml.pde import MonarchSpectralConv, fno
from sciml.transforms import DenseTransform, FourierTransform, MonarchTransform, separable, use_backend

FAST = [(matmul, "along"), (product, "along"), (layer, "spectral_conv"), (fft, "spectral_conv")]
SPECIFICATION = [(dense_reference, "along"), (reference, "spectral_conv")]
TINY = {"chans": 2, "pools": 1}
KINDS = [MonarchTransform, partial(MonarchTransform, rank=2), DenseTransform, FourierTransform]


@pytest.fixture
def calls(monkeypatch):
    """Names of the implementations that were called, "fast" or "reference"."""
    seen = []

    def recorded(kind, function):
        return lambda *arguments, **options: seen.append(kind) or function(*arguments, **options)

    for kind, found in (("fast", FAST), ("reference", SPECIFICATION)):
        for module, name in found:
            monkeypatch.setattr(module, name, recorded(kind, getattr(module, name)))
    return seen


def check(net, run, calls):
    """Values and gradients, on float64."""
    perturb(net)
    parameters = [p for p in net.parameters() if p.requires_grad]

    def results(backend):
        use_backend(net, backend)
        calls.clear()
        y = run(net)
        return [y, *(torch.autograd.grad(y.abs().square().sum(), parameters) if parameters else [])]

    expected = results("auto")
    assert "reference" not in calls
    found = results("reference")
    assert calls
    assert "fast" not in calls
    for a, b in zip(found, expected, strict=True):
        assert_close(a, b, n=10**4)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("options", [{}, {"modes": 5}, {"modes": range(5), "real": True, "inverse": True}])
@pytest.mark.parametrize("heads", [1, 2])
def test_a_transform(kind, options, heads, calls):
    transform = kind(12, heads=heads, **options)
    out, into = transform.shape
    check(transform, lambda t: t(random(2, 4, into, 3), 2), calls)
    check(transform, lambda t: t.adjoint(random(2, 4, 3, out)), calls)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [(4, 256), (6, 20)])
@pytest.mark.parametrize("adjoint", [False, True])
def test_a_separable_product(kind, size, adjoint, calls):
    """(4, 256): the last axis in two stages; (6, 20): carried to another size."""
    axes = torch.nn.ModuleList(kind(n, heads=2) for n in (4, 256))
    x = random(1, 4, *size)
    check(axes, lambda axes: separable(x, list(axes), adjoint=adjoint), calls)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("kind", ["monarch", "dense"])
@pytest.mark.parametrize("method", ["forward", "adjoint", "inverse"])
def test_the_fourier_operator(kind, method, calls):
    fourier = Fourier2d((256, 6), transform=kind, heads=2, tied=False).requires_grad_(False)
    check(fourier, lambda f: getattr(f, method)(random(1, 4, 256, 6)), calls)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("kind", [MonarchTransform, DenseTransform, FourierTransform])
@pytest.mark.parametrize("grid", [(12,), (12, 10), (6, 5, 4)])
def test_the_spectral_layer(kind, grid, calls):
    conv = MonarchSpectralConv(2, 4, [4] * len(grid), grid=grid, transform=kind)
    skip = random(3, 4, *grid, dtype=torch.float64)
    check(conv, lambda conv: conv(random(3, 2, *grid, dtype=torch.float64), skip=skip, gelu=True), calls)


def kspace_mask_maps():
    mask = torch.zeros(1, 1, 1, 20, dtype=torch.bool)
    mask[..., ::2] = mask[..., 8:12] = True
    kspace, maps = (random(1, 2, 16, 20, seed=i) for i in range(2))
    return kspace * mask, mask, maps


def fourier(**options):
    return Fourier2d((16, 20), transform="monarch", heads=2, **options)


NETWORKS = {
    "fno": lambda: (fno([4, 4], 2, 1, 4, grid=[12, 10], transform="monarch", n_layers=2).double(), None),
    "sense": lambda: (Sense(fourier()), kspace_mask_maps()),
    "modl": lambda: (
        MoDL(fourier(), start=fourier(), iterations=1, cg_iterations=1, **TINY),
        kspace_mask_maps(),
    ),
    "varnet": lambda: (VarNet(fourier(), cascades=1, **TINY, sens_chans=2, sens_pools=1), kspace_mask_maps()[:2]),
}


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("name", NETWORKS)
def test_a_network(name, calls):
    net, inputs = NETWORKS[name]()
    inputs = inputs or (random(2, 2, 12, 10, dtype=torch.float64),)
    net.requires_grad_(False)
    check(net, lambda net: net(*inputs), calls)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_the_specification_in_half_precision(dtype):
    """It computes in float32 and returns the type of x."""
    conv = MonarchSpectralConv(2, 2, (4, 4), grid=(12, 10)).to(dtype)
    x = random(3, 2, 12, 10, dtype=torch.float32).to(dtype)
    expected = conv(x)
    conv.backend = "reference"
    assert conv(x).dtype == dtype
    assert relative_error(expected, conv(x)) < 3 * tolerance(dtype, 120)


def test_what_a_layer_becomes_keeps_its_backend():
    conv = MonarchSpectralConv(2, 2, (4, 4), grid=(12, 12))
    use_backend(conv, "torch")
    assert conv.resized((16, 16)).backend == copy.deepcopy(conv).backend == "torch"
    assert conv.analysis[0].resized(16).backend == "torch"
    assert MonarchTransform(12).backend == "auto"


def test_a_backend_that_cannot_be_had():
    conv = MonarchSpectralConv(2, 2, (4, 4), grid=(12, 12))
    x = torch.zeros(1, 2, 12, 12)
    with pytest.raises(ValueError, match="backend='cuda': use one of"):
        use_backend(conv, "cuda")
    conv.backend = "fft"
    with pytest.raises(ValueError, match="backend='fft': for fixed transforms"):
        conv(x)
    conv.backend = "triton"
    with pytest.raises(ValueError, match=r"backend='triton' for torch\.float64"):
        conv(x.double())
    conv.backend = "nothing"
    with pytest.raises(ValueError, match="backend='nothing': use one of"):
        conv(x)
    fixed = MonarchSpectralConv(2, 2, (4, 4), grid=(12, 12), transform=FourierTransform)
    fixed.backend, fixed.n_modes = "fft", (2, 2)
    with pytest.raises(ValueError, match="with all their modes"):
        fixed(x)


def test_each_backend_gives_the_same(calls):
    x = random(2, 2, 12, 12, dtype=torch.float32)
    conv = MonarchSpectralConv(2, 2, (4, 4), grid=(12, 12), transform=FourierTransform)
    expected = conv(x)
    for backend in ("torch", "fft", "reference"):
        conv.backend = backend
        torch.testing.assert_close(conv(x), expected)
    assert calls == ["fast", "fast", "fast", "reference"]
    matrix = conv.analysis[0].as_matrix()
    for backend in ("torch", "fft", "triton", "reference"):  # a full matrix is PyTorch's product, or the specification
        torch.testing.assert_close(ops.along(x, matrix, backend=backend), x.to(matrix.dtype) @ matrix[0].mT)
