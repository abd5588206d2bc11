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
from sciml.studies.conclusions import cautions, conclusions
from sciml.studies.machine import sessions
from sciml.studies.records import Records

ENGINES = {
    "DaskEngine": " (of the study; its runs on a Dask cluster)",
    "SlurmEngine": " (of the study; its runs in jobs of SLURM)",
}
DRAWINGS = {  # and what they show
    "ratio": (figures.intervals, "Against the best baseline, with 95 % intervals; filled where a difference is shown."),
    "error_against_time": (figures.error_against_time, "Test error against training time; hollow: equal time."),
    "tuning": (figures.validation_curves, "Validation error at each value that was tried; the best is ringed."),
}


def report(folder: str | os.PathLike[str]) -> Path:
    """Writes report.md and figures/*.png of a study into its folder; the path of report.md.

    The study may be unfinished: what is not there yet is left out, and the report says so. Versions and processors are
    those that `run` recorded in machine.json. A figure that cannot be drawn costs a warning.

    Raises BadSchema for a folder that is no study's, CorruptFile for files that hold something else.
    """
    records = Records(folder)
    path = records.folder / "report.md"
    drawings = [(name, lambda draw=draw: draw(records)) for name, (draw, _) in DRAWINGS.items()]
    drawn = replace_figures(records.folder / "figures", drawings, [f"{name}.png" for name in DRAWINGS])
    pictures = [f"![{n}](figures/{n}.png)\n\n{words}" for n, (_, words) in DRAWINGS.items() if f"{n}.png" in drawn]
    parts = [f"# {records.settings['name']}", *conclusions(records)]
    if against := cautions(records):
        parts.append("Before you believe a difference:\n\n" + "\n".join(f"- {line}" for line in against))
    parts += pictures[:1]
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


def _budget(records: Records, budget: int) -> list[str]:
    parts = [f"## {budget} epochs"]
    for phase, words in (("final", ""), ("equal_time", "**In the slowest one's time.**")):
        groups = records.groups(phase, budget)
        if groups:
            parts += [words] * bool(words) + [tables.results(records, groups, records.best_baseline(groups))]
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
        f"neighbours of the best are worse or {s.get('trials', 9)} values were tried; all contenders get as many "
        "trials as the one that needs most.",
        f"{seeds} {'seed' if seeds == 1 else 'seeds'} at the best values; test samples are looked at only then.",
        f"Baselines: {baselines}; the best of them is the one of least validation error at that budget.",
        "Intervals (95 %) are of test samples, resampled in pairs, and of seeds, by Student's t; words only where the "
        "interval leaves out that both are the same (`sciml/studies/statistics.py`).",
        f"± is the standard deviation over seeds; seconds are of training alone, {_timing(records)}.",
    ]
    if s.get("equal_time", True):
        lines.append("In the slowest one's time the values are those tuned for the budget's epochs, not for more.")
    return "\n".join(f"- {line}" for line in lines)


def _timing(records: Records) -> str:
    """How seconds were measured; where the study file gives some, which."""
    known = records.settings.get("seconds_per_epoch") or {}
    given = [name for name in known if not any((records.folder / name).glob("*_t0.json"))]
    if not known:
        return "the median epoch of each run, beside whatever else ran"
    words = "measured in turns, with nothing else of the study running"
    return f"{words}; as the study file gives them for {listed(given)}" if given else words


def _made(records: Records) -> str:
    every = sessions(records.folder)
    file = every[0].get("file") if every else None
    lines = [f"    sciml study {file or records.settings['name'] + '.yaml'}\n"]
    lines += [_session(about, records.settings.get("threads", 1)) for about in every]
    if not every:
        lines.append("Versions and processor were not recorded.")
    return "\n".join([*lines, "Every trial: [study.csv](study.csv)."])


def _session(about: Mapping[str, str], threads: int) -> str:
    version = f"sciml {about.get('sciml', '?')}" + (f" (commit {about['commit']})" if "commit" in about else "")
    others = [f"{key} {about[key]}" for key in ("torch", "neuraloperator") if key in about]
    where = ENGINES.get(about.get("engine", ""), "")
    used = f"{threads} {'thread' if threads == 1 else 'threads'} a run"
    return f"{about.get('date', '?')}; {', '.join([version, *others])}; {about.get('processor', '?')}{where}, {used}.  "
