"""Pictures of digits, the network that tells them apart, and what is measured."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from sciml.cli import main
from sciml.errors import ConfigError
from sciml.runs import read_metrics
from sciml.vision import DigitsData, ViT
from sciml.vision.results import DigitsResults

CONFIG = {
    "model": {
        "class_path": "sciml.vision.VisionTask",
        "init_args": {
            "net": {"class_path": "sciml.vision.ViT", "init_args": {"width": 16, "layers": 1, "heads": 2}},
            "optimizer": {"class_path": "torch.optim.Adam", "init_args": {"lr": 3e-3}},
        },
    },
    "data": {"class_path": "sciml.vision.DigitsData", "init_args": {"n_test": 30}},
    "trainer": {"max_epochs": 3, "enable_progress_bar": False, "accelerator": "cpu"},
}


def test_parts_are_the_stored_pictures_in_order() -> None:
    datasets = pytest.importorskip("sklearn.datasets")
    stored = datasets.load_digits()
    data = DigitsData(n_val=200, n_test=400)
    parts = [data.dataset(split).__getitems__(range(len(data.dataset(split)))) for split in ("train", "val", "test")]
    assert [len(part.digits) for part in parts] == [1197, 200, 400]
    pictures, digits = (torch.cat([part[k] for part in parts]).numpy() for k in range(2))
    np.testing.assert_array_equal(8 * (pictures[:, 0] + 1), stored.images)
    np.testing.assert_array_equal(digits, stored.target)
    assert torch.equal(data.dataset("train")[1197 + 3].pictures, parts[0].pictures[3])  # in the next epoch


def test_patches_keep_their_place() -> None:
    """A picture whose patches change places gives the same, but for their positions."""
    torch.manual_seed(0)
    net = ViT(width=16, layers=1, heads=2).double()
    picture = torch.randn(1, 1, 8, 8, dtype=torch.float64)
    swapped = picture.clone()
    swapped[..., :2, :2], swapped[..., :2, 2:4] = picture[..., :2, 2:4], picture[..., :2, :2]
    assert not torch.allclose(net(picture), net(swapped))
    with torch.no_grad():
        net.position[:2] = net.position[:2].flip(0)
    torch.testing.assert_close(net(swapped), net_of(net, picture), rtol=1e-12, atol=1e-12)


def net_of(net: ViT, picture: torch.Tensor) -> torch.Tensor:
    """With the first two positions back in their places."""
    with torch.no_grad():
        net.position[:2] = net.position[:2].flip(0)
    return net(picture)


def test_settings_out_of_range_are_refused() -> None:
    for settings in ({"patch": 3}, {"width": 15, "heads": 2}, {"layers": 0}):
        with pytest.raises(ConfigError, match=next(iter(settings))):
            ViT(**settings)
    with pytest.raises(ConfigError, match="none is left to train on"):
        DigitsData(n_val=1000, n_test=797)


def test_without_scikit_learn_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(ConfigError, match=r"needs scikit-learn, which is not installed; pip install .*sciml\[demo\]"):
        DigitsData().dataset("train")


def test_measures_are_of_the_test_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("sklearn")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", lambda figure, path, **options: path.touch())
    Path("vit.yaml").write_text(yaml.safe_dump(CONFIG))
    for command in (["fit", "vit.yaml"], ["test", "runs/vit"], ["predict", "runs/vit"]):
        assert main(command) == 0, capsys.readouterr().err
    metrics, logits = read_metrics("runs/vit"), np.load("runs/vit/logits.npy").astype(np.float64)
    digits = DigitsData(n_test=30).dataset("test").batch.digits.numpy()
    wrong = logits.argmax(1) != digits
    losses = np.log(np.exp(logits).sum(1)) - logits[np.arange(30), digits]
    assert 0 < metrics["error_rate"] < 0.7  # chance is 0.9
    assert metrics["error_rate"] == pytest.approx(wrong.mean()) == pytest.approx(1 - metrics["accuracy"])
    assert metrics["cross_entropy"] == pytest.approx(losses.mean())
    assert metrics["per_sample"]["error_rate"] == wrong.tolist()
    assert metrics["per_sample"]["cross_entropy"] == pytest.approx(losses)
    assert metrics["figures"] == ["digits.png"]
    assert (tmp_path / "runs/vit/predict/sklearn_digits/logits.npy").exists()


def test_logits_of_mixed_precision_are_written_in_single(tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    data, results = DigitsData(n_test=30), DigitsResults()
    batch = data.dataset("test").batch
    logits = torch.eye(10)[batch.digits].bfloat16()
    results.add(batch, logits)
    written = np.load(results.write_predictions(tmp_path, data))
    assert written.dtype == np.float32
    np.testing.assert_array_equal(written, logits.float().numpy())


def test_pictures_of_another_size_are_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("sklearn")
    monkeypatch.chdir(tmp_path)
    Path("vit.yaml").write_text(yaml.safe_dump(CONFIG))
    assert main(["fit", "vit.yaml", "--model.net.size=12"]) == 2
    assert "model.net does not fit pictures (1, 8, 8)" in capsys.readouterr().err
    assert not Path("runs").exists()
