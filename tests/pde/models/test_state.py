import copy
import io
import pickle

import pytest
import torch
from neuralop.models import FNO, UNO
from properties import random
from torch import nn

from sciml.errors import CheckpointError
from sciml.pde.models.fno import fno
from sciml.pde.models.state import tensor_state
from sciml.pde.models.takeover import monarchize

UNO_LAYERS = {"uno_out_channels": [4] * 3, "uno_n_modes": [[4, 4]] * 3, "uno_scalings": [[1, 1]] * 3}


def small(transform="monarch"):
    return fno([4, 4], 1, 1, 4, grid=[8, 8], transform=transform, n_layers=1)


MODELS = {
    "fft": lambda: small("fft"),
    "monarch": small,
    "a neuralop model": lambda: monarchize(FNO((4, 4), 1, 1, 4, n_layers=1), (8, 8)),
    "another": lambda: monarchize(UNO(1, 1, 8, n_layers=3, channel_mlp_skip="linear", **UNO_LAYERS), (8, 8)),
    "inside a module": lambda: nn.Sequential(small(), small()),
}


@pytest.mark.parametrize("kind", MODELS)
def test_a_saved_state_loads_without_running_code(kind, tmp_path):
    model, other = MODELS[kind](), MODELS[kind]()
    torch.save(model.state_dict(), tmp_path / "state.pt")
    other.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    x = random(2, 1, 8, 8, dtype=torch.float32)
    torch.testing.assert_close(other(x), model(x), rtol=0, atol=0)


@pytest.mark.parametrize("transform", ["fft", "monarch"])
def test_copies_and_pickles_are_the_same_model(transform):
    model, x = small(transform), random(2, 1, 8, 8, dtype=torch.float32)
    whole = io.BytesIO()
    torch.save(model, whole)
    whole.seek(0)
    for found in (
        copy.deepcopy(model),
        pickle.loads(pickle.dumps(model)),
        torch.load(whole, weights_only=False),
    ):
        assert type(found) is type(model)
        assert isinstance(found, FNO)
        assert "_metadata" not in found.state_dict()
        torch.testing.assert_close(found(x), model(x), rtol=0, atol=0)


def test_neuralop_is_left_as_it_was():
    plain = FNO((4, 4), 1, 1, 4, n_layers=1)
    registered = dict(FNO._models)
    changed = tensor_state(copy.deepcopy(plain))
    assert type(plain) is FNO
    assert "_metadata" in plain.state_dict()
    assert FNO._models == registered
    assert (type(changed).__name__, changed._name) == ("FNO", plain._name)
    assert changed.state_dict().keys() == plain.state_dict().keys() - {"_metadata"}
    changed.load_state_dict(plain.state_dict())  # a state of neuralop's own still loads
    tensor_state(changed)  # twice is as once
    assert type(changed).__mro__.count(FNO) == 1


def test_a_network_pickled_whole_by_an_earlier_version_is_told_what_to_load():
    name = FNO.__module__.encode()
    with pytest.raises(CheckpointError, match=r"FNO: pickled whole .* state dict"):
        pickle.loads(b"\x80\x02csciml.pde.state\n_restored\nc" + name + b"\nFNO\n\x85R.")
