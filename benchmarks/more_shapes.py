"""The spectral layer on fields of one to three axes: neuralop's, the fixed transform by either way, the learned one.

    python benchmarks/more_shapes.py [--threads 2] [--repeats 7] [--default-memory]

Medians of interleaved repeats in one process, float32, with freed memory kept as `sciml fit` does it unless
--default-memory is given. The fixed transform (`FourierTransform`) is measured by FFTs and by matrix products;
"loss" is the time of what backend="auto" chooses (`sciml.kernels.dispatch`) over that of the better one.
Writes runs/benchmarks/more_shapes.json and .md, or more_shapes_default_memory.
"""

import argparse

import torch
from neuralop.layers.spectral_convolution import SpectralConv
from output import keep
from spectral_conv import both, forward, medians

from sciml.kernels import dispatch
from sciml.pde.models.spectral_conv import MonarchSpectralConv
from sciml.training.memory import keep_freed_memory
from sciml.transforms import FourierTransform

FIELDS = [  # batch, channels, grid
    (20, 32, (128,)), (20, 64, (512,)), (20, 64, (1024,)), (20, 64, (8192,)),
    (16, 32, (32, 32)), (16, 32, (64, 64)), (8, 32, (128, 128)), (4, 32, (256, 256)), (2, 16, (512, 512)),
    (4, 16, (32, 32, 32)), (2, 16, (64, 64, 64)),
]  # fmt: skip
MODES = (16, 32, 64)
SHAPES = [(*field, modes) for field in FIELDS for modes in MODES if modes <= field[2][0]]


def measure(shape: tuple[int, int, tuple[int, ...], int], repeats: int) -> dict:
    batch, channels, grid, modes = shape
    x = torch.randn(batch, channels, *grid)
    conv = SpectralConv(channels, channels, (modes,) * len(grid))
    made = MonarchSpectralConv.from_spectral_conv
    modules = {
        "neuralop": conv,
        "fixed, by FFTs": made(conv, grid, transform=FourierTransform),
        "fixed, by products": made(conv, grid, transform=FourierTransform),
        "learned": made(conv, grid),
        "learned, a head per channel": made(conv, grid, channels),
    }
    modules["fixed, by FFTs"].backend, modules["fixed, by products"].backend = "fft", "torch"
    row: dict = {"shape": shape}
    for quantity, measured in (("forward", forward), ("forward+backward", both)):
        times = medians({name: measured(module, x) for name, module in modules.items()}, repeats)
        with torch.set_grad_enabled(measured is both):
            by_ffts = dispatch.by_fft("auto", x, modules["fixed, by FFTs"].weight, len(grid))
        chosen = "FFTs" if by_ffts else "products"
        best = min(times["fixed, by FFTs"], times["fixed, by products"])
        row[quantity] = {"ms": times, "chosen": chosen, "loss": times[f"fixed, by {chosen}"] / best}
    return row


def report(rows: list[dict]) -> str:
    lines = []
    for quantity in ("forward", "forward+backward"):
        names = list(rows[0][quantity]["ms"])
        lines += [f"| {quantity}, ms | {' | '.join(names)} | chosen | loss |", "|---" * (len(names) + 3) + "|"]
        for row in rows:
            batch, channels, grid, modes = row["shape"]
            found = row[quantity]
            cells = " | ".join(f"{found['ms'][name]:.2f}" for name in names)
            where = f"{batch}, {channels}, {'×'.join(map(str, grid))}, {modes}"
            lines.append(f"| {where} | {cells} | {found['chosen']} | {found['loss']:.2f} |")
        ratios = [row[quantity]["ms"]["learned"] / row[quantity]["ms"]["neuralop"] for row in rows]
        lines += ["", f"learned over neuralop: {min(ratios):.2f} to {max(ratios):.2f}, of {len(rows)} "
                  f"{sum(r > 1.05 for r in ratios)} above 1.05; largest loss "
                  f"{max(row[quantity]['loss'] for row in rows):.2f}", ""]  # fmt: skip
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--default-memory", action="store_true")
    arguments = parser.parse_args()
    kept = not arguments.default_memory and keep_freed_memory()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    rows = [measure(shape, arguments.repeats) for shape in SHAPES]
    name = "more_shapes_default_memory" if arguments.default_memory else "more_shapes"
    keep(name, {"threads": arguments.threads, "memory kept": kept, "rows": rows}, report(rows))


if __name__ == "__main__":
    main()
