"""Speed of a linear layer of two block factors on this machine, beside nn.Linear.

    python benchmarks/structured_linear.py [--threads 2] [--rows 1024] [--repeats 15]

Medians of interleaved repeats in one process, float32, with freed memory kept as `sciml fit` does it, for all alike;
with one thread the processor's time, which other processes change little, with more the time on the clock.
"forward+backward" takes gradients of the input, the weights and the bias. "einsum" is the specification, two batched
products with permutations between. Ratios are to nn.Linear, also that of the multiplications: what the layer could
reach if its products, which are small, ran at the rate of one large product, and nothing else took time.
Writes runs/benchmarks/structured_linear.json and .md.
"""

import argparse
import time

import torch
from output import keep, processor
from spectral_conv import Call, Clock, machine, medians
from torch import Tensor, nn

from sciml.kernels import ops
from sciml.training.memory import keep_freed_memory

SHAPES = [  # in, out, blocks, rank
    (4096, 4096, 64, 1), (2048, 2048, 32, 2), (768, 768, 16, 3), (768, 3072, 16, 3), (3072, 768, 16, 3),
    (512, 512, 8, 8),
]  # fmt: skip


class Blocks(nn.Module):
    """y = L·R·x + c, of blocks that divide both sides."""

    def __init__(self, in_features: int, out_features: int, blocks: int, rank: int, backend: str) -> None:
        super().__init__()
        p, q, self.backend = in_features // blocks, out_features // blocks, backend
        self.right = nn.Parameter(torch.randn(blocks, blocks, rank, p) / p**0.5)
        self.left = nn.Parameter(torch.randn(blocks, q, blocks, rank) / (blocks * rank) ** 0.5)
        self.bias = nn.Parameter(torch.zeros(out_features))

    def forward(self, x: Tensor) -> Tensor:
        return ops.monarch_linear(x, self.right, self.left, self.bias, backend=self.backend)


def forward(module: nn.Module, x: Tensor) -> Call:
    return torch.no_grad()(lambda: module(x))


def both(module: nn.Module, x: Tensor) -> Call:
    x, direction = x.clone().requires_grad_(), torch.randn_like(module(x))

    def call() -> None:
        x.grad = None
        module.zero_grad()
        module(x).backward(direction)

    return call


def measure(shape: tuple[int, int, int, int], rows: int, repeats: int, clock: Clock) -> dict:
    in_features, out_features, blocks, rank = shape
    modules = {
        "nn.Linear": nn.Linear(in_features, out_features),
        "einsum": Blocks(*shape, backend="reference"),
        "blocks": Blocks(*shape, backend="auto"),
    }
    x = torch.randn(rows, in_features)
    found = {
        quantity: medians({name: measured(module, x) for name, module in modules.items()}, repeats, clock)
        for quantity, measured in (("forward", forward), ("forward+backward", both))
    }
    multiplications = in_features * out_features / (blocks * rank * (in_features + out_features))
    return {"shape": shape, "multiplications": multiplications, **found}


def report(rows: list[dict]) -> str:
    lines = []
    for quantity in ("forward", "forward+backward"):
        names = list(rows[0][quantity])
        lines += [
            f"| {quantity}, ms | {' | '.join(names)} | ratio of einsum | of blocks | of multiplications |",
            "|---" * (len(names) + 4) + "|",
        ]
        for row in rows:
            (*sides, blocks, rank), times = row["shape"], row[quantity]
            dense, einsum, ours = times.values()
            cells = [f"{t:.1f}" for t in times.values()] + [f"{dense / einsum:.1f}×", f"{dense / ours:.1f}×"]
            cells.append(f"{row['multiplications']:.1f}×")
            lines.append(f"| {sides[0]} → {sides[1]}, {blocks} blocks of rank {rank} | {' | '.join(cells)} |")
        lines.append("")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rows", type=int, default=1024)
    parser.add_argument("--repeats", type=int, default=15)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    clock = time.process_time if arguments.threads == 1 else time.perf_counter
    kept, speed = keep_freed_memory(), machine(clock)
    rows = [measure(shape, arguments.rows, arguments.repeats, clock) for shape in SHAPES]
    rates = f"{speed['operations'] / 1e9:.0f} GFLOP/s, {speed['bytes'] / 1e9:.0f} GB/s"
    title = f"{rates}, {arguments.threads} threads, {arguments.rows} rows, {processor()}\n\n"
    measured = {"threads": arguments.threads, "rows": arguments.rows, "memory kept": kept, **speed, "layers": rows}
    keep("structured_linear", measured, title + report(rows))


if __name__ == "__main__":
    main()
