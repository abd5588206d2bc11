"""The folder of a study that has ended, as `sciml.studies.run` leaves it, with figures that are known."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from sciml.studies.machine import record_session

TRUTH = {"fft": 1.0, "fft_padded": 0.8, "monarch": 0.6, "bank": 0.82}  # of the metric, to that of fft
BEST = {"fft": 0.02, "fft_padded": 0.01, "monarch": 0.01, "bank": 0.005}
SECONDS = {"fft": 1.0, "fft_padded": 1.3, "monarch": 2.0, "bank": 3.0}
LOW = {"key": "relative_l2", "label": "relative L2", "format": ".4f", "better": "low"}
HIGH = {"key": "psnr", "label": "PSNR (dB)", "format": ".2f", "better": "high"}
HEADER = "study contender phase budget epochs seed lr factor_lr val {} parameters seconds_per_epoch seconds"
SET = {
    "fft_padded": {"model.init_args.net.init_args.domain_padding": 0.25},
    "monarch": {"model.init_args.net.init_args.transform": "monarch"},
    "bank": {"model.init_args.net.init_args.bank": [{"init": "dft"}, {"init": "dct"}]},
}
LR, FACTOR = "model.init_args.optimizer.init_args.lr", "model.init_args.factor_lr"


def write(folder: Path, *, column: dict[str, Any] = LOW, seeds: int = 3, samples: int = 40) -> Path:
    """Budgets of 30 and 120 epochs, equal time; of an error, or of a PSNR with the logarithm of the same error."""
    rng = np.random.default_rng(0)
    hard = rng.normal(0, 0.3, samples)
    rows, of_samples = [], []
    for contender in TRUTH:
        for budget in (30, 120):
            for lr, factor in trials(contender):
                rows.append(row(contender, "tune", budget, budget, 0, lr, factor) | {"val": val(contender, lr, factor)})
            for phase, epochs in (("final", budget), ("equal_time", round(budget * 3 / SECONDS[contender]))):
                if phase == "final" or contender != "bank":
                    for seed in range(seeds):
                        error = 0.03 * TRUTH[contender] * (30 / epochs) ** 0.4 * np.exp(hard + rng.normal(0, 0.01))
                        error *= np.exp(rng.normal(0, 0.05, samples))
                        values = -20 * np.log10(error) if column is HIGH else error
                        at = row(contender, phase, budget, epochs, seed, BEST[contender], 0.003)
                        rows.append(at | {"val": error.mean(), column["key"]: values.mean()})
                        key = {name: at[name] for name in ("contender", "phase", "budget", "seed")}
                        of_samples += [key | {"sample": n, "value": v} for n, v in enumerate(values)]
    header = [*HEADER.format(column["key"]).split(), "peak_memory_mb", "bracketed", "run"]
    table(folder / "study.csv", header, rows)
    table(folder / "samples.csv", ["contender", "phase", "budget", "seed", "sample", "value"], of_samples)
    (folder / "study.yaml").write_text(yaml.safe_dump(settings(column, seeds), sort_keys=False))
    run = folder / next(row["run"] for row in rows if row["phase"] == "final")
    run.mkdir(parents=True)
    record_session(folder, file="studies/walls.yaml", engine="LocalEngine")
    (run / "metrics.json").write_text(json.dumps({"measures": {"columns": [column], "series": [], "groups": []}}))
    return folder


def table(path: Path, header: list[str], rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, header)
        writer.writeheader()
        writer.writerows(rows)


def trials(contender: str) -> list[tuple[float, float]]:
    """Five each: of both keys, or with two more between the values of the one."""
    between = [(float(f"{BEST[contender] * 2**k:.4g}"), 0.003) for k in (-0.5, 0.5)]
    found = [(BEST[contender] * 2**k, 0.003) for k in (-1, 0, 1)]
    return found + ([(BEST[contender], 0.0015), (BEST[contender], 0.006)] if learned(contender) else between)


def val(contender: str, lr: float, factor: float) -> float:
    away = np.log2(lr / BEST[contender]) ** 2 + np.log2(factor / 0.003) ** 2
    return 0.03 * TRUTH[contender] * (1 + 0.05 * away)


def learned(contender: str) -> bool:
    return contender in ("monarch", "bank")


def row(contender: str, phase: str, budget: int, epochs: int, seed: int, lr: float, factor: float) -> dict[str, Any]:
    return {
        "study": "walls", "contender": contender, "phase": phase, "budget": budget, "epochs": epochs, "seed": seed,
        "lr": lr, "factor_lr": factor if learned(contender) else "", "parameters": 152353,
        "seconds_per_epoch": SECONDS[contender], "seconds": SECONDS[contender] * epochs, "peak_memory_mb": 601.5,
        "bracketed": "yes", "run": f"{contender}/{phase}{budget}_{seed}_{lr}_{factor}",
    }  # fmt: skip


def settings(column: dict[str, Any], seeds: int) -> dict[str, Any]:
    tune = {name: {LR: 0.01} | ({FACTOR: 0.003} if learned(name) else {}) for name in TRUTH}
    return {
        "name": "walls", "metric": column["key"], "budgets": [30, 120], "seeds": list(range(seeds)), "factor": 2.0,
        "baselines": ["fft", "fft_padded"], "trials": 9, "tune_at": "each", "equal_time": True, "threads": 1,
        "contenders": {
            name: {"config": ["fft.yaml"], "set": {"data.init_args.n_val": 9} | SET.get(name, {}), "tune": tune[name]}
            for name in TRUTH
        },
    }  # fmt: skip
