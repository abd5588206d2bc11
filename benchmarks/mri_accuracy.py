"""Does a learned transform help a reconstruction, once its FFT twin is tuned? Writes runs/benchmarks/mri_*.

    python benchmarks/mri_accuracy.py knees sense|modl|varnet [--jobs 2]
    python benchmarks/mri_accuracy.py knees where|efficiency

Learning rates are tuned by PSNR on held-out training subjects, as in accuracy.py; the learned transform gets no more
trials than the FFT, and the λ of CG-SENSE and L1-wavelet is tuned as well. Each contender then trains at its best on
all training subjects with three seeds, and the test subjects are reported. The transform in question is that of
VarNet's start, and MoDL's only one; "FFT, widened" has U-Nets with at least Monarch's parameter count. `where` puts the
learned transform in other places of both networks, at fixed rates, on validation subjects. `efficiency` trains on 1, 2,
5 and 14 subjects, Monarch SENSE and U-Net for the same number of steps, and Monarch SENSE also for four times as many,
which takes the U-Net's time. Trials are kept in runs/benchmarks/<problem>/.
"""

import argparse
from statistics import mean, stdev

from accuracy import SEEDS, tune
from mri_trials import NETWORKS, MRIProblem, MRITrial, build
from output import keep
from trials import run_all

PROBLEMS = {
    name: MRIProblem(name, tune=f"data/{name}_tune", final=f"data/{name}_final") for name in ("knees", "brains")
}
CLASSICAL = {"CG-SENSE": "cg-sense", "L1-wavelet": "l1-wavelet"}
LR = {"varnet": 3e-3, "modl": 4.8e-2}  # first guesses
LEARNED = {  # where the learned transform stands: the best place by `where` (docs/decisions/0008)
    "varnet": {"start": "monarch", "factor_lr": 1e-2},
    "modl": {"transform": "monarch", "start": None, "factor_lr": 1e-3},  # None: what is in the normal equations
}
WEIGHTS = [1e-4 * 3**k for k in range(8)]  # λ of the classical methods
SUBJECTS = (1, 2, 5, 14)
STEPS = 600


def contenders(problem: MRIProblem, network: str) -> dict[str, MRITrial]:
    """First guesses; tuning moves the network's learning rate from there."""
    if network == "sense":  # its only parameters are the factors
        zero_filled = MRITrial(problem, 1e-2, "sense", epochs=0)
        return {"zero-filled": zero_filled, "Monarch": zero_filled.at(epochs=150, transform="monarch", loss="l1")}
    fft = MRITrial(problem, LR[network], network, start="fft")
    monarch = fft.at(**LEARNED[network])
    return {"FFT": fft, "Monarch": monarch, "FFT, widened": fft.at(net={"chans": widened(monarch)})}


def widened(monarch: MRITrial) -> int:
    """The least number of U-Net channels at which the FFT network has the learned one's parameters."""
    target, chans = parameters(monarch), NETWORKS[monarch.network]["chans"]
    while parameters(monarch.at(transform="fft", start="fft", net={"chans": chans})) < target:
        chans += 1
    return chans


def parameters(trial: MRITrial) -> int:
    return sum(p.numel() for p in build(trial).parameters())


def compare(chosen: dict[str, MRITrial], jobs: int) -> list[dict]:
    rows: list[dict] = []
    for name, trial in chosen.items():
        most = len(rows[0]["tuning"]) if name == "Monarch" and rows[0]["name"] == "FFT" else None
        best, tried = tune(trial, jobs, most) if trial.epochs else (trial, run_all([trial], jobs))
        runs = run_all([best.at(seed=s, final=True) for s in (SEEDS if trial.epochs else SEEDS[:1])], jobs)
        rows.append(row(name, best, runs, {f"{r['lr']:g}": r for r in sorted(tried, key=lambda r: r["lr"])}))
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
        weighed = {f"{lam:.1e}": r for lam, r in zip(WEIGHTS, tried, strict=True)}
        rows.append(row(f"{name}, λ = {best.net['lam']:.1e}", best, [run], weighed))
    return rows


def places(problem: MRIProblem, jobs: int) -> list[dict]:
    """Where in a network the learned transform stands: one seed, one rate, validation subjects."""
    variants = {
        "varnet": {
            "FFT, zero-filled start": {"start": None},
            "FFT": {},
            "Monarch start": LEARNED["varnet"],
            "Monarch cascades": {"transform": "monarch", "factor_lr": 1e-3},
            "Monarch in both": {**LEARNED["varnet"], "transform": "monarch"},
            "Monarch start, one head": {**LEARNED["varnet"], "fourier": {"heads": 1}},
        },
        "modl": {
            "FFT": {},
            "Monarch start": {"start": "monarch", "factor_lr": 1e-2},
            "Monarch normal equations": {**LEARNED["modl"], "start": "fft"},
        },
    }
    rows = []
    for network, changed in variants.items():
        for name, changes in changed.items():
            trial = MRITrial(problem, 3e-3, network, **{"start": "fft", **changes})
            rows.append(row(f"{network}: {name}", trial, run_all([trial], jobs)))
    return rows


def efficiency(problem: MRIProblem, jobs: int) -> list[dict]:
    """Few subjects, one seed; learning rates as tuned on all (SENSE) or in fastMRI (U-Net: 1e-3)."""
    rows = []
    for n in SUBJECTS:
        few = {"n_train": n, "final": True, "epochs": STEPS // n, "loss": "l1"}
        trials = {
            "Monarch SENSE": (monarch := MRITrial(problem, 1e-2, "sense", "monarch", **few)),
            "Monarch SENSE, 4 times the steps": monarch.at(epochs=4 * monarch.epochs),
            "U-Net": MRITrial(problem, 1e-3, "unet", **few),
        }
        for name, run in zip(trials, run_all(trials.values(), jobs), strict=True):
            rows.append(row(f"{name}, {n} subjects", trials[name], [run]))
    return rows


def row(name: str, trial: MRITrial, runs: list[dict], tried: dict[str, dict] | None = None) -> dict:
    """What the table and the JSON say of a trial's runs, one a seed, and of those `tried` for its rate (or λ)."""
    return {
        "name": name,
        "lr": trial.lr,
        "factor_lr": trial.factor_lr,
        "tuning": {value: -r["val"] for value, r in (tried or {}).items()},
        **{key: [r[key] for r in runs] for key in ("psnr", "ssim", "nmse", "seconds")},
        "parameters": runs[0]["parameters"],
    }


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
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("problem", choices=PROBLEMS)
    parser.add_argument("study", choices=("sense", "modl", "varnet", "where", "efficiency"))
    parser.add_argument("--jobs", type=int, default=2)
    asked = parser.parse_args()
    problem = PROBLEMS[asked.problem]
    if asked.study in ("efficiency", "where"):
        rows = {"efficiency": efficiency, "where": places}[asked.study](problem, asked.jobs)
    else:
        rows = compare(contenders(problem, asked.study), asked.jobs)
        rows[1:1] = classical(problem, asked.jobs) if asked.study == "sense" else []
    keep(f"mri_{asked.problem}_{asked.study}", {"rows": rows}, table(f"{asked.problem}, {asked.study}", rows))


if __name__ == "__main__":
    main()
