"""Does the learnable transform lower the error, once the fixed one is tuned? Writes runs/benchmarks/accuracy_NAME.*.

    python benchmarks/accuracy.py burgers [--augment] [--contenders FFT Monarch] [--jobs 2]

The learning rate of every contender is doubled or halved until both neighbours of the best are worse, by the error on
validation samples; the learned transform gets no more trials than the FFT got. Each then runs at its best with three
seeds, and the test error is reported. "FFT, widened" has at least Monarch's parameter count; "padded" is zero padding
by a quarter on each side. With --augment all train under the symmetries of their equation. Trials are kept in
runs/benchmarks/<problem>/, so the script resumes where it was stopped; list_trials.py makes one table of them.
"""

import argparse
from statistics import mean, stdev

from output import keep
from problems import BURGERS, NAVIER_STOKES
from trials import Problem, Trial, run_all

PROBLEMS = {p.name: p for p in (BURGERS, *NAVIER_STOKES.values())}
SEEDS = (0, 1, 2)


# First guesses; tuning moves the network's rate from there.
LR = {"burgers": 1e-2} | {p.name: 2e-2 for p in NAVIER_STOKES.values()}
MONARCH_LR = {"burgers": (1e-2, 3e-3)} | {p.name: (2e-2, 1e-2) for p in NAVIER_STOKES.values()}


def contenders(problem: Problem, augment: bool) -> dict[str, Trial]:
    fft = Trial(problem, LR[problem.name], augment=augment)
    lr, factor_lr = MONARCH_LR[problem.name]
    monarch = Trial(problem, lr, "monarch", factor_lr=factor_lr, augment=augment)
    chosen = {"FFT": fft, "FFT, widened": fft.at(net={"hidden_channels": widened(monarch)}), "Monarch": monarch}
    if problem is BURGERS:
        padding = {"domain_padding": 0.25}
        chosen |= {"FFT, padded": fft.at(net=padding), "Monarch, padded": monarch.at(net=padding)}
    return chosen


def tune(trial: Trial, jobs: int, most: int | None = None) -> tuple[Trial, list[dict]]:
    """The best trial by validation error, and all that was tried: at most `most`, else until both neighbours, half
    and twice the network's learning rate, are worse.
    """
    tried: dict[float, dict] = {}
    while True:
        nearby = [trial.at(lr=trial.lr * f) for f in (0.5, 1, 2)]
        missing = [t for t in nearby if t.lr not in tried][: None if most is None else most - len(tried)]
        tried |= {t.lr: r for t, r in zip(missing, run_all(missing, jobs), strict=True)}
        best = min((t for t in nearby if t.lr in tried), key=lambda t: tried[t.lr]["val"])
        if best == trial or not missing:
            return best, list(tried.values())
        trial = best


def widened(monarch: Trial) -> int:
    """The least width at which the FFT network has the learned one's parameters."""
    target, width = parameters(monarch), monarch.problem.width
    while parameters(Trial(monarch.problem, 1.0, net={"hidden_channels": width})) < target:
        width += 1
    return width


def parameters(trial: Trial) -> int:
    from trials import build_net

    from sciml.training.task import count_parameters

    return count_parameters(build_net(trial).parameters())


def compare(chosen: dict[str, Trial], jobs: int) -> list[dict]:
    """One row for each contender. The FFT comes first and says how many trials Monarch gets."""
    rows: list[dict] = []
    for name, trial in chosen.items():
        best, tried = tune(trial, jobs, most=rows[0]["trials"] if name.startswith("Monarch") else None)
        runs = run_all([best.at(seed=s) for s in SEEDS], jobs)
        errors = [r["test"] for r in runs]
        rows.append(
            {
                "name": name,
                "lr": best.lr,
                "factor_lr": best.factor_lr,
                "trials": len(tried),
                "tuning": {f"{r['lr']:g}": r["val"] for r in sorted(tried, key=lambda r: r["lr"])},
                "parameters": runs[0]["parameters"],
                "test": errors,
                "train": [r["train"] for r in runs],
                "mean": mean(errors),
                "std": stdev(errors),
            }
        )
        print(f"{trial.problem.name}: {name}: {mean(errors):.4f} ± {stdev(errors):.4f} at lr {best.lr:g}", flush=True)
    return rows


def table(problem: str, rows: list[dict]) -> str:
    """Markdown; the ratio is to the better of the FFT rows that were not widened."""
    base = min(r["mean"] for r in rows if r["name"].startswith("FFT") and r["name"] != "FFT, widened")
    lines = [
        f"### {problem}\n",
        "| transform | parameters | validation error at each lr | factor lr | test error, 3 seeds | training | ratio |",
        "|---|---|---|---|---|---|---|",
    ]
    for r in rows:
        bold = {lr: "**" if float(lr) == r["lr"] else "" for lr in r["tuning"]}
        tuning = ", ".join(f"{bold[lr]}{lr}: {error:.4f}{bold[lr]}" for lr, error in r["tuning"].items())
        factor = "–" if r["factor_lr"] is None else f"{r['factor_lr']:g}"
        lines.append(
            f"| {r['name']} | {r['parameters']:,} | {tuning} | {factor} | {r['mean']:.4f} ± {r['std']:.4f} "
            f"| {mean(r['train']):.4f} | {r['mean'] / base:.2f} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("problem", choices=PROBLEMS)
    parser.add_argument("--augment", action="store_true")
    parser.add_argument("--contenders", nargs="+")
    parser.add_argument("--jobs", type=int, default=2)
    arguments = parser.parse_args()
    every = contenders(PROBLEMS[arguments.problem], arguments.augment)
    unknown = set(arguments.contenders or ()) - set(every)
    if unknown:
        parser.error(f"--contenders {sorted(unknown)}: there are {list(every)}")
    rows = compare({k: every[k] for k in arguments.contenders or every}, arguments.jobs)
    title = arguments.problem + (" augmented" if arguments.augment else "")
    keep(f"accuracy_{title.replace(' ', '_')}", {"rows": rows}, table(title, rows))


if __name__ == "__main__":
    main()
