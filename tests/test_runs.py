import json
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from sciml import metrics, runs
from sciml.errors import BadSchema, CorruptFile, NonFinite
from sciml.runs import Evaluation, measures, storage
from sciml.transforms import MonarchTransform


def evaluation(*grid: int, frames: int = 3, samples: int = 5, **options) -> Evaluation:
    rng = torch.Generator().manual_seed(0)
    target = torch.randn(samples, frames, *grid, generator=rng)
    prediction = target + 0.1 * torch.randn(target.shape, generator=rng)
    given = torch.randn(samples, 2, *grid, generator=rng)
    options = {"time": np.arange(frames) + 1.0} | options
    return Evaluation(prediction, target, given, **options)


def stored(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def no_figures(monkeypatch):
    """Drawing takes most of the time."""
    monkeypatch.setattr(storage, "draw", lambda *_: [])


def make_run(folder: Path, config: str = "seed: 0\n", **info) -> Path:
    runs.write_evaluation(folder, evaluation(8, info=info))
    (folder / "config.yaml").write_text(config)
    return folder


class TestEvaluation:
    @pytest.mark.usefixtures("no_figures")
    def test_metrics_are_those_of_the_metrics_module(self, tmp_path):
        e = evaluation(8, 8, quantity="vorticity", length=2.0, info={"parameters": 7})
        found = json.loads(runs.write_evaluation(tmp_path, e).read_text())
        spectra = [metrics.energy_spectrum(field, length=2.0) for field in (e.prediction, e.target)]
        expected = {
            "relative_l2": metrics.relative_l2(e.prediction, e.target),
            "relative_h1": metrics.relative_h1(e.prediction, e.target, dims=2, periodic=True, length=2.0).mean,
            "spectrum_error": metrics.spectrum_error(*spectra).mean(),
            "relative_l2_final": metrics.relative_l2(e.prediction[:, -1], e.target[:, -1]),
        }
        for key, value in expected.items():
            assert found[key] == pytest.approx(value.item(), rel=1e-5), key
        steps = metrics.relative_l2_per_sample(e.prediction, e.target, batch_dims=2).mean(0)
        assert found["relative_l2_step"] == pytest.approx(steps.tolist(), rel=1e-5)
        assert (found["samples"], found["excluded"], found["parameters"]) == (5, 0, 7)

    def test_memory_blocks_change_nothing(self, monkeypatch):
        whole = measures.measure(evaluation(8, 6))
        monkeypatch.setattr(measures, "BLOCK", 2 * 3 * 48)
        for one, other in zip(whole, measures.measure(evaluation(8, 6)), strict=True):
            torch.testing.assert_close(one, other)

    @pytest.mark.parametrize("time", [None, np.array([1.0])])
    @pytest.mark.usefixtures("no_figures")
    def test_round_trip(self, tmp_path, time):
        e = evaluation(8, frames=1, time=time, periodic=False, length=3.0, quantity="u", info={"a": 1})
        runs.write_evaluation(tmp_path, e)
        back = runs.read_evaluation(tmp_path)
        for name in ("prediction", "target", "input"):
            assert torch.equal(getattr(back, name), getattr(e, name))
        assert (back.periodic, back.length, back.quantity) == (False, 3.0, "u")
        assert back.info == runs.read_metrics(tmp_path)
        assert back.info["a"] == 1
        assert back.time is None if time is None else np.array_equal(back.time, time)

    @pytest.mark.usefixtures("no_figures")
    def test_fields_carry_a_checksum(self, tmp_path):
        runs.write_evaluation(tmp_path, evaluation(8))
        with h5py.File(tmp_path / "predictions.h5") as file:
            assert all(file[key].fletcher32 and file[key].dtype == np.float32 for key in ("prediction", "target"))
            place = file["target"].id.get_chunk_info(1).byte_offset
        with open(tmp_path / "predictions.h5", "r+b") as raw:
            raw.seek(place)
            byte = raw.read(1)[0]
            raw.seek(place)
            raw.write(bytes([byte ^ 4]))
        with pytest.raises(CorruptFile, match=r"target.*sample 1"):
            runs.read_evaluation(tmp_path)

    @pytest.mark.parametrize(
        ("grid", "frames", "figures"),
        [
            ((8,), 3, {"rollout_first", "rollout_median", "rollout_worst", "error_against_time", "spectra"}),
            ((8, 8), 3, {"rollout_first", "rollout_median", "rollout_worst", "error_against_time", "spectra"}),
            ((4, 8, 8), 2, {"rollout_first", "rollout_median", "rollout_worst", "error_against_time", "spectra"}),
            ((8,), 1, {"profiles", "spectra"}),
            ((8, 8), 1, {"maps", "spectra"}),
        ],
    )
    def test_figures_follow_the_dimensionality(self, tmp_path, grid, frames, figures):
        runs.write_evaluation(tmp_path, evaluation(*grid, frames=frames, periodic=len(grid) > 1))
        expected = {f"figures/{name}.png" for name in figures} | {"metrics.json", "predictions.h5"}
        assert stored(tmp_path) == expected
        assert all(p.read_bytes().startswith(b"\x89PNG") for p in tmp_path.glob("figures/*"))

    def test_factors_are_drawn_for_a_net_that_learns_them(self, tmp_path):
        runs.write_evaluation(tmp_path, evaluation(8, frames=1), net=MonarchTransform(8))
        assert "figures/factors.png" in stored(tmp_path)

    @pytest.mark.usefixtures("no_figures")
    def test_zero_targets_are_left_out_and_counted(self, tmp_path):
        e = evaluation(8)
        e.target[1] = 0
        runs.write_evaluation(tmp_path, e)
        found = runs.read_metrics(tmp_path)
        assert found["excluded"] == 1
        assert found["relative_l2"] == pytest.approx(metrics.relative_l2(e.prediction, e.target).item(), rel=1e-5)

    @pytest.mark.parametrize("frames", [1, 3])
    @pytest.mark.parametrize("grid", [(8,), (8, 8)])
    def test_perfect_predictions(self, tmp_path, grid, frames):
        e = evaluation(*grid, frames=frames)
        runs.write_evaluation(tmp_path, Evaluation(e.target, e.target, e.input, time=e.time))
        found = runs.read_metrics(tmp_path)
        assert found["relative_l2"] == found["relative_h1"] == found["spectrum_error"] == 0

    @pytest.mark.parametrize("frames", [1, 3])
    def test_all_targets_zero_is_null(self, tmp_path, frames):
        e = evaluation(8, frames=frames)
        e.target.zero_()
        runs.write_evaluation(tmp_path, e)
        assert runs.read_metrics(tmp_path)["relative_l2"] is None
        assert "NaN" not in (tmp_path / "metrics.json").read_text()

    @pytest.mark.usefixtures("no_figures")
    def test_half_precision_predictions(self, tmp_path):
        e = evaluation(8, 8)
        half = Evaluation(e.prediction.bfloat16(), e.target, e.input, time=e.time)
        runs.write_evaluation(tmp_path, half)
        assert torch.equal(runs.read_evaluation(tmp_path).prediction, e.prediction.bfloat16().float())

    def test_diverged_predictions_are_refused_before_anything_is_written(self, tmp_path):
        e = evaluation(8)
        e.prediction[2, 1, :3] = torch.nan
        with pytest.raises(NonFinite, match=r"1 of 5 samples.*sample 2 with 3 values"):
            runs.write_evaluation(tmp_path / "run", e)
        assert not (tmp_path / "run").exists()

    def test_a_failure_keeps_what_was_there(self, tmp_path, monkeypatch):
        runs.write_evaluation(tmp_path, evaluation(8))
        before = {name: (tmp_path / name).read_bytes() for name in stored(tmp_path)}

        def disk_full(self, *args, **kwargs):
            Path(args[0]).write_bytes(b"half")
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(Figure, "savefig", disk_full)
        with pytest.raises(OSError, match="No space"):
            runs.write_evaluation(tmp_path, evaluation(8))
        assert {name: (tmp_path / name).read_bytes() for name in stored(tmp_path)}.keys() == before.keys()
        assert (tmp_path / "metrics.json").read_bytes() == before["metrics.json"]
        assert all(p.read_bytes().startswith(b"\x89PNG") for p in tmp_path.glob("figures/*"))

    @pytest.mark.parametrize(
        ("shapes", "time"),
        [
            ([(2, 3, 8), (2, 3, 9), (2, 1, 9)], None),
            ([(2, 3, 8), (2, 3, 8), (1, 1, 8)], None),
            ([(2, 3, 8), (2, 3, 8), (2, 1, 4)], None),
            ([(2, 3), (2, 3), (2, 1)], None),
            ([(0, 3, 8), (0, 3, 8), (0, 1, 8)], None),
            ([(2, 3, 8), (2, 3, 8), (2, 1, 8)], np.arange(4)),
        ],
    )
    def test_shapes_must_fit(self, shapes, time):
        with pytest.raises(BadSchema, match="expected"):
            Evaluation(*(torch.zeros(shape) for shape in shapes), time=time)


class TestReading:
    def test_missing_files_are_named(self, tmp_path):
        (tmp_path / "config.yaml").touch()
        with pytest.raises(BadSchema, match=r"metrics.json is missing \(found config.yaml\).*sciml test"):
            runs.read_metrics(tmp_path)
        with pytest.raises(BadSchema, match=r"predictions.h5 is missing \(no such directory\)"):
            runs.read_evaluation(tmp_path / "none")

    @pytest.mark.parametrize("text", ["{", "[1]", "\x00"])
    def test_damaged_metrics_are_named(self, tmp_path, text):
        (tmp_path / "metrics.json").write_text(text)
        with pytest.raises(CorruptFile, match=r"metrics.json"):
            runs.read_metrics(tmp_path)

    @pytest.mark.usefixtures("no_figures")
    def test_predictions_of_another_program(self, tmp_path):
        runs.write_evaluation(tmp_path, evaluation(8))
        with h5py.File(tmp_path / "predictions.h5", "r+") as file:
            del file.attrs["periodic"]
        with pytest.raises(BadSchema, match="periodic"):
            runs.read_evaluation(tmp_path)


@pytest.mark.usefixtures("no_figures")
class TestCompare:
    def test_table_with_the_best_in_bold_and_the_differences(self, tmp_path):
        common = "seed: 0\nrun_dir: {0}\nmodel:\n  net:\n    class_path: sciml.pde.nets.fno\n    init_args:\n"
        a = make_run(tmp_path / "a", common.format("a") + "      transform: fft\n", parameters=1000)
        b = make_run(tmp_path / "b", common.format("b") + "      transform: monarch\n", seconds_per_epoch=2.5)
        better = runs.read_metrics(b) | {"relative_l2": 0.01234}
        (b / "metrics.json").write_text(json.dumps(better))
        lines = runs.compare([a, b]).splitlines()
        assert lines[0].startswith("| run | parameters | relative L2 | final step | relative H1 |")
        assert lines[2].startswith("| `a` | 1,000 | 0.")
        assert lines[3].startswith("| `b` | – | **0.0123** |")
        assert lines[3].endswith("| 2.5 | – |")
        assert lines[-1] == "| `model.net.transform` | fft | monarch |"
        assert len(lines) == 10
        assert "**0.09" not in lines[2] + lines[3]  # equal errors: no best

    def test_one_run_has_no_best_and_no_differences(self, tmp_path):
        table = runs.compare([str(make_run(tmp_path / "a"))])
        assert "**" not in table
        assert len(table.splitlines()) == 3

    def test_runs_of_one_name_are_told_apart(self, tmp_path):
        table = runs.compare([make_run(tmp_path / "x/run"), make_run(tmp_path / "y/run")])
        assert "x/run" in table
        assert "y/run" in table

    def test_what_is_missing_is_named(self, tmp_path):
        run = make_run(tmp_path / "a")
        (run / "config.yaml").unlink()
        with pytest.raises(BadSchema, match=r"a: config.yaml is missing"):
            runs.compare([run])
        (run / "metrics.json").write_text('{"relative_l2": 1.0}')
        with pytest.raises(BadSchema, match=r"no relative_l2_final, relative_h1, spectrum_error; it has relative_l2;"):
            runs.compare([run])
        with pytest.raises(BadSchema, match="no run directories"):
            runs.compare([])

    def test_damaged_config_is_named(self, tmp_path):
        with pytest.raises(CorruptFile, match=r"config.yaml"):
            runs.compare([make_run(tmp_path / "a", config="a: [1\n")])
