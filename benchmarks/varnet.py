"""A training step of VarNet against fastMRI's own: time and memory. Writes runs/benchmarks/varnet.{json,md}.

    pip install --no-deps --target fastmri_only fastmri==0.3.0
    PYTHONPATH=fastmri_only python benchmarks/varnet.py

4 cascades, chans 8, sensitivity network of 8 channels, 8 coils, 256², batch 1, float32, loss = mean magnitude: forward,
backward and an Adam step. Medians of interleaved repeats; memory is the peak of live tensors, by the profiler.
"""

import argparse
import statistics
import time
import warnings
from collections.abc import Callable

import torch
from output import keep
from spectral_conv import peak_memory

from sciml.mri.models.varnet import VarNet
from sciml.mri.physics.fourier import Fourier2d

COILS, SIZE = 8, (256, 256)


class FastMRIVarNet(torch.nn.Module):
    """fastMRI's network on complex k-space."""

    def __init__(self) -> None:
        super().__init__()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from fastmri.models import VarNet
        self.net = VarNet(num_cascades=4, chans=8, pools=4, sens_chans=8, sens_pools=4)

    def forward(self, kspace: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return self.net(torch.view_as_real(kspace), mask[..., None])


def ours(transform: str, heads: int = 1) -> Callable[[], torch.nn.Module]:
    return lambda: VarNet(Fourier2d(SIZE, transform=transform, heads=heads), cascades=4, chans=8)


NETWORKS = {
    "fastMRI 0.3": FastMRIVarNet,
    "sciml, fft": ours("fft"),
    "sciml, monarch": ours("monarch"),
    "sciml, monarch, a head per coil": ours("monarch", COILS),
    "sciml, dense": ours("dense"),
}


def step(name: str) -> Callable[[], None]:
    """A training step on random data."""
    torch.manual_seed(0)
    net = NETWORKS[name]()
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    mask = torch.zeros(1, 1, 1, SIZE[1], dtype=torch.bool)
    mask[..., ::4] = True
    mask[..., 118:138] = True
    kspace = torch.randn(1, COILS, *SIZE, dtype=torch.complex64) * mask

    def run() -> None:
        optimizer.zero_grad()
        net(kspace, mask).mean().backward()
        optimizer.step()

    return run


def seconds(repeats: int) -> dict[str, list[float]]:
    steps = {name: step(name) for name in NETWORKS}
    times: dict[str, list[float]] = {name: [] for name in NETWORKS}
    for repeat in range(repeats + 2):
        for name, run in steps.items():
            start = time.perf_counter()
            run()
            if repeat >= 2:
                times[name].append(time.perf_counter() - start)
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=9)
    repeats = parser.parse_args().repeats
    torch.set_num_threads(2)
    times = seconds(repeats)
    rows = {name: {"ms": 1e3 * statistics.median(t), "peak_mb": peak_memory(step(name))} for name, t in times.items()}
    base = rows["fastMRI 0.3"]
    lines = ["| VarNet, 256², 8 coils | step, ms | ratio | memory, MB | ratio |", "|---|---:|---:|---:|---:|"]
    for name, row in rows.items():
        lines.append(
            f"| {name} | {row['ms']:.0f} | {row['ms'] / base['ms']:.2f} "
            f"| {row['peak_mb']:.0f} | {row['peak_mb'] / base['peak_mb']:.2f} |"
        )
    keep("varnet", {"threads": 2, "rows": rows}, "\n".join(lines))


if __name__ == "__main__":
    main()
