import json
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from sciml import metrics, pde, runs
from sciml.errors import BadSchema, CorruptFile, NonFinite
from sciml.pde import Evaluation
from sciml.pde.results import measures, storage
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


def disk_full(*_, **__):
    raise OSError(28, "No space left on device")


@pytest.fixture(autouse=True)
def _small_figures(monkeypatch):
    """Pixels take time, and nothing here looks at them."""
    save = Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda self, path, **options: save(self, path, **options | {"dpi": 20}))


@pytest.fixture
def no_figures(monkeypatch):
    """Drawing takes most of the time."""
    monkeypatch.setattr(storage, "draw", lambda *_: [])


def make_run(folder: Path, config: str = "seed: 0\n", **info) -> Path:
    pde.write_evaluation(folder, evaluation(8, info={"data": {"path": "data.h5"}} | info))
    (folder / "config.yaml").write_text(config)
    return folder


class TestEvaluation:
    @pytest.mark.usefixtures("no_figures")
    def test_metrics_are_those_of_the_metrics_module(self, tmp_path):
        e = evaluation(8, 8, quantity="vorticity", length=2.0, info={"parameters": 7})
        found = json.loads(pde.write_evaluation(tmp_path, e).read_text())
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
        each = metrics.relative_l2_per_sample(e.prediction, e.target)
        assert found["per_sample"]["relative_l2"] == pytest.approx(each.tolist(), rel=1e-5)
        for key, values in found["per_sample"].items():
            assert found[key] == pytest.approx(sum(values) / 5), key
        assert {column["key"] for column in found["measures"]["columns"]} == set(found["per_sample"])

    def test_memory_blocks_change_nothing(self, monkeypatch):
        whole = measures.measure(evaluation(8, 6))
        monkeypatch.setattr(measures, "BLOCK", 2 * 3 * 48)
        for one, other in zip(whole, measures.measure(evaluation(8, 6)), strict=True):
            torch.testing.assert_close(one, other)

    @pytest.mark.parametrize("time", [None, np.array([1.0])])
    @pytest.mark.usefixtures("no_figures")
    def test_round_trip(self, tmp_path, time):
        e = evaluation(8, frames=1, time=time, periodic=False, length=3.0, quantity="u", info={"a": 1})
        pde.write_evaluation(tmp_path, e)
        back = pde.read_evaluation(tmp_path)
        for name in ("prediction", "target", "input"):
            assert torch.equal(getattr(back, name), getattr(e, name))
        assert (back.periodic, back.length, back.quantity) == (False, 3.0, "u")
        assert back.info == runs.read_metrics(tmp_path)
        assert back.info["a"] == 1
        assert back.time is None if time is None else np.array_equal(back.time, time)

    @pytest.mark.usefixtures("no_figures")
    def test_fields_carry_a_checksum(self, tmp_path):
        pde.write_evaluation(tmp_path, evaluation(8))
        with h5py.File(tmp_path / "predictions.h5") as file:
            assert all(file[key].fletcher32 and file[key].dtype == np.float32 for key in ("prediction", "target"))
            place = file["target"].id.get_chunk_info(1).byte_offset
        with open(tmp_path / "predictions.h5", "r+b") as raw:
            raw.seek(place)
            byte = raw.read(1)[0]
            raw.seek(place)
            raw.write(bytes([byte ^ 4]))
        with pytest.raises(CorruptFile, match=r"target.*sample 1"):
            pde.read_evaluation(tmp_path)

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
        pde.write_evaluation(tmp_path, evaluation(*grid, frames=frames, periodic=len(grid) > 1))
        expected = {f"figures/{name}.png" for name in figures} | {"metrics.json", "predictions.h5"}
        assert stored(tmp_path) == expected
        assert all(p.read_bytes().startswith(b"\x89PNG") for p in tmp_path.glob("figures/*"))

    def test_factors_are_drawn_for_a_net_that_learns_them(self, tmp_path):
        pde.write_evaluation(tmp_path, evaluation(8, frames=1), net=MonarchTransform(8))
        assert "figures/factors.png" in stored(tmp_path)

    @pytest.mark.usefixtures("no_figures")
    def test_zero_targets_are_left_out_and_counted(self, tmp_path):
        e = evaluation(8)
        e.target[1] = 0
        pde.write_evaluation(tmp_path, e)
        found = runs.read_metrics(tmp_path)
        assert found["excluded"] == 1
        assert [value is None for value in found["per_sample"]["relative_l2"]] == [False, True, False, False, False]
        assert found["relative_l2"] == pytest.approx(metrics.relative_l2(e.prediction, e.target).item(), rel=1e-5)

    @pytest.mark.parametrize("frames", [1, 3])
    @pytest.mark.parametrize("grid", [(8,), (8, 8)])
    def test_perfect_predictions(self, tmp_path, grid, frames):
        e = evaluation(*grid, frames=frames)
        pde.write_evaluation(tmp_path, Evaluation(e.target, e.target, e.input, time=e.time))
        found = runs.read_metrics(tmp_path)
        assert found["relative_l2"] == found["relative_h1"] == found["spectrum_error"] == 0

    @pytest.mark.parametrize("frames", [1, 3])
    def test_all_targets_zero_is_null(self, tmp_path, frames):
        e = evaluation(8, frames=frames)
        e.target.zero_()
        pde.write_evaluation(tmp_path, e)
        assert runs.read_metrics(tmp_path)["relative_l2"] is None
        assert "NaN" not in (tmp_path / "metrics.json").read_text()

    @pytest.mark.usefixtures("no_figures")
    def test_half_precision_predictions(self, tmp_path):
        e = evaluation(8, 8)
        half = Evaluation(e.prediction.bfloat16(), e.target, e.input, time=e.time)
        pde.write_evaluation(tmp_path, half)
        assert torch.equal(pde.read_evaluation(tmp_path).prediction, e.prediction.bfloat16().float())

    @pytest.mark.usefixtures("no_figures")
    @pytest.mark.parametrize("bad", [torch.nan, torch.inf])
    def test_a_diverged_rollout_is_measured_up_to_its_first_bad_step(self, tmp_path, bad):
        e = evaluation(8, frames=4)
        e.prediction[2, 2, :3] = bad  # and finite again after it: what follows a bad frame means nothing
        e.prediction[4, 3, 0] = bad
        with pytest.raises(NonFinite, match=r"2 of 5 samples.*sample 2 at step 2 of 0 to 3 \(t = 3\) with 3 values"):
            pde.write_evaluation(tmp_path, e)
        found = runs.read_metrics(tmp_path)
        steps = metrics.relative_l2_per_sample(e.prediction[:, :2], e.target[:, :2], batch_dims=2).mean(0)
        assert found["relative_l2_step"] == [*(pytest.approx(v, rel=1e-5) for v in steps.tolist()), None, None]
        assert (found["diverged"], found["first_bad_sample"], found["first_bad_step"]) == (2, 2, 2)
        assert [found[key] for key in ("relative_l2", "relative_l2_final", "relative_h1", "spectrum_error")] == [
            None
        ] * 4
        assert found["excluded"] == 0
        assert [value is None for value in found["per_sample"]["relative_l2"]] == [False, False, True, False, True]
        stored = pde.read_evaluation(tmp_path).prediction
        assert torch.equal(stored.isfinite(), e.prediction.isfinite())

    def test_a_target_that_is_not_finite_is_no_zero_target(self, tmp_path):
        e = evaluation(8)
        e.target[3, 1, 2] = torch.nan
        with pytest.raises(NonFinite, match="target: sample 3 has 1 values"):
            pde.write_evaluation(tmp_path / "run", e)
        assert not (tmp_path / "run").exists()

    def test_a_file_in_the_place_of_the_figures_costs_warnings(self, tmp_path, monkeypatch, caplog):
        monkeypatch.setattr(storage, "draw", lambda *_: [("one", Figure)])
        pde.write_evaluation(tmp_path, evaluation(8))
        (tmp_path / "figures/one.png").unlink()
        (tmp_path / "figures").rmdir()
        (tmp_path / "figures").write_bytes(b"the user's")
        assert pde.write_evaluation(tmp_path, evaluation(8)).exists()
        assert (tmp_path / "figures").read_bytes() == b"the user's"
        assert "one.png" in caplog.text

    def test_figures_of_a_diverged_rollout(self, tmp_path):
        e = evaluation(8)
        e.prediction[2, 1:] = torch.inf
        with pytest.raises(NonFinite):
            pde.write_evaluation(tmp_path, e)
        expected = {f"figures/rollout_{name}.png" for name in ("first", "median", "worst")}
        assert stored(tmp_path) >= expected | {"figures/error_against_time.png", "figures/spectra.png"}

    @pytest.mark.usefixtures("no_figures")
    @pytest.mark.parametrize("quantity", ["u", "vorticity"])
    @pytest.mark.parametrize(("blow_up", "dtype"), [(1e25, torch.float32), (1e100, torch.float64)])
    def test_a_finite_rollout_of_any_size_has_numbers(self, tmp_path, blow_up, dtype, quantity):
        e = evaluation(8, 8, quantity=quantity)
        huge = Evaluation(blow_up * e.target.to(dtype), e.target, e.input, time=e.time, quantity=quantity)
        pde.write_evaluation(tmp_path, huge)
        found = runs.read_metrics(tmp_path)
        assert found["relative_l2_step"] == pytest.approx([blow_up] * 3, rel=1e-6)
        assert found["relative_h1"] == pytest.approx(blow_up, rel=1e-6)
        assert found["spectrum_error"] == pytest.approx(2 * np.log10(blow_up), rel=1e-6)
        assert (found["excluded"], found["diverged"]) == (0, 0)
        assert pde.read_evaluation(tmp_path).prediction.isfinite().all()

    @pytest.mark.usefixtures("no_figures")
    @pytest.mark.parametrize(
        ("scale", "dtype"), [(1e-30, torch.float32), (1e-200, torch.float64), (1e200, torch.float64)]
    )
    def test_the_unit_does_not_matter(self, tmp_path, scale, dtype):
        e = evaluation(8)
        scaled = [scale * field.to(dtype) for field in (e.prediction, e.target, e.input)]
        pde.write_evaluation(tmp_path / "scaled", Evaluation(*scaled, time=e.time))
        pde.write_evaluation(tmp_path / "plain", e)
        found, expected = (runs.read_metrics(tmp_path / name) for name in ("scaled", "plain"))
        for key in ("relative_l2", "relative_l2_step", "relative_h1", "spectrum_error"):
            assert found[key] == pytest.approx(expected[key], rel=1e-5), key
        back = pde.read_evaluation(tmp_path / "scaled")
        torch.testing.assert_close(back.target.to(dtype), scaled[1], rtol=1e-6, atol=0)

    @pytest.mark.usefixtures("no_figures")
    def test_constant_frames_have_no_spectrum_and_are_counted(self, tmp_path):
        e = evaluation(7)
        e.target[1] = 0.1  # whose float64 transform leaves rounding errors
        e.target[2, 0] = 0
        pde.write_evaluation(tmp_path, e)
        found = runs.read_metrics(tmp_path)
        assert (found["excluded"], found["excluded_frames"], found["excluded_spectrum"]) == (0, 1, 1)
        spectra = [metrics.power_spectrum(field, dims=1, periodic=True) for field in (e.prediction, e.target)]
        decades = metrics.spectrum_error(*spectra)
        assert decades[1].isnan().all()
        assert found["spectrum_error"] == pytest.approx(decades.nanmean(1)[[0, 2, 3, 4]].mean().item(), rel=1e-6)

    @pytest.mark.parametrize(
        ("grid", "frames", "periodic", "value"),
        [
            ((1, 8), 1, True, None),
            ((8, 1), 2, False, None),
            ((1, 1), 1, True, 3.0),
            ((2, 2), 1, False, 0.0),
            ((1,), 2, True, None),
            ((2,), 1, True, 3.0),
            ((1, 8, 1), 1, True, None),
        ],
    )
    def test_small_grids_and_constant_fields_are_measured_and_drawn(
        self, tmp_path, caplog, grid, frames, periodic, value
    ):
        e = evaluation(*grid, frames=frames, samples=1, periodic=periodic)
        if value is not None:
            e.target.fill_(value)
        found = json.loads(pde.write_evaluation(tmp_path, e, net=torch.nn.Linear(2, 2)).read_text())
        assert (found["relative_l2"] is None) == (value == 0.0)
        assert not caplog.messages
        names = {path.name for path in tmp_path.glob("figures/*")}
        assert names == set(found["figures"])
        kind = {(1, True): {"maps.png"}, (1, False): {"profiles.png"}}.get((frames, len(grid) > 1), set())
        assert names >= kind if frames == 1 else names >= {"rollout_first.png", "error_against_time.png"}
        assert "factors.png" not in names  # a network without learned transforms

    def test_a_failure_keeps_what_was_there(self, tmp_path, monkeypatch):
        monkeypatch.setattr(storage, "draw", lambda *_: [("old", Figure)])
        pde.write_evaluation(tmp_path, evaluation(8))
        before = {name: (tmp_path / name).read_bytes() for name in stored(tmp_path)}
        monkeypatch.setattr(h5py.Group, "create_dataset", disk_full)
        with pytest.raises(OSError, match="No space"):
            pde.write_evaluation(tmp_path, evaluation(8, 8))
        assert {name: (tmp_path / name).read_bytes() for name in stored(tmp_path)} == before

    @pytest.mark.usefixtures("no_figures")
    def test_what_metrics_cannot_hold_is_named_and_keeps_what_was_there(self, tmp_path):
        pde.write_evaluation(tmp_path, evaluation(8))
        before = {name: (tmp_path / name).read_bytes() for name in stored(tmp_path)}
        for bad in (float("nan"), Path("x")):
            with pytest.raises(BadSchema, match=r"metrics\.json: seconds"):
                pde.write_evaluation(tmp_path, evaluation(8, 8, info={"seconds": bad}))
        assert {name: (tmp_path / name).read_bytes() for name in stored(tmp_path)} == before

    def test_a_figure_that_fails_costs_a_warning_that_names_it(self, tmp_path, monkeypatch, caplog):
        monkeypatch.setattr(storage, "draw", lambda *_: [("good", Figure), ("bad", lambda: 1 / 0)])
        pde.write_evaluation(tmp_path, evaluation(8))
        assert stored(tmp_path) == {"metrics.json", "predictions.h5", "figures/good.png"}
        (message,) = caplog.messages
        assert "bad.png" in message
        assert "division by zero" in message
        monkeypatch.setattr(Figure, "savefig", disk_full)
        assert pde.write_evaluation(tmp_path, evaluation(8)).exists()
        assert stored(tmp_path) == {"metrics.json", "predictions.h5"}  # no figure of the evaluation before

    def test_only_figures_of_the_previous_evaluation_are_removed(self, tmp_path, monkeypatch):
        monkeypatch.setattr(storage, "draw", lambda *_: [("old", Figure), ("both", Figure)])
        pde.write_evaluation(tmp_path, evaluation(8))
        (tmp_path / "figures/mine.png").write_bytes(b"the user's")
        (tmp_path / "outside.png").write_bytes(b"the user's")
        found = json.loads((tmp_path / "metrics.json").read_text())
        assert found["figures"] == ["old.png", "both.png"]
        found["figures"] += ["../outside.png", str(tmp_path / "outside.png"), ".", 3]
        (tmp_path / "metrics.json").write_text(json.dumps(found))
        drawings = [("both", Figure), ("new", Figure), ("mine", lambda: 1 / 0), ("none", lambda: None)]
        monkeypatch.setattr(storage, "draw", lambda *_: drawings)
        for _ in range(2):  # a figure that failed never becomes this program's to remove
            pde.write_evaluation(tmp_path, evaluation(8))
            data = {"metrics.json", "predictions.h5", "outside.png"}
            assert stored(tmp_path) == data | {"figures/mine.png", "figures/both.png", "figures/new.png"}

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
            pde.read_evaluation(tmp_path / "none")

    @pytest.mark.parametrize("text", ["{", "[1]", "\x00"])
    def test_damaged_metrics_are_named(self, tmp_path, text):
        (tmp_path / "metrics.json").write_text(text)
        with pytest.raises(CorruptFile, match=r"metrics.json"):
            runs.read_metrics(tmp_path)

    @pytest.mark.usefixtures("no_figures")
    def test_predictions_of_another_program(self, tmp_path):
        pde.write_evaluation(tmp_path, evaluation(8))
        with h5py.File(tmp_path / "predictions.h5", "r+") as file:
            del file.attrs["periodic"]
        with pytest.raises(BadSchema, match="periodic"):
            pde.read_evaluation(tmp_path)

    @pytest.mark.usefixtures("no_figures")
    def test_predictions_are_read_with_and_without_targets(self, tmp_path):
        e = evaluation(8)
        pde.write_evaluation(tmp_path, e)
        for _ in range(2):
            found = pde.read_predictions(tmp_path)
            assert torch.equal(found.prediction, e.prediction)
            assert torch.equal(found.input, e.input)
            assert np.array_equal(found.time, e.time)
            assert found.quantity == "u"
            with h5py.File(tmp_path / "predictions.h5", "r+") as file:
                if "target" in file:
                    del file["target"]
        with pytest.raises(BadSchema, match=r"no dataset 'target': predictions, not an evaluation.*read_predictions"):
            pde.read_evaluation(tmp_path)

    @pytest.mark.usefixtures("no_figures")
    @pytest.mark.parametrize(
        ("key", "value", "words"),
        [
            ("target", np.float32(1), r"target: expected floats \(N, T, \*grid\)"),
            ("target", np.zeros((5, 3, 8), "i4"), "target: expected floats"),
            ("target", np.zeros((5, 2, 8), "f4"), "expected at least one sample"),
            ("time", np.array([1, np.inf, 3]), "time: expected finite times"),
            ("time", np.zeros((3, 1)), "time: expected times"),
            ("length", "long", "length='long'"),
        ],
    )
    def test_parts_of_another_kind_are_named(self, tmp_path, key, value, words):
        pde.write_evaluation(tmp_path, evaluation(8))
        with h5py.File(tmp_path / "predictions.h5", "r+") as file:
            if key == "length":
                file.attrs[key] = value
            else:
                del file[key]
                file[key] = value
        with pytest.raises(BadSchema, match=rf"predictions\.h5: .*{words}"):
            pde.read_evaluation(tmp_path)

    @pytest.mark.usefixtures("no_figures")
    @pytest.mark.parametrize("read", [pde.read_evaluation, pde.read_predictions])
    def test_times_carry_a_checksum(self, tmp_path, read):
        pde.write_evaluation(tmp_path, evaluation(8))
        with h5py.File(tmp_path / "predictions.h5") as file:
            place = file["time"].id.get_chunk_info(0).byte_offset
        content = bytearray((tmp_path / "predictions.h5").read_bytes())
        content[place + 6] ^= 1
        (tmp_path / "predictions.h5").write_bytes(content)
        with pytest.raises(CorruptFile, match=r"predictions\.h5"):
            read(tmp_path)

    def test_predictions_alone(self, tmp_path):
        with pytest.raises(BadSchema, match=r"predictions\.h5 is missing.*sciml predict"):
            pde.read_predictions(tmp_path)
        path = pde.write_predictions(tmp_path, pde.Predictions(torch.ones(2, 3, 8), torch.ones(2, 1, 8)))
        assert pde.read_predictions(tmp_path).time is None
        with h5py.File(path, "r+") as file:
            del file["input"]
            file["input"] = np.ones((3, 1, 8), "f4")
        with pytest.raises(BadSchema, match=r"expected \(N, T, \*grid\)"):
            pde.read_predictions(tmp_path)
        with h5py.File(path, "r+") as file:
            del file["input"]
            file["input"], file["time"] = np.ones((2, 1, 8), "f4"), np.arange(4.0)
        with pytest.raises(BadSchema, match=r"time: expected \(3,\)"):
            pde.read_predictions(tmp_path)

    @pytest.mark.usefixtures("no_figures")
    def test_predictions_and_metrics_of_two_evaluations_are_told_apart(self, tmp_path):
        for name in ("a", "b"):
            pde.write_evaluation(tmp_path / name, evaluation(8, samples=len(name) + (name == "b")))
        (tmp_path / "a/predictions.h5").replace(tmp_path / "b/predictions.h5")
        with pytest.raises(BadSchema, match=r"predictions\.h5: of another evaluation than metrics\.json"):
            pde.read_evaluation(tmp_path / "b")


@pytest.mark.usefixtures("no_figures")
class TestCompare:
    def test_table_with_the_best_in_bold_and_the_differences(self, tmp_path):
        common = "seed: 0\nrun_dir: {0}\nmodel:\n  net:\n    class_path: sciml.pde.fno\n    init_args:\n"
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
        (run / "metrics.json").write_text(json.dumps(storage.MEASURED | {"relative_l2": 1.0}))
        with pytest.raises(BadSchema, match=r"no relative_l2_final, relative_h1, spectrum_error; it has relative_l2;"):
            runs.compare([run])
        with pytest.raises(BadSchema, match="no run directories"):
            runs.compare([])

    def test_damaged_config_is_named(self, tmp_path):
        with pytest.raises(CorruptFile, match=r"config.yaml"):
            runs.compare([make_run(tmp_path / "a", config="a: [1\n")])
