"""What the table of `dispatch` says, where no other test asks for it."""

import pytest
import torch
from properties import random

from sciml.kernels import dispatch
from sciml.kernels.monarch import cpu as monarch
from sciml.kernels.truncated import cpu as truncated


def by_fft(grid, modes, *, backend="auto", dtype=torch.float32, channels=32, learned=False):
    x, weight = torch.empty(4, channels, *grid, dtype=dtype), torch.empty(*modes, 1, 2, 1, requires_grad=learned)
    return dispatch.by_fft(backend, x, weight, len(grid))


@pytest.mark.parametrize(
    ("grid", "modes", "alone", "training"),
    [
        ((32, 64), (16, 9), True, True),  # a small field
        ((64, 64), (16, 9), False, False),
        ((256, 256), (16, 9), False, False),
        ((256, 256), (64, 33), True, False),
        ((256, 256), (128, 65), True, True),
        ((4096, 32), (16, 9), True, True),  # a short last axis
        ((2048,), (9,), True, False),
        ((8192,), (9,), False, False),
    ],
)
def test_ffts_where_they_take_less_time(grid, modes, alone, training):
    channels = 32 if len(grid) == 2 else 64
    assert by_fft(grid, modes, channels=channels) == alone
    assert by_fft(grid, modes, channels=channels, learned=True) == training
    with torch.no_grad():
        assert by_fft(grid, modes, channels=channels, learned=True) == alone
    assert by_fft(grid, modes, backend="fft")
    assert not any(by_fft(grid, modes, backend=backend) for backend in ("reference", "torch", "triton"))
    assert not by_fft(grid, modes, dtype=torch.bfloat16)


def test_never_ffts_in_a_compiled_graph(monkeypatch):
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    assert not by_fft((8, 8), (4, 4))
    assert not by_fft((8, 8), (4, 4), backend="fft")


@pytest.mark.parametrize("backend", ["auto", "torch"])
def test_on_a_cpu_the_forms_are_pytorchs_products(backend):
    assert dispatch.derivatives("truncated", random(1), backend) is truncated.derivatives
    assert dispatch.derivatives("monarch", random(1), backend) is monarch.derivatives


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")  # torch's own, on the first use of jvp
def test_the_specification_serves_what_the_forms_have_no_rules_for():
    assert dispatch.by_reference("reference")
    assert not dispatch.by_reference("auto", random(2))
    seen = []
    torch.func.vmap(lambda x: seen.append(dispatch.by_reference("torch", x)) or x)(random(2))
    with torch.autograd.forward_ad.dual_level():
        seen.append(dispatch.by_reference("torch", torch.autograd.forward_ad.make_dual(random(2), random(2))))
    assert seen == [True, True]
