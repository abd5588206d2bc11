"""Windows of a text, the network that foresees its bytes, and what is measured."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import tiny_text
import torch
import yaml
from torch import nn

from sciml.cli import main
from sciml.errors import BadSchema, ConfigError
from sciml.runs import read_metrics
from sciml.text import GPT, TextData, TextTask


@pytest.fixture
def text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """A working folder with text.txt; its bytes."""
    monkeypatch.chdir(tmp_path)
    tiny_text.write_text(tmp_path / "text.txt")
    return (tmp_path / "text.txt").read_bytes()


def test_parts_are_contiguous_and_share_no_byte(text: bytes) -> None:
    data = TextData("text.txt", context=8, n_val=2, n_test=3)
    windows = {split: data.dataset(split) for split in ("train", "val", "test")}
    assert [len(windows[split]) for split in ("val", "test")] == [2, 3]
    assert b"".join(windows[split].text.tobytes() for split in ("train", "val", "test")) == text
    batch = windows["test"].__getitems__([0, 1, 2])
    assert bytes(batch.tokens.flatten().tolist()) == text[-25:-1]
    assert bytes(batch.following.flatten().tolist()) == text[-24:]


def test_every_epoch_begins_at_another_byte_and_repeats_itself(text: bytes) -> None:
    windows = TextData("text.txt", context=8, n_val=0, n_test=3).dataset("train")
    starts = set()
    for epoch in range(6):
        batch = windows.__getitems__(range(epoch * len(windows), (epoch + 1) * len(windows)))
        found = bytes(batch.tokens.flatten().tolist())
        start = text[: 8 + len(found)].index(found)
        assert 0 <= start < 8
        starts.add(start)
        again = TextData("text.txt", context=8, n_val=0, n_test=3).dataset("train")
        assert torch.equal(again[epoch * len(windows)].tokens, batch.tokens[0])
    assert len(starts) > 1


def test_the_default_text_is_that_of_this_python() -> None:
    data = TextData(context=128)
    assert 400_000 < len(data.text) < 700_000
    assert b"The following" in data.text.tobytes()
    described = data.describe("test")
    assert described["python"].startswith("3.")
    assert described != data.describe("val")


def test_too_short_a_text_and_numbers_out_of_range_are_refused(text: bytes) -> None:
    with pytest.raises(BadSchema, match="204 bytes; 20 \\+ 10 windows of 8 and two to train on need 259; lower data"):
        TextData("text.txt", context=8, n_val=20, n_test=10).dataset("train")
    with pytest.raises(ConfigError, match="n_test"):
        TextData("text.txt", n_test=0)
    for settings in ({"heads": 3}, {"layers": 0}, {"context": 0}):
        with pytest.raises(ConfigError, match=next(iter(settings))):
            GPT(**{**tiny_text.GPT, **settings})


def test_no_byte_sees_those_after_it() -> None:
    torch.manual_seed(0)
    net = GPT(**tiny_text.GPT).double()
    tokens = torch.randint(256, (1, 8))
    changed = tokens.clone()
    changed[0, 5] = (changed[0, 5] + 1) % 256
    before, after = net(tokens), net(changed)
    torch.testing.assert_close(before[:, :5], after[:, :5], rtol=1e-12, atol=1e-12)
    assert not torch.allclose(before[:, 5:], after[:, 5:])


def test_the_block_is_torchs_encoder_layer() -> None:
    """With the same weights, on tokens of which each sees those before it."""
    torch.manual_seed(0)
    block = GPT(**tiny_text.GPT).double().blocks[0]
    layer = nn.TransformerEncoderLayer(16, 2, 64, 0.0, "gelu", batch_first=True, norm_first=True).double()
    pairs = [
        ("norm1", block.norm_attention), ("norm2", block.norm_mlp), ("linear1", block.up), ("linear2", block.down),
        ("self_attn.out_proj", block.out),
    ]  # fmt: skip
    for name, mine in pairs:
        layer.get_submodule(name).load_state_dict(mine.state_dict())
    with torch.no_grad():
        layer.self_attn.in_proj_weight.copy_(block.qkv.weight)
        layer.self_attn.in_proj_bias.copy_(block.qkv.bias)
    x = torch.randn(3, 5, 16, dtype=torch.float64)
    expected = layer(x, nn.Transformer.generate_square_subsequent_mask(5, dtype=torch.float64), is_causal=True)
    torch.testing.assert_close(block(x), expected, rtol=1e-12, atol=1e-12)


def test_a_uniform_guess_costs_eight_bits(text: bytes) -> None:
    task = TextTask(nn.Embedding(256, 256), lambda groups: torch.optim.SGD(groups, lr=0.1))
    nn.init.zeros_(task.net.weight)
    batch = TextData("text.txt", context=8, n_val=2, n_test=3).dataset("test").__getitems__([0, 1])
    assert task.surprise(batch).shape == (2, 8)
    torch.testing.assert_close(task.surprise(batch), torch.full((2, 8), 8 * math.log(2)))


def test_measures_are_means_over_the_test_windows(text: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    config = tiny_text.config(tiny_text.DENSE)
    Path("text.yaml").write_text(yaml.safe_dump(config))
    for command in (["fit", "text.yaml"], ["test", "runs/text"], ["predict", "runs/text"]):
        assert main(command) == 0, capsys.readouterr().err
    metrics = read_metrics("runs/text")
    surprise = np.load("runs/text/surprise.npy").astype(np.float64)
    assert surprise.shape == (3, 8)
    assert metrics["bits_per_byte"] == pytest.approx(surprise.mean() / np.log(2))
    assert metrics["perplexity"] == pytest.approx(np.exp(surprise.mean()))
    assert metrics["per_sample"]["bits_per_byte"] == pytest.approx(surprise.mean(1) / np.log(2))
    assert metrics["figures"] == ["places.png"]
    np.testing.assert_array_equal(np.load("runs/text/predict/text/surprise.npy"), surprise.astype(np.float32))


def test_windows_longer_than_the_context_are_one_line(text: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    config = tiny_text.config({**tiny_text.DENSE, "init_args": {**tiny_text.GPT, "context": 4}})
    Path("text.yaml").write_text(json.dumps(config))
    assert main(["fit", "text.yaml"]) == 2
    assert "model.net.context: 4, but data.context is 8; set the same for both" in capsys.readouterr().err
    assert not Path("runs").exists()
