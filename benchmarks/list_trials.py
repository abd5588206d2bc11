"""Every run that is kept in results/, as one Markdown table: what was tried, also what did not help.

python benchmarks/list_trials.py > docs/trials.md
"""

import json

from trials import RESULTS

DEFAULTS = {"weight_decay": 0.0, "factor_decay": 0.0, "augment": False}


def main() -> None:
    runs = [json.loads(path.read_text()) for path in RESULTS.glob("*/*.json")]
    runs.sort(key=lambda r: (r["problem"]["name"], r.get("augment", False), r["test"]))
    print("# Every trial\n\nSorted by test error. `python benchmarks/list_trials.py` writes this file.\n")
    print("| problem | transform | lr | factor lr | further settings | seed | parameters | train | val | test |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for r in runs:
        further = {**r["net"], **{k: r[k] for k, default in DEFAULTS.items() if r.get(k, default) != default}}
        settings = ", ".join(f"{k}={v}" for k, v in further.items())
        errors = " | ".join(f"{r[k]:.4f}" for k in ("train", "val", "test"))
        print(
            f"| {r['problem']['name']} | {r['transform']} | {r['lr']:g} | {r['factor_lr'] or '–'} | {settings} "
            f"| {r['seed']} | {r['parameters']:,} | {errors} |"
        )


if __name__ == "__main__":
    main()
