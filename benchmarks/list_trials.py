"""Every trial of a comparison as CSV, a row each: what was tuned, what it gave, also what did not help.

    python benchmarks/list_trials.py runs/benchmarks/burgers > docs/results/burgers.csv

Takes the folders in which accuracy.py or mri_accuracy.py keep their trials, of one of the two. A field is empty where
the trial has the default; columns without any entry are left out.
"""

import argparse
import csv
import json
import sys
from pathlib import Path

ORDER = ("problem", "judged_on", "n_train", "epochs", "augment", "network", "transform", "start", "settings")
ORDER += ("loss", "factor_decay", "lr", "factor_lr", "seed")  # columns and, in this order, what rows are sorted by


def trial(path: Path) -> dict:
    """The row of one file. An MRI trial has its number of subjects and epochs itself, others in their problem."""
    run = json.loads(path.read_text())
    problem = run.pop("problem")
    options = {**run.pop("fourier", {}), **run.pop("net")}
    row = {"problem": problem["name"], **{k: problem[k] for k in ("n_train", "epochs") if k in problem}, **run}
    row["settings"] = " ".join(f"{name}={text(value)}" for name, value in options.items())
    if "psnr" in row:  # what is tuned by: the PSNR, with its sign changed
        del row["val"]
    if "final" in row:
        row["judged_on"] = "test" if row.pop("final") else "validation"
    return row


def text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else ""
    if isinstance(value, float):
        return f"{value:.6g}" if value else ""
    return "" if value is None else str(value)


def place(row: dict) -> list:
    """Numbers before names; what is missing before both."""
    found = [row.get(name) or "" for name in ORDER]
    return [(isinstance(value, str) and value != "", value or 0) for value in found]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    folders = parser.parse_args().folders
    rows = sorted((trial(path) for folder in folders for path in folder.glob("*.json")), key=place)
    if not rows:
        parser.error(f"no trials (*.json) in {', '.join(map(str, folders))}: give folders that accuracy.py wrote")
    columns = list(dict.fromkeys([*ORDER, *(name for row in rows for name in row)]))
    written = [{name: text(row.get(name)) for name in columns} for row in rows]
    used = [name for name in columns if any(row[name] for row in written)]
    writer = csv.DictWriter(sys.stdout, used, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(written)


if __name__ == "__main__":
    main()
