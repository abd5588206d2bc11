"""Does a checkpoint fit the network and the training that go on from it?"""

import pytest
import torch
from tiny_cli import MODEL

from sciml.errors import CheckpointError, ConfigError
from sciml.pde import fno
from sciml.runs.checkpoints import check_progress, check_weights

NET = MODEL["net"]["init_args"]


def saved(net: torch.nn.Module) -> dict:
    return {"state_dict": {f"net.{key}": value for key, value in net.state_dict().items()}}


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"hidden_channels": 8}, ["another width", "weight"]),
        ({"n_layers": 3}, ["more or fewer layers", "it lacks fno_blocks"]),
        ({"transform": "fft"}, ["another transform"]),
    ],
)
def test_a_checkpoint_of_another_network_is_told_in_one_line(other: dict, words: list[str]) -> None:
    with pytest.raises(CheckpointError, match=r"^last\.ckpt: of another network") as raised:
        check_weights(fno(**NET | other), saved(fno(**NET)), "last.ckpt")
    message = str(raised.value)
    assert all(word in message for word in words), message
    assert len(message) < 700
    assert "\n" not in message


def test_a_checkpoint_of_this_network_fits() -> None:
    check_weights(fno(**NET), saved(fno(**NET)), "last.ckpt")


def test_a_training_shorter_than_what_is_done_is_refused() -> None:
    loops = {"fit_loop": {"epoch_progress": {"current": {"processed": 3}}}}
    checkpoint = {"loops": loops, "global_step": 12}
    check_progress(checkpoint, 3, 12, "last.ckpt")
    check_progress(checkpoint, -1, 20, "last.ckpt")
    with pytest.raises(ConfigError, match=r"max_epochs: 2, but last\.ckpt has 3 epochs"):
        check_progress(checkpoint, 2, -1, "last.ckpt")
    with pytest.raises(ConfigError, match=r"max_steps: 11, but last\.ckpt has 12 steps"):
        check_progress(checkpoint, None, 11, "last.ckpt")
