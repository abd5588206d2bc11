"""Every run that is kept in results/, as one Markdown table: what was tried, also what did not help.

python benchmarks/list_trials.py > docs/trials.md
"""

import json

from trials import RESULTS

DEFAULTS = {"weight_decay": 0.0, "factor_decay": 0.0, "augment": False}


MRI_DEFAULTS = {"loss": "ssim", "n_train": None, "start": None, "fourier": {}, "net": {}}


def main() -> None:
    paths = sorted(RESULTS.glob("*/*.json"))
    runs = [{"folder": path.parent.name, **json.loads(path.read_text())} for path in paths]
    print("# Every trial\n\n`python benchmarks/list_trials.py > docs/trials.md` writes this file.\n")
    list_pde([r for r in runs if "test" in r])
    print()
    list_mri([r for r in runs if "psnr" in r])


def list_pde(runs: list[dict]) -> None:
    """By test error, the relative L2."""
    print("## PDE\n\n| problem | transform | lr | factor lr | further settings | seed | parameters ", end="")
    print("| train | val | test |\n" + "|---" * 10 + "|")
    for r in sorted(runs, key=lambda r: (r["problem"]["name"], r.get("augment", False), r["test"])):
        further = {**r["net"], **{k: r[k] for k, default in DEFAULTS.items() if r.get(k, default) != default}}
        errors = " | ".join(f"{r[k]:.4f}" for k in ("train", "val", "test"))
        print(f"| {start(r, settings(further))} | {errors} |")


def list_mri(runs: list[dict]) -> None:
    """By PSNR; validation runs train on fewer subjects and are judged on others than test runs."""
    print("## MRI\n")
    print("`…_mirrored`: by the program as of a24cac9. Objects were mirrored only, VarNet estimated its coil maps and")
    print("its U-Nets did not start as zero; not to be compared with the others.\n")
    print("| problem, network | transform | lr | factor lr | further settings | seed | parameters ", end="")
    print("| judged on | PSNR | SSIM | NMSE |\n" + "|---" * 11 + "|")
    for r in sorted(runs, key=lambda r: (r["folder"], r["network"], r["final"], -r["psnr"])):
        r["problem"]["name"] = f"{r['folder']}, {r['network']}"
        further = {"epochs": r["epochs"], **{k: r[k] for k, d in MRI_DEFAULTS.items() if r.get(k, d) != d}}
        found = f"{'test' if r['final'] else 'validation'} | {r['psnr']:.2f} | {r['ssim']:.4f} | {r['nmse']:.4f}"
        print(f"| {start(r, settings(further))} | {found} |")


def start(r: dict, further: str) -> str:
    """The columns that both tables have."""
    return (
        f"{r['problem']['name']} | {r['transform']} | {r['lr']:g} | {r['factor_lr'] or '–'} | {further} "
        f"| {r['seed']} | {r['parameters']:,}"
    )


def settings(further: dict) -> str:
    return ", ".join(f"{k}={v}" for k, v in further.items())


if __name__ == "__main__":
    main()
