"""report.md and figures of a study, made of its study.csv, samples.csv and study.yaml alone."""

import json
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sciml.errors import BadSchema, listed
from sciml.io.atomic import replacing
from sciml.runs.files import replace_figures
from sciml.studies import figures, tables
from sciml.studies.machine import machine
from sciml.studies.records import Group, Records
from sciml.studies.statistics import verdict

DRAWINGS = {  # and what they show
    "ratio": (figures.intervals, "Against the best baseline, with 95 % intervals; filled where a difference is shown."),
    "error_against_time": (figures.error_against_time, "Test error against training time; hollow: equal time."),
    "tuning": (figures.validation_curves, "Validation error at each value that was tried; the best is ringed."),
}


def report(folder: str | os.PathLike[str]) -> Path:
    """Writes report.md and figures/*.png of a study into its folder; the path of report.md.

    The study may be unfinished: what is not there yet is left out, and the report says so. The processor and versions
    are those of the first report, kept in machine.json. A figure that cannot be drawn costs a warning.

    Raises BadSchema for a folder that is no study's, CorruptFile for files that hold something else.
    """
    records = Records(folder)
    path = records.folder / "report.md"
    drawings = [(name, lambda draw=draw: draw(records)) for name, (draw, _) in DRAWINGS.items()]
    drawn = replace_figures(records.folder / "figures", drawings, [f"{name}.png" for name in DRAWINGS])
    pictures = [f"![{n}](figures/{n}.png)\n\n{words}" for n, (_, words) in DRAWINGS.items() if f"{n}.png" in drawn]
    parts = [f"# {records.settings['name']}", *_conclusions(records), *pictures[:1]]
    for budget in records.budgets:
        parts += _budget(records, budget)
    parts += [*pictures[1:], "## Contenders", _contenders(records), "## Protocol", _protocol(records)]
    parts += ["## How it was made", _made(records)]
    with replacing(path) as temporary:
        temporary.write_text("\n\n".join(part.rstrip("\n") for part in parts) + "\n", encoding="utf-8")
    return path


def publish(folder: str | os.PathLike[str], where: str | os.PathLike[str]) -> list[Path]:
    """Copies a study's report, its rows and figures to NAME.md, NAME.csv and figures/NAME_*.png; what was written.

    Raises BadSchema where there is no report.
    """
    source, target = Path(folder), Path(where)
    page = source / "report.md"
    if not page.is_file():
        raise BadSchema(f"{page}: no such file; run `sciml study` to its end")
    name = str(Records(source).settings["name"])
    text = re.sub(r"\]\(figures/", f"](figures/{name}_", page.read_text(encoding="utf-8"))
    text = text.replace("](study.csv)", f"]({name}.csv)")
    copies = {source / "study.csv": target / f"{name}.csv"}
    for drawing in DRAWINGS:
        if (picture := source / "figures" / f"{drawing}.png").is_file():
            copies[picture] = target / "figures" / f"{name}_{drawing}.png"
    for original, copy in copies.items():
        with replacing(copy) as temporary:
            shutil.copyfile(original, temporary)
    with replacing(target / f"{name}.md") as temporary:
        temporary.write_text(text, encoding="utf-8")
    return [target / f"{name}.md", *copies.values()]


def _conclusions(records: Records) -> list[str]:
    """What each contender is against the best baseline: a list for each phase and budget."""
    found = []
    for phase, words in (("final", "After {} epochs"), ("equal_time", "In the time of the slowest at {} epochs")):
        for budget in records.budgets:
            groups = records.groups(phase, budget)
            baseline = records.best_baseline(groups)
            if baseline is None:
                continue
            best = f"{records.column.label}: {tables.figure(records, groups[baseline])}"
            others = (name for name in groups if name != baseline)
            lines = [f"- `{name}`: {_verdict(records, groups[name], groups[baseline])}" for name in others]
            head = f"{words.format(budget)}, `{baseline}` is the best baseline ({best}).\n"
            found.append("\n".join([head, *lines]))
    return found


def _verdict(records: Records, group: Group, baseline: Group) -> str:
    if group.values is None or baseline.values is None:
        return "no figures of its samples: a training diverged, or the runs keep none"
    unit = re.findall(r"\((.*)\)", records.column.label)
    digits = re.findall(r"\.(\d)", records.column.format)
    return verdict(records.interval(group, baseline), unit[0] if unit else "", int(digits[0]) if digits else 3)


def _budget(records: Records, budget: int) -> list[str]:
    parts = [f"## {budget} epochs"]
    for phase, words in (("final", ""), ("equal_time", "**In the slowest one's time.**")):
        groups = records.groups(phase, budget)
        if groups:
            parts += [words] * bool(words) + [tables.results(records, groups, records.best_baseline(groups))]
        missing = [name for name in records.contenders if name not in groups]
        if missing and phase == "final":
            parts.append(f"Not finished: {listed(missing)}.")
    if budget == records.budgets[0] or records.settings.get("tune_at") != "first":
        parts += ["**Tuning**, seed {}, validation samples.".format(records.settings["seeds"][0])]
        parts += [tables.tuning(records, budget)]
    return parts


def _contenders(records: Records) -> str:
    """What each is: the configurations and settings that all have, then what each has besides."""
    specs = records.settings["contenders"]
    every = {name: _parts(spec) for name, spec in specs.items()}
    common = [part for part in next(iter(every.values())) if all(part in parts for parts in every.values())]
    lines = [f"All: {', '.join(common) or 'nothing in common'}.\n"]
    for name, parts in every.items():
        own = [part for part in parts if part not in common]
        start = [f"starts from the run of `{specs[name]['from']}`"] if specs[name].get("from") else []
        lines.append(f"- `{name}`: {', '.join([*own, *start]) or 'nothing else'}")
    return "\n".join(lines)


def _parts(spec: Mapping[str, Any]) -> list[str]:
    settings = (f"`{key.replace('.init_args', '')}: {json.dumps(value)}`" for key, value in spec["set"].items())
    return [*(f"`{path}`" for path in spec["config"]), *settings]


def _protocol(records: Records) -> str:
    s = records.settings
    seeds, baselines = len(s["seeds"]), ", ".join(f"`{name}`" for name in s["baselines"])
    tuned = sorted({key for name in records.contenders for key in tables.tuned_keys(records, name)})
    step, at = s.get("factor", 2.0), "the first budget" if s.get("tune_at") == "first" else "each budget"
    lines = [
        f"Tuned on validation samples, at {at}: {', '.join(tuned) or 'nothing'}, by factors of {step:g}, until both "
        "neighbours of the best are worse; the same number of trials for all contenders.",
        f"{seeds} {'seed' if seeds == 1 else 'seeds'} at the best values; test samples are looked at only then.",
        f"Baselines: {baselines}; the best of them is the one of least validation error at that budget.",
        "Intervals (95 %) are of test samples, resampled in pairs, and of seeds, by Student's t; words only where the "
        "interval leaves out that both are the same (`sciml/studies/statistics.py`).",
        "± is the standard deviation over seeds; seconds and memory are of training, one run at a time where measured.",
    ]
    return "\n".join(f"- {line}" for line in lines)


def _made(records: Records) -> str:
    path = records.folder / "machine.json"
    if not path.is_file():
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(machine(), indent=1) + "\n", encoding="utf-8")
    about = json.loads(path.read_text(encoding="utf-8"))
    versions = ", ".join(f"{key} {value}" for key, value in about.items() if key not in ("date", "processor"))
    shipped = Path("configs/studies") / f"{records.settings['name']}.yaml"
    threads = records.settings.get("threads", 1)
    used = f"{threads} {'thread' if threads == 1 else 'threads'} a run"
    return (
        f"    sciml study {shipped if shipped.is_file() else shipped.name}\n\n"
        f"{about['date']}; {versions}; {about['processor']}, {used}.\n"
        "Every trial: [study.csv](study.csv)."
    )
