"""The 2-D Monarch transform of multi-coil data against torch.fft, on a CPU. Writes runs/benchmarks/full_spectrum.*.

    python benchmarks/full_spectrum.py [--repeats 15]

Medians of interleaved repeats, complex64, 2 threads. fft2c is the FFT with its two shifts, as networks call it.
"forward+backward" takes gradients of the data and, in the learnable transform, of the factors.
"""

import argparse

import torch
from output import keep
from spectral_conv import Call, medians
from torch import Tensor

from sciml.mri import Fourier2d

SHAPES = [(15, 640, 368), (15, 320, 320), (8, 256, 256)]


def forward(f: torch.nn.Module, x: Tensor) -> Call:
    def call() -> None:
        with torch.no_grad():
            f(x)

    return call


def both(f: torch.nn.Module, x: Tensor) -> Call:
    x, direction = x.clone().requires_grad_(), torch.randn_like(x)
    return lambda: torch.autograd.grad(f(x), [x, *f.parameters()], direction)


def measured(shape: tuple[int, int, int], repeats: int) -> dict:
    x = torch.randn(1, *shape, dtype=torch.complex64)
    fft, monarch = (Fourier2d(shape[1:], transform=name) for name in ("fft", "monarch"))
    assert (fft(x) - monarch(x)).norm() / x.norm() < 1e-5
    calls = {"fft2": lambda: torch.fft.fft2(x), "fft2c": forward(fft, x), "Monarch": forward(monarch, x)}
    backward = {"fft2c": both(fft, x), "Monarch": both(monarch, x)}
    return {"shape": shape, "forward": medians(calls, repeats), "forward+backward": medians(backward, repeats)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=15)
    repeats = parser.parse_args().repeats
    torch.set_num_threads(2)
    torch.manual_seed(0)
    rows = [measured(shape, repeats) for shape in SHAPES]
    lines = [
        "| ms | fft2 | fft2c | Monarch | of fft2 | fft2c, backward too | Monarch, backward too |",
        "|---" * 7 + "|",
    ]
    for row in rows:
        f, fb = row["forward"], row["forward+backward"]
        ratio = f["Monarch"] / f["fft2"]
        times = [f["fft2"], f["fft2c"], f["Monarch"], ratio, fb["fft2c"], fb["Monarch"]]
        lines.append(f"| {row['shape']} | " + " | ".join(f"{t:.1f}" for t in times) + " |")
    keep("full_spectrum", {"rows": rows}, "\n".join(lines))


if __name__ == "__main__":
    main()
