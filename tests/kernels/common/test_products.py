"""Batches of products, by either library, of any strides."""

import itertools

import pytest
import torch
from properties import assert_close, random

from sciml.kernels import dispatch
from sciml.kernels.common import onednn, products


def matrices(batch, rows, columns, dtype, seed):
    """Contiguous, transposed, with a gap after each row, every second column, the same for all of a batch."""
    yield random(batch, rows, columns, dtype=dtype, seed=seed)
    yield random(batch, columns, rows, dtype=dtype, seed=seed).mT
    yield random(batch, rows, columns + 3, dtype=dtype, seed=seed)[:, :, :columns]
    yield random(batch, rows, 2 * columns, dtype=dtype, seed=seed)[:, :, ::2]
    yield random(1, rows, columns, dtype=dtype, seed=seed).expand(batch, -1, -1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("worth", [1, 2**22])
def test_products_of_any_strides(batch, dtype, worth, monkeypatch):
    monkeypatch.setattr(dispatch, "_WORTH_A_CALL", worth)
    for a, b in itertools.product(matrices(batch, 7, 10, dtype, 1), matrices(batch, 9, 10, dtype, 2)):
        assert_close(products.times_transposed(a, b), torch.bmm(a.double(), b.double().mT), n=10)
        assert products.times_transposed(a[:, :0], b).shape == (batch, 0, 9)
        assert torch.equal(products.times_transposed(a[:, :, :0], b[:, :, :0]), a.new_zeros(batch, 7, 9))


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="PyTorch without oneDNN")
def test_which_products_go_by_onednn(monkeypatch):
    seen = []
    linear = onednn.times_transposed
    monkeypatch.setattr(onednn, "times_transposed", lambda a, b: seen.append((a, b)) or linear(a, b))

    def calls(batch, rows, dtype=torch.float32):
        seen.clear()
        products.times_transposed(random(batch, 64, 64, dtype=dtype), random(batch, rows, 64, dtype=dtype))
        return len(seen)

    assert onednn.is_right()  # tried before the calls are counted
    assert calls(1, 8) == 1
    assert (calls(3, 8), calls(3, 1024)) == (0, 3)
    assert calls(1, 8, torch.float64) == calls(1, 8, torch.bfloat16) == 0
    monkeypatch.setattr(dispatch.torch.backends.mkldnn, "enabled", False)
    assert calls(1, 8) == 0


def no_such_operation(*_):
    raise AttributeError("'_OpNamespace' 'mkldnn' object has no attribute '_linear_pointwise'")


def another_signature(*_):
    raise RuntimeError("mkldnn::_linear_pointwise() expected at most 4 arguments")


@pytest.mark.parametrize("operation", [no_such_operation, another_signature, lambda a, b, *_: a @ b.mT + 1e-3])
def test_where_the_private_operation_has_changed_the_public_one_multiplies(operation, monkeypatch):
    monkeypatch.setattr(torch.ops.mkldnn, "_linear_pointwise", operation)
    onednn.is_right.cache_clear()
    try:
        assert not onednn.is_right()
        a, b = random(1, 8, 64, dtype=torch.float32), random(1, 9, 64, dtype=torch.float32, seed=1)
        assert torch.equal(products.times_transposed(a, b), torch.bmm(a, b.mT))
    finally:
        onednn.is_right.cache_clear()
