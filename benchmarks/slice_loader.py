"""Slices a second from a folder of real-sized volumes, against fastMRI's SliceDataset: runs/benchmarks/slice_loader.*.

    pip install --no-deps --target fastmri_only fastmri==0.3.0
    PYTHONPATH=fastmri_only python benchmarks/slice_loader.py

Volumes of 640 × 368, 15 coils, read in random order by one process: the file alone (fastMRI without a transform, ours
`read_slice`), and a training example with its mask (fastMRI's VarNetDataTransform, our SliceDataset). Medians over
interleaved passes, the files in the system's cache: what is measured is the work, not the disk.
"""

import argparse
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from output import keep

from sciml.mri.batches import SliceDataset
from sciml.mri.formats.fastmri import read_slice, write_volume
from sciml.mri.formats.index import volumes
from sciml.mri.physics.masks import Mask

SHAPE, TARGET, SLICES = (15, 640, 368), (320, 320), 8


def write(folder: Path, count: int) -> None:
    rng = np.random.default_rng(0)
    for i in range(count):
        parts = rng.standard_normal((SLICES, *SHAPE, 2), dtype=np.float32)
        target = np.abs(rng.standard_normal((SLICES, *TARGET), dtype=np.float32))
        write_volume(
            folder / f"file{i:04d}.h5", parts.view(np.complex64)[..., 0], target=target, acquisition="CORPD_FBK"
        )


def readers(folder: Path) -> dict[str, Callable[[int], object]]:
    """A slice by its number, in four ways."""
    from fastmri.data.mri_data import SliceDataset as FastMRISliceDataset
    from fastmri.data.subsample import create_mask_for_mask_type
    from fastmri.data.transforms import VarNetDataTransform

    mask = create_mask_for_mask_type("equispaced_fraction", [0.08], [4])
    plain = FastMRISliceDataset(folder, "multicoil")
    masked = FastMRISliceDataset(folder, "multicoil", transform=VarNetDataTransform(mask, use_seed=False))
    found = volumes(folder, "multicoil")
    places = [(info, k) for info in found for k in range(SLICES)]
    ours = SliceDataset(found, Mask("equispaced_fraction", center_fractions=[0.08], accelerations=[4]), seed=0)
    return {
        "fastMRI 0.3, file": plain.__getitem__,
        "sciml, file": lambda i: read_slice(*places[i]),
        "fastMRI 0.3, example": masked.__getitem__,
        "sciml, example": ours.__getitem__,
    }


def rates(folder: Path, repeats: int) -> dict[str, float]:
    """Median slices a second."""
    ways = readers(folder)
    order = list(range(SLICES * len(list(folder.glob("*.h5")))))
    random.Random(0).shuffle(order)
    spent: dict[str, list[float]] = {name: [] for name in ways}
    for repeat in range(repeats + 1):
        for name, read in ways.items():
            start = time.perf_counter()
            for i in order:
                read(i)
            if repeat:  # the first pass fills the caches
                spent[name].append(time.perf_counter() - start)
    return {name: len(order) / statistics.median(times) for name, times in spent.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--volumes", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=7)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), asked.volumes)
        found = rates(Path(folder), asked.repeats)
    lines = ["| reader | slices/s | against fastMRI |", "|---|---:|---:|"]
    for name, rate in found.items():
        lines.append(f"| {name} | {rate:.1f} | {rate / found['fastMRI 0.3, ' + name.split(', ')[1]]:.2f}× |")
    keep("slice_loader", {"cores": os.cpu_count(), "rates": found}, "\n".join(lines))


if __name__ == "__main__":
    main()
