"""Both applications compile into one graph and export, the learned transforms in it as operations of their own.

Inductor (torch 2.13, on a CPU) gets two things of complex tensors wrong without a word (docs/decisions/0011): each is
tested alone, and every network in the slow tests. That its mistakes have no room is seen in the graphs themselves.
"""

import io

import pytest
import torch
from functorch.compile import make_boxed_func
from neuralop.layers.spectral_convolution import SpectralConv
from properties import perturb, random
from torch._dynamo.backends.common import aot_autograd
from torch.export import Dim, export

from sciml.kernels import dispatch
from sciml.mri import Fourier2d, MoDL, Sense, VarNet
from sciml.mri.models.unet import ImageUNet
from sciml.mri.physics.coils import Coils
from sciml.pde import Branch, fno
from sciml.pde.models.layers import keep_uncompiled
from sciml.transforms import LocalDFT, MonarchTransform, SeparableTransform

pytestmark = [
    pytest.mark.filterwarnings("ignore:Torchinductor does not support code generation for complex operators"),
    pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning"),  # Inductor's own use
    pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf"),  # Dynamo's, between parts
]
TINY = {"chans": 2, "pools": 1}
SIZE = (16, 20)


def fourier(kind, size=SIZE, **options):
    return Fourier2d(size, transform=kind, **({} if kind == "fft" else {"heads": 2}), **options)


def kspace_mask_maps(batch=2):
    mask = torch.zeros(batch, 1, 1, SIZE[1], dtype=torch.bool)
    mask[..., ::2] = mask[..., 8:12] = True
    kspace, maps = (random(batch, 2, *SIZE, dtype=torch.complex64, seed=i) for i in range(2))
    return kspace * mask, mask, maps


def with_maps(net):
    return net, kspace_mask_maps()


def without_maps(net):
    return net, kspace_mask_maps()[:2]


def on_a_field(kind, *grid):
    model = fno([n // 2 for n in grid], 2, 1, 4, grid=list(grid), transform=kind, n_layers=2)
    return model, (random(2, 2, *grid, dtype=torch.float32),)


def on_a_field_by_banks(*grid):
    branches = [Branch(), Branch(init=LocalDFT(4), n_modes=[2] * len(grid)), Branch(init="dct")]
    model = fno([4] * len(grid), 2, 1, 4, grid=list(grid), transform="monarch", heads=1, bank=branches, n_layers=2)
    return model, (random(2, 2, *grid, dtype=torch.float32),)


def of_rank(rank, *size):
    net = SeparableTransform(MonarchTransform(n, rank=rank, heads=2, centered=True) for n in size)
    return net, (random(2, 2, *size, dtype=torch.complex64),)


def modl(kind):
    return MoDL(fourier(kind), start=fourier(kind), iterations=1, cg_iterations=1, **TINY)


MRI = {
    "sense": lambda kind: with_maps(Sense(fourier(kind))),
    "modl": lambda kind: with_maps(modl(kind)),
    "varnet": lambda kind: without_maps(VarNet(fourier(kind), cascades=1, **TINY, sens_chans=2, sens_pools=1)),
    "varnet with maps": lambda kind: with_maps(
        VarNet(fourier(kind), start=fourier(kind), cascades=1, **TINY, sens_chans=0)
    ),
}
CASES = {f"{name} {kind}": (make, (kind,)) for name, make in MRI.items() for kind in ("fft", "monarch", "dense")}
CASES |= {
    "rank 2": (lambda: of_rank(2, 16, 12), ()),
    "u-net": (lambda: without_maps(ImageUNet(**TINY)), ()),
    "u-net with maps": (lambda: with_maps(ImageUNet(**TINY)), ()),
    # Matrices carried to another grid are built outside of the graph.
    "carried": (lambda: with_maps(VarNet(fourier("monarch", (12, 18)), cascades=1, **TINY, sens_chans=0)), ()),
}
GRIDS = ((12,), (12, 10), (9, 8), (6, 8, 8))
CASES |= {f"fno {grid} {kind}": (on_a_field, (kind, *grid)) for grid in GRIDS for kind in ("fft", "monarch", "dense")}
CASES |= {
    "bank (24,)": (on_a_field_by_banks, (24,)),
    "bank (16, 12)": (on_a_field_by_banks, (16, 12)),
}
IN_PARTS = {"carried", *(name for name in CASES if name.startswith("fno") and name.endswith("fft"))}
QUICK = ("sense monarch", "rank 2", "varnet fft", "fno (12, 10) monarch", "bank (24,)")


def network(case):
    torch._dynamo.reset()
    torch.manual_seed(0)
    make, arguments = CASES[case]
    net, inputs = make(*arguments)
    perturb(net)
    return net, inputs


def each_case(*also):
    return [pytest.param(case, marks=() if case in QUICK + also else pytest.mark.slow) for case in CASES]


def outputs_and_gradients(run, net, inputs):
    inputs = [t if t.dtype == torch.bool else t.clone().requires_grad_() for t in inputs]
    y = run(*inputs)
    wanted = [t for t in (*inputs, *net.parameters()) if t.requires_grad]
    gradients = torch.autograd.grad(y.abs().square().sum(), wanted, allow_unused=True)
    return [y.detach(), *(g for g in gradients if g is not None)]


def assert_equal(found, expected):
    assert len(found) == len(expected)
    largest = max(float(g.abs().max()) for g in expected[1:]) if len(expected) > 1 else 0.0
    for a, b in zip(found, expected, strict=True):  # some gradients are zero but for rounding
        torch.testing.assert_close(a, b, rtol=1e-4, atol=max(1e-4 * float(b.abs().max()), 1e-6 * largest))


@pytest.mark.parametrize("case", each_case())
def test_no_graph_holds_a_lazy_conjugation_or_a_write(case, monkeypatch):
    """Neither forward nor backward; `aot_eager`'s graphs are Inductor's, and need no C++ compiler."""
    monkeypatch.setattr(dispatch, "by_stages", lambda left, right: True)
    seen = []

    def look(graph, inputs):
        seen.extend(str(node.target) for node in graph.graph.nodes if node.op == "call_function")
        return make_boxed_func(graph.forward)

    net, inputs = network(case)
    expected = outputs_and_gradients(net, net, inputs)
    backend = aot_autograd(fw_compiler=look, bw_compiler=look)
    compiled = torch.compile(net, backend=backend, fullgraph=case not in IN_PARTS)
    assert_equal(outputs_and_gradients(compiled, net, inputs), expected)
    assert seen
    assert not [op for op in seen if "_conj" in op or op.startswith("aten.copy_")]


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_inductor_equals_eager(case):
    net, inputs = network(case)
    with torch.no_grad():
        torch.testing.assert_close(torch.compile(net)(*inputs), net(*inputs), rtol=1e-4, atol=1e-4)
    torch._dynamo.reset()
    expected = outputs_and_gradients(net, net, inputs)
    assert_equal(outputs_and_gradients(torch.compile(net), net, inputs), expected)


def test_inductor_and_conjugates_beside_a_convolution():
    """Which lays the tensors around it out anew, by copies that lose a lazy conjugation."""
    torch._dynamo.reset()
    conv = torch.nn.Conv2d(2, 2, 3)
    maps = random(2, 4, 8, 8, dtype=torch.complex64)
    images = random(2, 4, 8, 8, dtype=torch.complex64, seed=1)

    def run(images, maps):
        return conv(torch.view_as_real(Coils(maps).H(images)).movedim(-1, 1))

    expected = outputs_and_gradients(run, conv, (images, maps))
    compiled = torch.compile(run, fullgraph=True)
    assert_equal(outputs_and_gradients(compiled, conv, (images, maps)), expected)
    assert_equal(outputs_and_gradients(compiled, conv, (images, maps.conj().resolve_conj().conj())), expected)


def test_inductor_and_modes_written_into_a_slice():
    """neuralop's layer, which zeroes a spectrum and writes the kept modes; without gradients, in three axes."""
    torch._dynamo.reset()
    conv = keep_uncompiled(SpectralConv(2, 2, (4, 4, 4)))
    x = random(2, 2, 8, 8, 8, dtype=torch.float32)
    with torch.no_grad():
        torch.testing.assert_close(torch.compile(conv)(x), conv(x))


def another_batch(inputs):
    return tuple(torch.cat([t, t[:1].flip(-1)]) for t in inputs)


@pytest.mark.parametrize("case", each_case("fno (12, 10) fft"))
def test_export_with_any_batch(case, monkeypatch):
    monkeypatch.setattr(dispatch, "by_stages", lambda left, right: True)
    net, inputs = network(case)
    with torch.no_grad():
        program = export(net, inputs, dynamic_shapes=tuple({0: Dim.DYNAMIC} for _ in inputs))
        more = another_batch(inputs)
        torch.testing.assert_close(program.module()(*more), net(*more), rtol=1e-4, atol=1e-4)


def test_export_of_a_weight_for_each_mode_and_channel():
    net = fno([4, 4], 2, 1, 4, grid=[12, 10], n_layers=1, separable=True)
    x = random(2, 2, 12, 10, dtype=torch.float32)
    program = export(net, (x,), dynamic_shapes=({0: Dim.DYNAMIC},))
    (more,) = another_batch((x,))
    torch.testing.assert_close(program.module()(more), net(more))


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
@pytest.mark.parametrize("kind", ["fft", "monarch"])
def test_a_trace_runs_on_another_batch(kind):
    net, inputs = on_a_field(kind, 12, 10)
    traced, file = torch.jit.trace(net, inputs, check_trace=False), io.BytesIO()
    torch.jit.save(traced, file)
    file.seek(0)
    more = another_batch(inputs)
    torch.testing.assert_close(torch.jit.load(file)(*more), net(*more))
