"""Speed of the spectral layer on this machine: neuralop's SpectralConv, a pruned FFT, the learnable layer.

    python benchmarks/spectral_conv.py [--threads 2] [--repeats 15]

Medians of interleaved repeats in one process, float32; first with memory as the C library manages it, then with freed
memory kept, as `sciml fit` does it, for all methods alike. "forward+backward" takes gradients of the input, the mode
weights and, in the learnable layer, the factors. The training step is that of a whole FNO: forward, mean square,
backward, Adam. Memory is the peak of live tensors during a training step, from the profiler's allocations. The floor
is the larger of operations over the rate of a large matrix product and bytes over the bandwidth of a sum, both
measured in the same run, for the learnable layer with one head.
Writes runs/benchmarks/spectral_conv.json and .md.
"""

import argparse
import math
import statistics
import time
from collections.abc import Callable

import torch
from neuralop.layers.spectral_convolution import SpectralConv
from neuralop.models import FNO
from output import keep, processor
from torch import Tensor, nn

from sciml.kernels.common.products import times_transposed
from sciml.pde.models.fno import fno
from sciml.pde.models.spectral_conv import MonarchSpectralConv
from sciml.training.memory import keep_freed_memory

SHAPES = [(16, 32, 64, 24), (16, 64, 64, 24), (8, 32, 128, 32), (4, 32, 256, 32)]  # batch, channels, n, n_modes
Call = Callable[[], object]
Clock = Callable[[], float]


class PrunedFFT(nn.Module):
    """neuralop's function without its waste: rfft, keep the columns, fft, keep the rows, mix, and back."""

    def __init__(self, conv: SpectralConv) -> None:
        super().__init__()
        self.weight = nn.Parameter(conv.weight.to_tensor().detach().clone())
        self.bias = nn.Parameter(conv.bias.detach().clone())

    def forward(self, x: Tensor) -> Tensor:
        n, m, columns = x.shape[-2], *self.weight.shape[-2:]
        rows = torch.arange(-(m // 2), m - m // 2) % n
        spectrum = torch.fft.fft(torch.fft.rfft(x)[..., :columns], dim=-2)[..., rows, :] / x[0, 0].numel()
        mixed = torch.einsum("bixy,ioxy->boxy", spectrum, self.weight)
        padded = mixed.new_zeros(*mixed.shape[:2], n, columns).index_copy(-2, rows, mixed)
        field = torch.fft.ifft(padded, dim=-2, norm="forward")
        return torch.fft.irfft(field, n=x.shape[-1], norm="forward") + self.bias


def medians(calls: dict[str, Call], repeats: int, clock: Clock = time.perf_counter) -> dict[str, float]:
    """Milliseconds; the calls take turns, so that a slow moment of the machine hits all."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for i in range(repeats + 2):
        for name, call in calls.items():
            start = clock()
            call()
            if i >= 2:
                times[name].append(1e3 * (clock() - start))
    return {name: statistics.median(t) for name, t in times.items()}


def forward(module: nn.Module, x: Tensor) -> Call:
    def call() -> None:
        with torch.no_grad():
            module(x)

    return call


def both(module: nn.Module, x: Tensor) -> Call:
    x, direction = x.clone().requires_grad_(), torch.randn_like(x)

    def call() -> None:
        module.zero_grad()
        module(x).backward(direction)

    return call


def training_step(model: nn.Module, x: Tensor) -> Call:
    optimizer = torch.optim.Adam(model.parameters())

    def call() -> None:
        optimizer.zero_grad()
        model(x).square().mean().backward()
        optimizer.step()

    return call


def peak_memory(call: Call) -> float:
    """MiB of tensors alive at once during a call, beyond those alive before it."""
    call()
    with torch.profiler.profile(profile_memory=True) as profile:
        call()
    live = peak = 0
    for event in profile.profiler.kineto_results.events():
        if event.name() == "[memory]":
            live += event.nbytes()
            peak = max(peak, live)
    return peak / 2**20


def machine(clock: Clock = time.perf_counter) -> dict[str, float]:
    """Operations and bytes a second: a product of 2048² matrices by the faster library, and a sum of fields that are
    not in the cache.
    """
    a = torch.randn(2048, 2048)
    fields = torch.randn(12, 2**21)
    turn = iter(range(10**9))

    def add() -> None:
        i = next(turn) % 4 * 3
        torch.add(fields[i], fields[i + 1], out=fields[i + 2])

    calls = {"MKL": lambda: a @ a, "oneDNN": lambda: times_transposed(a[None], a[None]), "sum": add}
    times = medians(calls, 15, clock)
    return {
        "operations": 2 * 2048**3 / min(times["MKL"], times["oneDNN"]) * 1e3,
        "bytes": 3 * 2**23 / times["sum"] * 1e3,
    }


def floor(shape: tuple[int, int, int, int], speed: dict[str, float], *, backward: bool) -> float:
    """Milliseconds. Forward: two products with the field, two with the half transformed one, one over the modes; the
    backward takes 5, 5 and 2 more, since it computes intermediates again. Fields read or written: 2, and 3 more.
    """
    b, c, n, m = shape
    m1, m2 = m, m // 2 + 1
    field, half, mix = 2 * b * c * n * n * 2 * m2, 2 * b * c * m2 * 2 * n * 2 * m1, 2 * m1 * m2 * 2 * b * c * 2 * c
    operations = (7 * (field + half) + 3 * mix) if backward else (2 * (field + half) + mix)
    moved = 4 * ((5 if backward else 2) * b * c * n * n + (3 if backward else 1) * 2 * m1 * m2 * c * c)
    return 1e3 * max(operations / speed["operations"], moved / speed["bytes"])


def layers(shape: tuple[int, int, int, int], repeats: int) -> dict:
    batch, channels, n, modes = shape
    x = torch.randn(batch, channels, n, n)
    conv = SpectralConv(channels, channels, (modes, modes))
    modules = {
        "neuralop": conv,
        "pruned FFT": PrunedFFT(conv),
        "Monarch": MonarchSpectralConv.from_spectral_conv(conv, (n, n)),
        "Monarch, a head per channel": MonarchSpectralConv.from_spectral_conv(conv, (n, n), channels),
    }
    for name, module in modules.items():
        assert (module(x) - conv(x)).norm() / conv(x).norm() < 1e-5, name
    return {
        "shape": shape,
        "forward": medians({k: forward(m, x) for k, m in modules.items()}, repeats),
        "forward+backward": medians({k: both(m, x) for k, m in modules.items()}, repeats),
        "memory": {k: peak_memory(both(m, x)) for k, m in modules.items()},
    }


def networks(shape: tuple[int, int, int, int], repeats: int) -> dict:
    """A whole training step; ours computes 1×1 convolutions as matrix products, which the second row isolates."""
    batch, channels, n, modes = shape
    size = {"n_modes": [modes, modes], "in_channels": 3, "out_channels": 1, "hidden_channels": channels}
    models = {
        "neuralop.models.FNO": FNO(**{**size, "n_modes": (modes, modes)}),
        "sciml fno, fft": fno(**size, grid=[n, n]),
        "sciml fno, monarch, 1 head": fno(**size, grid=[n, n], transform="monarch", heads=1),
        "sciml fno, monarch, a head per channel": fno(**size, grid=[n, n], transform="monarch"),
    }
    x = torch.randn(batch, 3, n, n)
    steps = {name: training_step(model, x) for name, model in models.items()}
    memory = {name: peak_memory(step) for name, step in steps.items()}
    return {"shape": shape, "step": medians(steps, repeats), "memory": memory}


def ratios(rows: list[dict], quantity: str, name: str) -> list[float]:
    return [row[quantity]["neuralop"] / row[quantity][name] for row in rows]


def report(rows: list[dict], steps: list[dict], speed: dict[str, float]) -> str:
    names = list(rows[0]["forward"])
    lines = [
        "| floor of the learnable layer, ms (times the floor) | forward | forward+backward |\n|---|---|---|",
    ]
    for row in rows:
        floors = {q: floor(row["shape"], speed, backward="back" in q) for q in ("forward", "forward+backward")}
        cells = " | ".join(f"{t:.1f} ({row[q]['Monarch'] / t:.1f}×)" for q, t in floors.items())
        lines.append(f"| {row['shape']} | {cells} |")
    lines.append("")
    for quantity in ("forward", "forward+backward", "memory"):
        unit = "MiB" if quantity == "memory" else "ms"
        lines += [f"| {quantity}, {unit} | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
        lines += [f"| {row['shape']} | " + " | ".join(f"{row[quantity][k]:.1f}" for k in names) + " |" for row in rows]
        means = [math.prod(ratios(rows, quantity, k)) ** (1 / len(rows)) for k in names]
        least = [min(ratios(rows, quantity, k)) for k in names]
        lines += [
            "| neuralop / this: mean, least | "
            + " | ".join(f"{m:.2f}, {w:.2f}" for m, w in zip(means, least, strict=True))
            + " |",
            "",
        ]
    for step in steps:
        base = step["step"]["neuralop.models.FNO"]
        lines += [f"| training step at {step['shape']} | ms | faster than neuralop | MiB |", "|---|---|---|---|"]
        lines += [f"| {k} | {t:.0f} | {base / t:.2f}× | {step['memory'][k]:.0f} |" for k, t in step["step"].items()]
        lines.append("")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=15)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    speed = machine()
    found, text = {}, f"{speed['operations'] / 1e9:.0f} GFLOP/s, {speed['bytes'] / 1e9:.0f} GB/s, {processor()}\n"
    for memory in ("as the C library manages it", "kept"):
        if memory == "kept" and not keep_freed_memory():
            continue
        rows = [layers(shape, arguments.repeats) for shape in SHAPES]
        steps = [networks(SHAPES[0], arguments.repeats), networks(SHAPES[-1], arguments.repeats // 3)]
        found[memory] = {"layers": rows, "networks": steps}
        text += f"\n## Memory {memory}\n\n{report(rows, steps, speed)}"
    keep("spectral_conv", {"threads": arguments.threads, **speed, "memory": found}, text)


if __name__ == "__main__":
    main()
