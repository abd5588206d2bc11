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


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing takes most of the time."""
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
        assert "`fft_padded` is the best baseline (relative L2: 0.02" in after
        found = re.match(r"- `monarch`: lower by (\d+) % \((\d+) to (\d+) %\)", line(after, "- `monarch`"))
        assert found, after
        assert int(found[2]) <= 25 <= int(found[3])  # 0.6 to 0.8
        assert line(after, "- `fft`").startswith("- `fft`: higher by ")
        assert "fft_padded`:" not in after

    def test_a_metric_that_is_better_high_is_compared_by_differences(self, tmp_path: Path) -> None:
        page = report(finished_study.write(tmp_path, column=finished_study.HIGH)).read_text()
        assert re.search(r"- `monarch`: higher by 2\.\d\d dB \(\d\.\d\d to \d\.\d\d dB\)", page)
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
            assert "| fft | lr | 0.01: 0.0315, **0.02: 0.03**, 0.04: 0.0315 | yes | 3 |" in tuning

    def test_the_baseline_is_chosen_by_validation_error_not_by_test_error(self, tmp_path: Path) -> None:
        finished_study.write(tmp_path)

        def validates_better(row: dict[str, str]) -> dict[str, str]:
            lucky = row["contender"] == "fft" and row["phase"] != "tune"
            return row | {"val": "0.001"} if lucky else row

        edit(tmp_path / "study.csv", validates_better)
        assert "After 30 epochs, `fft` is the best baseline (relative L2: 0.03" in report(tmp_path).read_text()

    def test_it_says_what_each_contender_is(self, tmp_path: Path) -> None:
        part = section(report(finished_study.write(tmp_path)).read_text(), "Contenders")
        assert "All: `fft.yaml`, `data.n_val: 9`." in part
        assert "- `fft`: nothing else" in part
        assert "- `fft_padded`: `model.net.domain_padding: 0.25`" in part
        assert '- `bank`: `model.net.bank: [{"init": "dft"}, {"init": "dct"}]`' in part

    def test_it_names_protocol_command_versions_and_the_first_machine(self, tmp_path: Path) -> None:
        page = report(finished_study.write(tmp_path)).read_text()
        assert section(page, "Protocol").count("\n- ") == 5
        made = section(page, "How it was made")
        assert "    sciml study walls.yaml" in made
        assert re.search(r"\d{4}-\d\d-\d\d; sciml \S+, torch \S+, neuraloperator \S+; .+ cores, 1 thread a run", made)
        (tmp_path / "machine.json").write_text('{"date": "2000-01-01", "torch": "0.1", "processor": "abacus"}')
        assert "2000-01-01; torch 0.1; abacus" in report(tmp_path).read_text()

    def test_an_unfinished_study_says_what_is_missing(self, tmp_path: Path) -> None:
        finished_study.write(tmp_path)
        edit(tmp_path / "study.csv", lambda row: None if row["phase"] == "equal_time" else row)
        edit(tmp_path / "study.csv", lambda row: row if row["contender"] != "bank" or row["phase"] == "tune" else None)
        page = report(tmp_path).read_text()
        assert "Not finished: bank." in section(page, "30 epochs")
        assert "slowest" not in page

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
        figure.savefig(tmp_path / "figure.png")  # a warning is an error
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
