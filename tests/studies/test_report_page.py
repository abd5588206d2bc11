"""A report of a study whose figures are known, its parts, and what it does with unfinished and broken studies."""

import csv
import re
from pathlib import Path

import finished_study
import pytest
import yaml
from matplotlib.figure import Figure

from sciml.errors import BadSchema, CorruptFile
from sciml.studies import figures, publish, report
from sciml.studies.records import Records
from sciml.studies.statistics import Interval


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing takes most of the time, resampling most of the rest."""
    monkeypatch.setattr("sciml.studies.statistics.DRAWS", 2000)
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", lambda figure, path, **options: path.touch())


def edit(path: Path, change) -> None:
    """The rows of a CSV file, each changed, or left out where the change is None."""
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    changed = [row for row in map(change, rows) if row is not None]
    finished_study.table(path, list(rows[0]), changed)


def line(page: str, start: str) -> str:
    return next(line for line in page.splitlines() if line.startswith(start))


def section(page: str, heading: str) -> str:
    return page.split(f"## {heading}\n")[1].split("\n## ")[0]


@pytest.mark.usefixtures("undrawn")
class TestReport:
    def test_it_says_who_differs_from_the_best_baseline_and_by_how_much(self, tmp_path: Path) -> None:
        page = report(finished_study.write(tmp_path)).read_text()
        after = page.split("After 120 epochs")[0]
        assert "`fft_padded` is the best baseline by validation error (relative L2 on test samples 0.02" in after
        assert "; 3 seeds, 40 samples)." in after
        said = r"- `monarch` is \*\*better\*\*: lower by (\d+) % \((\d+) to (\d+) %\); 1.5 times the training time"
        found = re.match(said, line(after, "- `monarch`"))
        assert found, after
        assert int(found[2]) <= 25 <= int(found[3])  # 0.6 to 0.8
        assert line(after, "- `fft`").startswith("- `fft` is **worse**: higher by ")
        assert after.index("- `fft`") < after.index("- `bank`") < after.index("- `monarch`")
        assert "fft_padded`:" not in after

    def test_a_metric_that_is_better_high_is_compared_by_differences(self, tmp_path: Path) -> None:
        page = report(finished_study.write(tmp_path, column=finished_study.HIGH)).read_text()
        assert re.search(r"- `monarch` is \*\*better\*\*: higher by 2\.\d\d dB \(\d\.\d\d to \d\.\d\d dB\)", page)
        assert re.search(r"\| fft_padded \|.*\| the best baseline \|", page)
        assert re.search(r"\| monarch \|.* \*\*\+2\.\d\d\*\* \(\+", page)
        assert "difference to fft_padded (95 %)" in page

    def test_each_budget_has_results_equal_time_and_tuning(self, tmp_path: Path) -> None:
        page = report(finished_study.write(tmp_path)).read_text()
        for budget, epochs in ((30, 45), (120, 180)):
            part = section(page, f"{budget} epochs")
            results, equal, tuning = part.split("**In the slowest one's time.**")[0], *part.split("**Tuning**")
            assert line(results, "| monarch").startswith(f"| monarch | 152,353 | {budget} | 0.0")
            assert line(equal.split("time.**")[1], "| monarch").startswith(f"| monarch | 152,353 | {epochs} | 0.0")
            assert line(equal.split("time.**")[1], "| bank").startswith(f"| bank | 152,353 | {budget} | 0.0")
            assert "| bank | lr | 0.0025: 0.02583, **0.005: 0.0246**, 0.01: 0.02583 | yes | 5 |" in tuning
            assert "| bank | factor_lr | 0.0015: 0.02583, **0.003: 0.0246**, 0.006: 0.02583 | yes | 5 |" in tuning
            values = "0.01: 0.0315, 0.01414: 0.03038, **0.02: 0.03**, 0.02828: 0.03037, 0.04: 0.0315"
            assert f"| fft | lr | {values} | yes | 5 |" in tuning
            assert " and " not in tuning  # no trial away from the lines through the best

    def test_every_trial_is_in_the_page(self, tmp_path: Path) -> None:
        finished_study.write(tmp_path)

        def corner(row: dict[str, str]) -> dict[str, str]:
            away = (row["contender"], row["phase"], row["lr"]) == ("bank", "tune", "0.01")
            return row | {"factor_lr": "0.0015", "val": "0.0271"} if away else row

        edit(tmp_path / "study.csv", corner)
        assert "| bank | lr and factor_lr | 0.01 and 0.0015: 0.0271 | yes | 5 |" in report(tmp_path).read_text()

    def test_the_baseline_is_chosen_by_validation_error_not_by_test_error(self, tmp_path: Path) -> None:
        finished_study.write(tmp_path)

        def validates_better(row: dict[str, str]) -> dict[str, str]:
            lucky = row["contender"] == "fft" and row["phase"] != "tune"
            return row | {"val": "0.001"} if lucky else row

        edit(tmp_path / "study.csv", validates_better)
        said = "After 30 epochs, `fft` is the best baseline by validation error (relative L2 on test samples 0.03"
        assert said in report(tmp_path).read_text()

    def test_it_says_what_each_contender_is(self, tmp_path: Path) -> None:
        part = section(report(finished_study.write(tmp_path)).read_text(), "Contenders")
        assert "All: `fft.yaml`, `data.n_val: 9`." in part
        assert "- `fft`: nothing else" in part
        assert "- `fft_padded`: `model.net.domain_padding: 0.25`" in part
        assert '- `bank`: `model.net.bank: [{"init": "dft"}, {"init": "dct"}]`' in part

    def test_it_names_protocol_command_versions_and_the_first_machine(self, tmp_path: Path) -> None:
        page = report(finished_study.write(tmp_path)).read_text()
        assert section(page, "Protocol").count("\n- ") == 6
        assert "the median epoch of each run" in section(page, "Protocol")  # none was measured
        made = section(page, "How it was made")
        assert "    sciml study studies/walls.yaml" in made
        versions = r"sciml \S+( \(commit \S+\))?, torch \S+, neuraloperator \S+"
        assert re.search(rf"\d{{4}}-\d\d-\d\d; {versions}; .+ cores, 1 thread a run", made)
        (tmp_path / "machine.json").write_text('{"date": "2000-01-01", "torch": "0.1", "processor": "abacus"}')
        assert "2000-01-01; sciml ?, torch 0.1; abacus" in report(tmp_path).read_text()
        (tmp_path / "machine.json").unlink()
        assert "Versions and processor were not recorded." in report(tmp_path).read_text()

    def test_an_unfinished_study_says_what_is_missing(self, tmp_path: Path) -> None:
        finished_study.write(tmp_path)
        edit(tmp_path / "study.csv", lambda row: None if row["phase"] == "equal_time" else row)
        edit(tmp_path / "study.csv", lambda row: row if row["contender"] != "bank" or row["phase"] == "tune" else None)
        page = report(tmp_path).read_text()
        assert "- Not finished at 30 epochs: bank (0 of 3 seeds)." in page
        assert "In the time of the slowest" not in page

    def test_a_training_that_diverged_has_no_figure_and_no_verdict(self, tmp_path: Path) -> None:
        finished_study.write(tmp_path)

        def diverged(row: dict[str, str]) -> bool:
            return (row["contender"], row["phase"], row["seed"]) == ("monarch", "final", "1")

        edit(tmp_path / "study.csv", lambda row: row | {"val": "inf", "relative_l2": "inf"} if diverged(row) else row)
        edit(tmp_path / "samples.csv", lambda row: None if diverged(row) else row)
        page = report(tmp_path).read_text()
        assert "- `monarch`: no figures of its samples: a training diverged" in page
        assert re.search(r"\| monarch \| 152,353 \| 30 \| diverged \| – \|", page)

    def test_what_is_published_is_the_page_with_its_rows_and_figures(self, tmp_path: Path) -> None:
        finished_study.write(tmp_path / "study")
        with pytest.raises(BadSchema, match=r"report\.md: no such file.*sciml study"):
            publish(tmp_path / "study", tmp_path / "docs")
        report(tmp_path / "study")
        written = publish(tmp_path / "study", tmp_path / "docs")
        text = (tmp_path / "docs/walls.md").read_text()
        linked = {tmp_path / "docs" / link for link in re.findall(r"\]\(([^)]+)\)", text)}
        assert linked == set(written) - {tmp_path / "docs/walls.md"}
        assert all(path.is_file() for path in written)
        assert (tmp_path / "docs/walls.csv").read_bytes() == (tmp_path / "study/study.csv").read_bytes()


def test_what_is_no_study_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadSchema, match=r"study\.csv: no such file; expected the folder of a study"):
        report(tmp_path)
    finished_study.write(tmp_path)
    edit(tmp_path / "study.csv", lambda row: row if row["phase"] == "tune" else None)
    with pytest.raises(BadSchema, match=r"no run was tested for relative_l2 yet"):
        report(tmp_path)
    edit(tmp_path / "samples.csv", lambda row: row)
    text = (tmp_path / "samples.csv").read_text()
    (tmp_path / "samples.csv").write_text(text.replace("value", "worth", 1))
    with pytest.raises(CorruptFile, match=r"samples\.csv: no column value"):
        report(tmp_path)
    (tmp_path / "samples.csv").write_text(text)
    (tmp_path / "study.yaml").write_text(yaml.safe_dump({"name": "walls"}))
    with pytest.raises(CorruptFile, match=r"study\.yaml: no metric, contenders"):
        report(tmp_path)


@pytest.mark.parametrize("column", [finished_study.LOW, finished_study.HIGH], ids=["error", "PSNR"])
def test_figures_show_every_contender(tmp_path: Path, column: dict) -> None:
    records = Records(finished_study.write(tmp_path, column=column))
    for draw, panels in ((figures.error_against_time, 1), (figures.validation_curves, 4), (figures.intervals, 4)):
        figure = draw(records)
        assert isinstance(figure, Figure)
        assert len(figure.axes) == panels
        figure.draw_without_rendering()  # a warning is an error
    assert [label.get_text() for label in figures.intervals(records).axes[0].get_yticklabels()] == [
        *("fft", "monarch", "bank")
    ]
    (legend,) = figures.error_against_time(records).legends
    assert [text.get_text() for text in legend.get_texts()] == list(finished_study.TRUTH)


def test_seconds_are_those_of_what_a_run_starts_from_as_well(tmp_path: Path) -> None:
    finished_study.write(tmp_path)
    settings = yaml.safe_load((tmp_path / "study.yaml").read_text())
    settings["contenders"]["bank"]["from"] = "fft"
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(settings))
    records = Records(tmp_path)
    assert records.seconds(records.group("fft", "final", 30)) == 30
    assert records.seconds(records.group("bank", "final", 30)) == 30 + 90


@pytest.mark.usefixtures("undrawn")
class TestCautions:
    """What a reader is told before a difference is believed."""

    def cautions(self, folder: Path) -> list[str]:
        page = report(folder).read_text().split("Before you believe a difference:\n\n")
        return page[1].split("\n\n")[0].splitlines() if page[1:] else []

    def test_a_study_that_kept_to_its_protocol_has_none(self, tmp_path: Path) -> None:
        assert self.cautions(finished_study.write(tmp_path)) == []

    @pytest.mark.parametrize(
        ("contender", "more"), [("fft", "; it is a baseline, and ratios to it may flatter"), ("bank", "")]
    )
    def test_a_best_that_is_not_enclosed(self, tmp_path: Path, contender: str, more: str) -> None:
        finished_study.write(tmp_path)
        edit(tmp_path / "study.csv", lambda row: row | {"bracketed": "no"} if row["contender"] == contender else row)
        said = f"its best value is not enclosed, and a better one may lie beyond{more}."
        assert self.cautions(tmp_path) == [f"- `{contender}` at {budget} epochs: {said}" for budget in (30, 120)]

    def test_numbers_of_trials_that_differ(self, tmp_path: Path) -> None:
        finished_study.write(tmp_path)
        edit(tmp_path / "study.csv", lambda row: None if (row["phase"], row["lr"]) == ("tune", "0.04") else row)
        counts = "fft 4, fft_padded 5, monarch 5, bank 5"
        assert self.cautions(tmp_path) == [f"- Numbers of trials differ at {at} epochs: {counts}." for at in (30, 120)]

    def test_few_seeds_and_one_budget_and_unequal_times(self, tmp_path: Path) -> None:
        finished_study.write(tmp_path, seeds=2)
        settings = yaml.safe_load((tmp_path / "study.yaml").read_text()) | {"budgets": [30], "equal_time": False}
        (tmp_path / "study.yaml").write_text(yaml.safe_dump(settings))
        found = [line.split(":")[0] for line in self.cautions(tmp_path)]
        assert found == ["- Two seeds", "- One length of training", "- Times were not made equal"]

    def test_seeds_that_are_missing(self, tmp_path: Path) -> None:
        finished_study.write(tmp_path)
        last = {"contender": "monarch", "phase": "final", "budget": "30", "seed": "2"}
        edit(tmp_path / "study.csv", lambda row: None if last.items() <= row.items() else row)
        assert self.cautions(tmp_path) == ["- Not finished at 30 epochs: monarch (2 of 3 seeds)."]

    def test_a_figure_that_was_edited(self, tmp_path: Path) -> None:
        finished_study.write(tmp_path)
        final = {"contender": "monarch", "phase": "final", "budget": "30"}
        edit(tmp_path / "study.csv", lambda row: row | {"relative_l2": "0.01"} if final.items() <= row.items() else row)
        assert self.cautions(tmp_path) == ["- `monarch` at 30 epochs: its relative L2 is not the mean of its samples."]

    def test_trainings_in_no_row(self, tmp_path: Path) -> None:
        finished_study.write(tmp_path)
        for name in ("e30_lr0.5_s0_12345678", "e30_lr0.5_s1_12345678", "e3_lr0.5_s0_12345678_t0"):
            (tmp_path / "fft").mkdir(exist_ok=True)
            (tmp_path / f"fft/{name}.json").write_text("{}")
        (said,) = self.cautions(tmp_path)
        assert said.startswith("- 2 trainings in the study's folder are in no row")


def test_at_equal_time_only_the_slowest_stands_with_its_own_epochs(tmp_path: Path) -> None:
    """One whose longer training is not there yet has no figure."""
    finished_study.write(tmp_path)
    timed = {"contender": "monarch", "phase": "equal_time"}
    edit(tmp_path / "study.csv", lambda row: None if timed.items() <= row.items() else row)
    assert set(Records(tmp_path).groups("equal_time", 30)) == {"fft", "fft_padded", "bank"}


def test_samples_are_paired_by_their_numbers(tmp_path: Path) -> None:
    records = Records(finished_study.write(tmp_path))
    with (tmp_path / "samples.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    finished_study.table(tmp_path / "samples.csv", list(rows[0]), rows[::-1])
    again = Records(tmp_path)
    for name in ("monarch", "bank"):
        assert interval(records, name) == interval(again, name) is not None


def interval(records: Records, name: str) -> Interval | None:
    groups = records.groups("final", 30)
    return records.interval(groups[name], groups["fft"])


def test_what_is_no_number_is_named_with_its_line(tmp_path: Path) -> None:
    finished_study.write(tmp_path)
    edit(tmp_path / "study.csv", lambda row: row | {"val": "good"})
    with pytest.raises(CorruptFile, match=r"study\.csv: line 2: val: 'good'; run `sciml study` again"):
        report(tmp_path)
