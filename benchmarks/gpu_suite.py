"""The kernels on a GPU: are they right, and how fast, against neuralop's layer, the pruned FFT and cuFFT.

    python benchmarks/gpu_suite.py [--sections correctness layers mri network blocks] [--grids 64 128 256]

Needs torch, triton and numpy; neuralop's own layer is timed as well where it is installed. Medians of
triton.testing.do_bench; inputs rotate, so that none is found in the L2 cache. "graph" is the same call replayed from a
CUDA graph. "floor" is the larger of bytes over bandwidth and operations over peak, for an H100 SXM (FLOORS); what
counts as a byte or an operation stands beside each case. Writes gpu_suite.json and .md to $OUT, runs/benchmarks by
default; rows that are not measured again are kept from there, or from runs/benchmarks, so that the suite may be run
in pieces (compiling takes minutes a grid). --dry-run runs everything once on a CPU, on tiny shapes, in Triton's
interpreter.
"""

import argparse
import itertools
import json
import math
import os
import sys
import time
from collections.abc import Callable, Sequence
from datetime import date
from functools import partial
from pathlib import Path

import torch
import triton
from gpu_correctness import Rows, correctness, products_in
from gpu_layers import (
    BATCH,
    CHANNELS,
    COILS,
    DEVICE,
    DRY,
    FNO,
    MODES,
    PLANES,
    MonarchConv,
    NeuralopConv,
    PrunedFFT,
    centred,
    fft2c,
    ifft2c,
)
from output import RESULTS
from torch import Tensor, nn

from sciml.kernels.monarch import triton as monarch
from sciml.transforms import MonarchTransform
from sciml.transforms.factors import split

OUT = Path(os.environ.get("OUT") or RESULTS)
BACKEND = "eager" if DRY else "inductor"  # of torch.compile
FLOORS = {"bytes": 3.35e12, "ieee": 67e12, "tf32x3": 495e12 / 3, "tf32": 495e12, "bfloat16": 990e12}  # a second
Call = Callable[[int], object]  # of the number of the input


def milliseconds(call: Call, inputs: int) -> dict[str, float]:
    """Of one call, launched by Python and replayed from a graph."""
    if DRY:
        start = time.perf_counter()
        call(0)
        return {"eager": 1e3 * (time.perf_counter() - start)}
    turns = itertools.cycle(range(inputs))
    eager = triton.testing.do_bench(lambda: call(next(turns)), return_mode="median")
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for i in range(inputs):
            call(i)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    try:
        with torch.cuda.graph(graph):
            for i in range(inputs):
                call(i)
    except Exception as error:  # recorded as missing: what can't be captured is a result
        print(f"not captured: {error}", file=sys.stderr)
        torch.cuda.synchronize()
        return {"eager": eager}
    return {"eager": eager, "graph": triton.testing.do_bench(graph.replay, return_mode="median") / inputs}


def peak_memory(call: Call) -> float:
    """MiB beyond what is there before the call."""
    if DRY:
        return 0.0
    call(0)
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    call(0)
    torch.cuda.synchronize()
    return (torch.cuda.max_memory_allocated() - before) / 2**20


def measured(case: str, method: str, make: Callable[[], Call], floor: float, inputs: int) -> dict:
    row: dict = {"case": case, "method": method, "device": "CPU" if DRY else torch.cuda.get_device_name()}
    try:
        call = make()
        row |= {**milliseconds(call, inputs), "memory": peak_memory(call)}
    except Exception as error:  # one method that fails must not hide the others
        row["error"] = f"{type(error).__name__}: {error}"[:500]
        if DRY:
            raise
    best = min((row[k] for k in ("eager", "graph") if k in row), default=None)
    print(row, flush=True)
    return {**row, "floor": floor, "times_floor": None if best is None else best / floor}


def rotated(*shape: int, dtype: torch.dtype = torch.float32) -> list[Tensor]:
    """Up to 8 inputs, that together exceed the L2 cache several times."""
    count = 1 if DRY else min(8, 1 + 2**28 // (math.prod(shape) * dtype.itemsize))
    return [torch.randn(shape, device=DEVICE, dtype=dtype) for _ in range(count)]


def forward(f: Callable[[Tensor], Tensor], inputs: Sequence[Tensor]) -> Call:
    def call(i: int) -> Tensor:
        with torch.no_grad():
            return f(inputs[i])

    return call


def both(f: Callable[[Tensor], Tensor], inputs: Sequence[Tensor], parameters: Sequence[Tensor]) -> Call:
    """Forward and backward: gradients of the input and of every parameter."""
    inputs = [x.detach().clone().requires_grad_() for x in inputs]
    direction = torch.randn_like(f(inputs[0]))

    def call(i: int) -> object:
        return torch.autograd.grad(f(inputs[i]), [inputs[i], *parameters], direction)

    return call


def layers(grids: Sequence[int]) -> Rows:
    for n, modes in itertools.product((16,) if DRY else grids, MODES):
        yield from layer(n, modes)


def layer(n: int, modes: int) -> Rows:
    """Floors: fields read and written once each (forward 2; forward+backward 5: the input is read twice)."""
    torch.compiler.reset()  # else the limit of recompilations is reached, and compiled means eager
    conv = NeuralopConv(CHANNELS, modes).to(DEVICE)
    inputs = rotated(BATCH, CHANNELS, n, n)
    own = {"Monarch": MonarchConv(conv, n), "Monarch, a head per channel": MonarchConv(conv, n, CHANNELS)}
    methods = {name: (module, "tf32x3") for name, module in fixed(conv, modes).items()}
    for (name, module), precision in itertools.product(own.items(), ("tf32x3", "tf32", "bfloat16")):
        methods[f"{name}, {precision}"] = (module, precision)
    methods |= {f"Monarch by PyTorch, {p}": (MonarchConv(conv, n, backend="torch"), p) for p in ("tf32x3", "tf32")}
    for name, (module, precision) in methods.items():
        module = module.to(DEVICE)
        data = [x.bfloat16() for x in inputs] if precision == "bfloat16" else inputs
        floors = layer_floors(data[0], modes, precision)
        with products_in(precision):
            for kind, make in (("forward", forward), ("forward+backward", both)):
                arguments = (module, data) if kind == "forward" else (module, data, list(module.parameters()))
                case = f"{n}², {modes} modes, {kind}"
                yield measured(case, name, partial(make, *arguments), floors[kind], len(data))


def fixed(conv: NeuralopConv, modes: int) -> dict[str, nn.Module]:
    """The baselines; neuralop's own class where it is installed."""
    found: dict[str, nn.Module] = {"neuralop": conv, "pruned FFT": PrunedFFT(conv)}
    found |= {f"{name}, compiled": torch.compile(module, backend=BACKEND) for name, module in found.items()}
    try:
        from neuralop.layers.spectral_convolution import SpectralConv
    except ImportError:
        return found
    return {**found, "neuralop, as installed": SpectralConv(CHANNELS, CHANNELS, (modes, modes))}


def layer_floors(x: Tensor, modes: int, precision: str) -> dict[str, float]:
    """Milliseconds. The products are of the last axis, then of the other; backward takes twice those of forward."""
    field, n = x.numel() * x.element_size(), x.shape[-1]
    columns = modes // 2 + 1
    weight = 8 * CHANNELS**2 * modes * columns
    transforms = 2 * BATCH * CHANNELS * (4 * n * n * columns + 8 * n * modes * columns)
    products = transforms + 8 * BATCH * CHANNELS**2 * modes * columns
    moved = {"forward": 2 * field + weight, "forward+backward": 5 * field + 3 * weight}
    done = {"forward": products, "forward+backward": 3 * products}
    return {k: 1e3 * max(moved[k] / FLOORS["bytes"], done[k] / FLOORS[precision]) for k in moved}


def mri() -> Rows:
    """Floors: two passes over memory, 4 fields; backward 8 more, as each axis reads two fields for its factors."""
    for plane in PLANES:
        inputs = rotated(1, COILS, *plane, dtype=torch.complex64)
        axes = [MonarchTransform(n, centered=True).to(DEVICE) for n in plane]
        factors = [f for axis in axes for f in (axis.left, axis.right)]
        for precision, adjoint in itertools.product(("tf32x3", "tf32"), (False, True)):
            fixed, learned = (ifft2c if adjoint else fft2c), centred(axes, adjoint)
            plain = torch.fft.ifft2 if adjoint else torch.fft.fft2
            methods = {fixed.__name__: (fixed, []), "without shifts": (plain, [])} if precision == "tf32x3" else {}
            methods[f"Monarch, {precision}"] = (learned, factors)
            work = 8 * sum(p + q for p, q in map(split, plane)) * inputs[0].numel() / FLOORS[precision]
            floor = 1e3 * max(4 * 8 * inputs[0].numel() / FLOORS["bytes"], work)
            case = f"{COILS} coils, {plane[0]}×{plane[1]}, {'adjoint, ' if adjoint else ''}forward"
            with products_in(precision):
                for name, (f, parameters) in methods.items():
                    yield measured(case, name, partial(forward, f, inputs), floor, len(inputs))
                    make = partial(both, f, inputs, parameters)
                    yield measured(f"{case}+backward", name, make, 3 * floor, len(inputs))


def network() -> Rows:
    """A training step, Adam included. Floor: forward reads and writes 4 fields a block, backward twice as many."""
    n, modes = (16, 4) if DRY else (128, 24)
    conv = NeuralopConv(CHANNELS, modes)
    kinds = {
        "neuralop": lambda: NeuralopConv(CHANNELS, modes),
        "pruned FFT": lambda: PrunedFFT(NeuralopConv(CHANNELS, modes)),
        "Monarch": lambda: MonarchConv(conv, n),
    }
    inputs = rotated(BATCH, 3, n, n)
    floor = 1e3 * 4 * 12 * 4 * BATCH * CHANNELS * n * n / FLOORS["bytes"]
    for (name, kind), compiled in itertools.product(kinds.items(), (False, True)):
        model = FNO(CHANNELS, kind).to(DEVICE)
        optimizer = torch.optim.Adam(model.parameters(), capturable=not DRY)
        # Without graph breaks, where the layer is ours; Inductor may break at complex numbers in the others.
        run = torch.compile(model, backend=BACKEND, fullgraph=name == "Monarch") if compiled else model

        def step(i: int, run: Callable = run, optimizer: torch.optim.Optimizer = optimizer) -> None:
            optimizer.zero_grad(set_to_none=True)
            run(inputs[i]).square().mean().backward()
            optimizer.step()

        method = name + (", compiled" if compiled else "")
        yield measured(f"FNO step, {n}², {modes} modes", method, lambda step=step: step, floor, len(inputs))


def blocks() -> Rows:
    """Other tiles for the Monarch product than those chosen by counting instructions: which are best?"""
    tiles = [(1, 32, 1)] if DRY else itertools.product((1, 2, 4), (16, 32, 64), (1, 2, 4))
    for tile, n, rows_first in itertools.product(tiles, (12,) if DRY else (320, 640), (True, False)):
        yield tiled(dict(zip(("BLOCK_K1", "BLOCK_LINES", "SPLIT_K1"), tile, strict=True)), n, rows_first)


def tiled(tile: dict[str, int], n: int, along_rows: bool) -> dict:
    lines = 2 if DRY else 320
    inputs = rotated(1, 1, COILS * lines, n, 1, 2) if along_rows else rotated(1, 1, COILS, n, lines, 2)
    p, q = split(n)
    left, right = torch.randn(1, n, q, 2, device=DEVICE), torch.randn(1, q, p, p, 2, device=DEVICE)
    make = partial(forward, lambda x: monarch.apply(x, left, right, blocks=tile), inputs)
    floor = 2e3 * 4 * inputs[0].numel() / FLOORS["bytes"]
    return measured(f"{'rows' if along_rows else 'columns'}, n={n}", str(tile), make, floor, len(inputs))


SECTIONS = {"correctness": correctness, "layers": layers, "mri": mri, "network": network, "blocks": blocks}


def table(rows: list[dict]) -> str:
    if "errors" in rows[0]:
        lines = ["| case | precision | relative L2 errors | allowed | |", "|---|---|---|---|---|"]
        for row in rows:
            errors = ", ".join(f"{e:.1e}" for e in row["errors"])
            verdict = "" if row["right"] else "WRONG"
            lines.append(f"| {row['case']} | {row['precision']} | {errors} | {row['allowed']:.0e} | {verdict} |")
        return "\n".join(lines)
    lines = [
        "| case | method | eager, ms | graph, ms | over the first, eager | floor, ms | times floor | MiB |",
        "|---" * 8 + "|",
    ]
    for row in rows:
        first = next(r for r in rows if r["case"] == row["case"])
        if "error" in row or "error" in first:
            lines.append(f"| {row['case']} | {row['method']} | {row.get('error', '')} | | | | | |")
            continue
        graph = f"{row['graph']:.3f}" if "graph" in row else ""
        lines.append(
            f"| {row['case']} | {row['method']} | {row['eager']:.3f} | {graph} | {first['eager'] / row['eager']:.2f}× |"
            f" {row['floor']:.3f} | {row['times_floor']:.1f} | {row['memory']:.0f} |"
        )
    return "\n".join(lines)


def former() -> dict[str, dict]:
    found = [folder / "gpu_suite.json" for folder in (OUT, RESULTS) if (folder / "gpu_suite.json").exists()]
    return json.loads(found[0].read_text()) if found else {}


def merged(old: list[dict], new: dict) -> list[dict]:
    """In its former place, since the first method of a case is what the others are compared to."""

    def key(row: dict) -> tuple:
        return row["case"], row.get("method", row.get("precision"))

    if any(key(row) == key(new) for row in old):
        return [new if key(row) == key(new) else row for row in old]
    return [*old, new]


def write(sections: dict[str, dict]) -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "gpu_suite.json").write_text(json.dumps(sections, indent=1) + "\n")
    parts = [f"## {name}\n\n{s['about']}\n\n{table(s['rows'])}\n" for name, s in sections.items()]
    (OUT / "gpu_suite.md").write_text("\n".join(parts))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sections", nargs="+", choices=SECTIONS, default=list(SECTIONS))
    parser.add_argument("--grids", nargs="+", type=int, default=[64, 128, 256], help="points a side of the layers")
    parser.add_argument("--dry-run", action="store_true", help="once, on a CPU, on tiny shapes, in the interpreter")
    arguments = parser.parse_args()
    if arguments.dry_run and not DRY:  # the interpreter is chosen when triton is imported
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, "TRITON_INTERPRET": "1"})
    device = "CPU, dry run" if DRY else torch.cuda.get_device_name()
    about = f"{device}, {date.today().isoformat()}, torch {torch.__version__}, triton {triton.__version__}"
    torch.manual_seed(0)
    sections = {} if DRY else former()
    for name in arguments.sections:
        for row in layers(arguments.grids) if name == "layers" else SECTIONS[name]():
            sections[name] = {"about": about, "rows": merged(sections.get(name, {"rows": []})["rows"], row)}
            write(sections)  # after each row: the machine may be taken away
    wrong = [row for row in sections.get("correctness", {"rows": []})["rows"] if not row["right"]]
    print(f"{len(wrong)} wrong results; {OUT / 'gpu_suite.md'}")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
