"""Does a learned transform help a reconstruction, once its FFT twin is tuned? Writes results/mri_*.{json,md}.

    python benchmarks/mri_accuracy.py knees sense|modl|varnet [--jobs 2]
    python benchmarks/mri_accuracy.py knees efficiency

Learning rates are tuned by PSNR on held-out training subjects, as in accuracy.py; the learned transform gets no more
trials than the FFT, and the λ of CG-SENSE and L1-wavelet is tuned as well. Each contender then trains at its best on
all training subjects with three seeds, and the test subjects are reported. "FFT, widened" has U-Nets with at least
Monarch's parameter count. `efficiency` trains on 1, 2, 5 and 14 subjects, Monarch SENSE and U-Net for the same number
of steps. Runs are kept in results/<problem>/.
"""

import argparse
import json
import platform
from datetime import date
from statistics import mean, stdev

from accuracy import SEEDS, tune
from mri_trials import NETWORKS, MRIProblem, MRITrial, build
from trials import RESULTS, run_all

PROBLEMS = {
    name: MRIProblem(name, tune=f"data/{name}_tune", final=f"data/{name}_final") for name in ("knees", "brains")
}
CLASSICAL = {"CG-SENSE": "cg-sense", "L1-wavelet": "l1-wavelet"}
WEIGHTS = [1e-4 * 3**k for k in range(8)]  # λ of the classical methods
SUBJECTS = (1, 2, 5, 14)
STEPS = 150 * 14


def contenders(problem: MRIProblem, network: str) -> dict[str, MRITrial]:
    """First guesses, from pilot runs; tuning moves the network's learning rate from there."""
    if network == "sense":  # its only parameters are the factors
        zero_filled = MRITrial(problem, 1e-2, "sense", epochs=0)
        return {"zero-filled": zero_filled, "Monarch": zero_filled.at(epochs=150, transform="monarch", loss="l1")}
    fft = MRITrial(problem, 3e-3, network)
    monarch = fft.at(transform="monarch", factor_lr=3e-4)
    return {"FFT": fft, "Monarch": monarch, "FFT, widened": fft.at(net={"chans": widened(monarch)})}


def widened(monarch: MRITrial) -> int:
    """The least number of U-Net channels at which the FFT network has the learned one's parameters."""
    target, chans = parameters(monarch), NETWORKS[monarch.network]["chans"]
    while parameters(monarch.at(transform="fft", net={"chans": chans})) < target:
        chans += 1
    return chans


def parameters(trial: MRITrial) -> int:
    return sum(p.numel() for p in build(trial).parameters())


def compare(chosen: dict[str, MRITrial], jobs: int) -> list[dict]:
    rows: list[dict] = []
    for name, trial in chosen.items():
        most = rows[0]["trials"] if name == "Monarch" and rows[0]["trials"] > 1 else None
        best, tried = tune(trial, jobs, most) if trial.epochs else (trial, run_all([trial], jobs))
        runs = run_all([best.at(seed=s, final=True) for s in (SEEDS if trial.epochs else SEEDS[:1])], jobs)
        tuning = {f"{r['lr']:g}": -r["val"] for r in sorted(tried, key=lambda r: r["lr"])}
        rows.append({"name": name, "lr": best.lr, "factor_lr": best.factor_lr, "trials": len(tried), "tuning": tuning})
        rows[-1] |= {key: [r[key] for r in runs] for key in ("psnr", "ssim", "nmse", "seconds")}
        rows[-1]["parameters"] = runs[0]["parameters"]
        print(line(rows[-1], rows[0]), flush=True)
    return rows


def classical(problem: MRIProblem, jobs: int) -> list[dict]:
    """CG-SENSE and L1-wavelet, each with the λ that is best on the validation subjects."""
    rows = []
    for name, network in CLASSICAL.items():
        trials = [MRITrial(problem, 0.0, network, epochs=0, net={"lam": lam}) for lam in WEIGHTS]
        tried = run_all(trials, jobs)
        best = min(zip(trials, tried, strict=True), key=lambda pair: pair[1]["val"])[0]
        run = run_all([best.at(final=True)], jobs)[0]
        tuning = {f"{lam:.1e}": -r["val"] for lam, r in zip(WEIGHTS, tried, strict=True)}
        rows.append({"name": f"{name}, λ = {best.net['lam']:.1e}", "lr": None, "factor_lr": None, "tuning": tuning})
        rows[-1] |= {key: [run[key]] for key in ("psnr", "ssim", "nmse", "seconds")} | {"parameters": 0}
    return rows


def efficiency(problem: MRIProblem, jobs: int) -> list[dict]:
    """Few subjects, one seed; learning rates as tuned on all (SENSE) or in fastMRI (U-Net: 1e-3)."""
    rows = []
    for n in SUBJECTS:
        few = {"n_train": n, "final": True, "epochs": STEPS // n, "loss": "l1"}
        trials = {
            "Monarch SENSE": MRITrial(problem, 1e-2, "sense", "monarch", **few),
            "U-Net": MRITrial(problem, 1e-3, "unet", **few),
        }
        for name, run in zip(trials, run_all(trials.values(), jobs), strict=True):
            rows.append({"name": f"{name}, {n} subjects", "lr": trials[name].lr, "factor_lr": None, "tuning": {}})
            rows[-1] |= {key: [run[key]] for key in ("psnr", "ssim", "nmse", "seconds")}
            rows[-1]["parameters"] = run["parameters"]
    return rows


def line(row: dict, base: dict) -> str:
    best = max(row["tuning"], key=row["tuning"].__getitem__, default=None)
    bold = {value: "**" if value == best else "" for value in row["tuning"]}
    tuning = ", ".join(f"{bold[lr]}{lr}: {psnr:.2f}{bold[lr]}" for lr, psnr in row["tuning"].items()) or "–"
    factor = "–" if row["factor_lr"] is None else f"{row['factor_lr']:g}"
    gain = mean(row["psnr"]) - mean(base["psnr"]), mean(row["ssim"]) - mean(base["ssim"])
    return (
        f"| {row['name']} | {row['parameters']:,} | {tuning} | {factor} | {spread(row['psnr'], 2)} | "
        f"{spread(row['ssim'], 4)} | {spread(row['nmse'], 4)} | {gain[0]:+.2f} dB, {gain[1]:+.4f} |"
    )


def spread(values: list[float], digits: int) -> str:
    deviation = f" ± {stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{mean(values):.{digits}f}{deviation}"


def table(title: str, rows: list[dict]) -> str:
    columns = ["method", "parameters", "validation PSNR at each lr (λ)", "factor lr", "PSNR", "SSIM", "NMSE", "gain"]
    head = [f"### {title}\n", f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    return "\n".join([*head, *(line(row, rows[0]) for row in rows)])


def main() -> None:
    import torch

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("problem", choices=PROBLEMS)
    parser.add_argument("study", choices=("sense", "modl", "varnet", "efficiency"))
    parser.add_argument("--jobs", type=int, default=2)
    asked = parser.parse_args()
    problem = PROBLEMS[asked.problem]
    if asked.study == "efficiency":
        rows = efficiency(problem, asked.jobs)
    else:
        rows = compare(contenders(problem, asked.study), asked.jobs)
        rows[1:1] = classical(problem, asked.jobs) if asked.study == "sense" else []
    about = {"date": date.today().isoformat(), "torch": torch.__version__, "machine": platform.machine()}
    target = RESULTS / f"mri_{asked.problem}_{asked.study}"
    target.with_suffix(".json").write_text(json.dumps({**about, "rows": rows}, indent=1) + "\n")
    target.with_suffix(".md").write_text(table(f"{asked.problem}, {asked.study}", rows) + "\n")
    print(table(f"{asked.problem}, {asked.study}", rows))


if __name__ == "__main__":
    main()
