"""The table of runs: which runs it puts beside each other, and what it says where a number cannot be trusted."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch

from sciml import runs
from sciml.cli import main
from sciml.errors import BadSchema, CorruptFile
from sciml.mri import results as images
from sciml.pde.results import storage as fields
from sciml.runs.measures import MEASURES, Column, described

FIELDS = fields.MEASURED | {
    **{"relative_l2": 0.1, "relative_l2_step": [0.1], "relative_l2_final": 0.1, "relative_h1": 0.2},
    **{"spectrum_error": 0.3, "samples": 5, "excluded": 0, "parameters": 10},
}
GROUP = {"nmse": 0.1, "psnr": 30.0, "ssim": 0.8, "samples": 2, "excluded": 0}
IMAGES = images.MEASURED | {
    **GROUP,
    "zero_filled": {"nmse": 0.5, "psnr": 20.0, "ssim": 0.4},
    "by_acceleration": {"4": GROUP},
}
DATA = {"path": "/data/a.h5", "samples": [0, 5], "grid": [64, 64]}


def make(folder: Path, metrics: dict[str, Any] = FIELDS, **more: Any) -> Path:
    folder.mkdir(parents=True)
    (folder / "metrics.json").write_text(json.dumps(metrics | {"data": DATA} | more))
    (folder / "config.yaml").write_text("seed: 0\n")
    return folder


def save(run: Path, name: str, step: int, **more: Any) -> None:
    (run / "checkpoints").mkdir(exist_ok=True)
    content = {"global_step": step, "epoch": step // 2, "state_dict": {"w": torch.ones(3)}} | more
    torch.save(content, run / "checkpoints" / f"{name}.ckpt")


def measured(step: int, name: str = "best") -> dict[str, Any]:
    return {"checkpoint": f"checkpoints/{name}.ckpt", "step": step, "epoch": step // 2}


class TestMalformedMetrics:
    @pytest.mark.parametrize(
        "bad", ['"0.1"', "NaN", "Infinity", "-Infinity", "1e999", "[0.1]", "true", "{}", "9" * 400]
    )
    @pytest.mark.parametrize("key", ["relative_l2", "parameters", "excluded"])
    def test_what_is_no_number_is_named(self, tmp_path: Path, key: str, bad: str) -> None:
        run = make(tmp_path / "a")
        text = json.dumps(json.loads((run / "metrics.json").read_text()) | {key: "@"})
        (run / "metrics.json").write_text(text.replace('"@"', bad))
        with pytest.raises(CorruptFile, match=rf"a/metrics\.json: {key}.*expected a finite number.*sciml test"):
            runs.compare([make(tmp_path / "b"), run])

    @pytest.mark.parametrize(
        ("entry", "where"),
        [
            ({"by_acceleration": {"4": GROUP | {"ssim": "high"}}}, r"by_acceleration\.4\.ssim"),
            ({"zero_filled": {"nmse": [1]}}, r"zero_filled\.nmse"),
            ({"volumes": {"a.h5": {"psnr": True}}}, r"volumes\.a\.h5\.psnr"),
            ({"volumes": [1]}, "volumes"),
            (fields.MEASURED | {"relative_l2_step": [0.1, "x"]}, r"relative_l2_step\[1\]"),
            (fields.MEASURED | {"relative_l2_step": 0.1}, "relative_l2_step"),
            ({"more": {"deep": [1, float("nan")]}}, r"more\.deep\.1"),
            ({"per_sample": {"psnr": [30.0, "x"]}}, r"per_sample\.psnr\[1\]"),
            ({"per_sample": {"psnr": 30.0}}, r"per_sample\.psnr"),
            ({"per_sample": [30.0]}, "per_sample"),
            ({"data": "here"}, "data"),
            ({"checkpoint": 3}, "checkpoint"),
        ],
    )
    def test_nested_entries_too(self, tmp_path: Path, entry: dict[str, Any], where: str) -> None:
        with pytest.raises(CorruptFile, match=rf"a/metrics\.json: {where}: expected"):
            runs.compare([make(tmp_path / "a", IMAGES, **entry)])

    def test_what_does_not_end_is_refused(self, tmp_path: Path) -> None:
        deep, pipe = make(tmp_path / "deep"), make(tmp_path / "pipe")
        (deep / "metrics.json").write_text('{"a":' * 5000 + "1" + "}" * 5000)
        (pipe / "metrics.json").unlink()
        os.mkfifo(pipe / "metrics.json")
        for run in (deep, pipe):
            with pytest.raises(CorruptFile, match=rf"{run.name}/metrics\.json"):
                runs.compare([run])

    def test_no_number_is_no_best(self, tmp_path: Path) -> None:
        worse, none = make(tmp_path / "a", relative_l2=0.5), make(tmp_path / "b", relative_l2=None)
        lines = runs.compare([none, make(tmp_path / "c"), worse]).splitlines()
        assert [line.split(" | ")[2] for line in lines[2:5]] == ["–", "**0.1000**", "0.5000"]


class TestCheckpoints:
    def test_metrics_of_other_weights_are_marked(self, tmp_path: Path) -> None:
        a, b = make(tmp_path / "a", **measured(4)), make(tmp_path / "b", **measured(4))
        for run in (a, b):
            save(run, "best", 4)
            save(run, "last", 8)
        assert "†" not in runs.compare([a, b])
        save(b, "best", 6)
        lines = runs.compare([a, b]).splitlines()
        assert lines[2].startswith("| `a` |")
        assert lines[3].startswith("| `b` † |")
        assert lines[5] == (
            "† `b`: measured on best.ckpt at step 4, but best.ckpt is at step 6 now; run `sciml test` again."
        )

    def test_without_a_best_checkpoint_the_last_counts(self, tmp_path: Path) -> None:
        run = make(tmp_path / "a", **measured(4, "last"))
        save(run, "last", 4)
        assert "†" not in runs.compare([run])
        save(run, "last", 8)
        assert "measured on last.ckpt at step 4, but last.ckpt is at step 8 now" in runs.compare([run])

    def test_weights_of_another_run(self, tmp_path: Path) -> None:
        trained = make(tmp_path / "trained", **measured(4))
        save(trained, "best", 4)
        other = make(tmp_path / "other", checkpoint="../trained/checkpoints/best.ckpt", step=4, epoch=2)
        assert "†" not in runs.compare([trained, other])
        save(other, "best", 4)  # as far trained, and still other weights
        assert "not on its own best.ckpt" in runs.compare([other])
        (other / "checkpoints/best.ckpt").unlink()
        save(trained, "best", 6)
        assert "at step 4, but best.ckpt is at step 6" in runs.compare([other])
        (trained / "checkpoints/best.ckpt").unlink()
        assert "which is no longer there" in runs.compare([other])

    def test_metrics_that_name_no_step(self, tmp_path: Path) -> None:
        old = make(tmp_path / "old", checkpoint="runs/old/checkpoints/best.ckpt")
        save(old, "best", 4)
        assert "does not say at which step" in runs.compare([old])

    @pytest.mark.parametrize("content", [b"", b"PK\x03\x04 and no more", b"cos\nsystem\n(S'touch executed'\ntR."])
    def test_a_damaged_checkpoint_costs_a_note(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
    ) -> None:
        monkeypatch.chdir(tmp_path)
        run = make(tmp_path / "a", **measured(4))
        save(run, "best", 4)
        (run / "checkpoints/best.ckpt").write_bytes(content)
        table = runs.compare([run])
        assert "| `a` † |" in table
        assert "best.ckpt: cannot be read" in table
        assert not (tmp_path / "executed").exists()

    def test_a_checkpoint_of_another_program(self, tmp_path: Path) -> None:
        run = make(tmp_path / "a", **measured(4))
        save(run, "best", 4, global_step="four")
        assert "does not say at which step it was saved" in runs.compare([run])


class TestData:
    def test_different_data_are_refused_and_named(self, tmp_path: Path) -> None:
        a = make(tmp_path / "a")
        b = make(tmp_path / "b", data=DATA | {"grid": [32, 32], "mask": {"kind": "random", "accelerations": [4]}})
        with pytest.raises(BadSchema, match=r"a and b .*grid: \[64, 64\] and \[32, 32\]; mask\.kind: – and random"):
            runs.compare([a, b])
        assert runs.compare([a, make(tmp_path / "c")])
        with pytest.raises(BadSchema, match=r"a and few .*measured: 5 and 3\)"):
            runs.compare([a, make(tmp_path / "few", samples=3)])

    def test_on_request_a_column_says_which(self, tmp_path: Path) -> None:
        a, b = make(tmp_path / "a"), make(tmp_path / "b", data=DATA | {"grid": [32, 32]})
        old = make(tmp_path / "old", data={})
        lines = runs.compare([a, b, old], any_data=True).splitlines()
        assert lines[0].endswith("| data |")
        assert [line.rsplit(" | ", 1)[1] for line in lines[2:5]] == ["grid [64, 64] |", "grid [32, 32] |", "– |"]
        assert "data |" not in runs.compare([a, make(tmp_path / "c")], any_data=True)

    def test_an_evaluation_on_other_data_is_named_with_its_run(self, tmp_path: Path) -> None:
        a, other = make(tmp_path / "a"), make(tmp_path / "a/evaluations/fine", data=DATA | {"grid": [32, 32]})
        (other / "config.yaml").write_text("seed: 0\nverbose: true\n")  # of `sciml test` alone
        table = runs.compare([a, other], any_data=True)
        assert "| `a/evaluations/fine` |" in table
        assert "verbose" not in table

    def test_runs_that_do_not_say_get_a_note(self, tmp_path: Path) -> None:
        a, old = make(tmp_path / "a"), make(tmp_path / "old", data={})
        assert "`old`: metrics.json does not say on which data" in runs.compare([a, old])
        assert "on which data" not in runs.compare([old])

    def test_on_the_command_line(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.chdir(tmp_path)
        make(Path("a"))
        make(Path("b"), data=DATA | {"path": "/data/b.h5"})
        assert main(["compare", "a", "b", "--out", "table.md"]) == 1
        assert "path: /data/a.h5 and /data/b.h5" in capsys.readouterr().err
        assert not Path("table.md").exists()
        assert main(["compare", "a", "b", "--any-data", "--out", "table.md"]) == 0
        assert Path("table.md").read_text().strip() == capsys.readouterr().out.strip()
        Path("notes.md").write_text("mine")
        assert main(["compare", "a", "b", "--any-data", "--out", "notes.md"]) == 2
        assert Path("notes.md").read_text() == "mine"
        assert main(["compare", "a", "b", "--any-data", "--out", "table.md"]) == 0


def test_what_was_left_out_is_shown(tmp_path: Path) -> None:
    a, b = make(tmp_path / "a"), make(tmp_path / "b", excluded=2)
    header, _, first, second = (line.split(" | ") for line in runs.compare([a, b]).splitlines()[:4])
    column = header.index("left out")
    assert (first[column], second[column]) == ("0 of 5", "2 of 5")
    assert "left out" not in runs.compare([a])


def test_what_diverged_is_said(tmp_path: Path) -> None:
    nothing = dict.fromkeys(("relative_l2", "relative_l2_final", "relative_h1", "spectrum_error"))
    a = make(tmp_path / "a", **nothing, diverged=2, first_bad="sample 3 at step 7")
    assert "`a`: 2 of 5 predictions diverged, the first is sample 3 at step 7." in runs.compare([a])
    nothing = dict.fromkeys(("nmse", "psnr", "ssim"))
    b = make(tmp_path / "b", IMAGES, **nothing, diverged=1, first_bad="x.h5, slice 4")
    assert "`b`: 1 of 2 predictions diverged, the first is x.h5, slice 4." in runs.compare([b])


class TestDescription:
    def test_an_evaluation_without_one_takes_that_of_the_others(self, tmp_path: Path) -> None:
        plain = {key: value for key, value in FIELDS.items() if key != MEASURES}
        old, new = make(tmp_path / "old", plain, relative_l2=0.2), make(tmp_path / "new")
        for pair in ([old, new], [new, old]):
            header, _, *rows = runs.compare(pair).splitlines()[:4]
            assert "| relative L2 | final step |" in header
            assert sum("**0.1000**" in row for row in rows) == 1

    def test_without_any_the_numbers_are_shown_by_their_keys_and_none_is_best(self, tmp_path: Path) -> None:
        plain = {key: value for key, value in IMAGES.items() if key != MEASURES}
        table = runs.compare([make(tmp_path / "a", plain), make(tmp_path / "b", plain, psnr=31.0)])
        assert table.splitlines()[0].startswith("| run | parameters | nmse | psnr | ssim |")
        assert "**" not in table

    def test_a_third_application_needs_no_change_of_the_table(self, tmp_path: Path) -> None:
        of_its_own = described([Column("error_k", "error (K)", ".1f"), Column("recall", "recall", ".0%", "high")])
        a, b = (
            make(tmp_path / n, of_its_own, error_k=e, recall=r) for n, e, r in (("a", 2, 0.5), ("b", 3.14159, 0.75))
        )
        header, _, first, second = runs.compare([a, b]).splitlines()[:4]
        assert "| error (K) | recall |" in header
        assert "| **2.0** | 50% |" in first
        assert "| 3.1 | **75%** |" in second

    @pytest.mark.parametrize(
        "bad",
        [
            3,
            {"columns": 3},
            {"columns": [{"key": "relative_l2"}]},
            {"columns": [{"key": "relative_l2", "label": 3}]},
            {"columns": [{"key": "relative_l2", "label": "x", "format": "zz"}]},
            {"columns": [{"key": "relative_l2", "label": "x", "better": "up"}]},
        ],
    )
    def test_what_is_none_is_named(self, tmp_path: Path, bad: Any) -> None:
        with pytest.raises(CorruptFile, match=r"a/metrics\.json: measures: .*sciml test"):
            runs.compare([make(tmp_path / "a", **{MEASURES: bad})])
