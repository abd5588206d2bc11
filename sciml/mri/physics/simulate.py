"""The generator behind `sciml data mri`: fastMRI volumes of real anatomy, with simulated coils, phase and noise."""

import json
import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from sciml.errors import ConfigError, require
from sciml.io.jobs import MOST, continuable, require_room, require_seed
from sciml.mri.formats.fastmri import write_volume
from sciml.mri.formats.magnitudes import STACKS, load_anatomy
from sciml.mri.physics.anatomy import Anatomy, DeformedVolume, ImageStack
from sciml.mri.physics.coils import Coils, rss
from sciml.mri.physics.fourier import fft2c, ifft2c
from sciml.mri.physics.maps import birdcage_maps
from sciml.mri.physics.moved import smooth_phase
from sciml.mri.physics.subjects import Subject, missing

LEAST_SNR = 1e-6  # the squares of noise of 1e6 are far from float32's end


@dataclass(frozen=True, eq=False)
class Simulation:
    """A scan of an anatomy's subjects through a simulated birdcage; it describes itself in every file.

    Attributes:
        anatomy: what is scanned.
        coils: coils of the birdcage.
        snr: mean magnitude over the object divided by the standard deviation of the complex noise in a coil image.
        seed: of contrast, deformation, phase and noise.
    """

    anatomy: Anatomy
    coils: int
    snr: float
    seed: int

    @cached_property
    def attributes(self) -> dict[str, object]:
        """What each volume is recorded to be made with, beside its number."""
        size = {"coils": int(self.coils), "grid": int(self.anatomy.grid), "n_slices": int(self.anatomy.n_slices)}
        return {**self.anatomy.attributes, **size, "snr": float(self.snr), "seed": int(self.seed)}

    @cached_property
    def maps(self) -> Tensor:
        """The coils' sensitivities (C, y, x)."""
        return birdcage_maps(self.coils, self.anatomy.grid)

    def kspace(self, subject: Subject) -> Tensor:
        """Fully sampled k-space of a subject (slice, C, y, x) complex64."""
        images = torch.from_numpy(self.anatomy.images(subject, self.seed))
        return measure(images, self.maps, self.snr, subject.rng(self.seed, 1))

    def write(self, subject: Subject, out: Path) -> None:
        """A subject's volume in the folder `out`, with target, true maps and what it was made with."""
        path, kspace = subject.path(out), self.kspace(subject)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_volume(
            path,
            kspace.numpy(),
            target=rss(ifft2c(kspace)).numpy(),
            maps=self.maps.expand_as(kspace).numpy(),
            acquisition=f"simulated_{self.anatomy.name.split('.')[0]}",
            attributes={"simulation": json.dumps(subject.record(self.attributes))},
        )


def generate_mri(
    out: str,
    *,
    n_subjects: int,
    source: str = "mni152",
    n_val: int = 0,
    n_test: int = 0,
    coils: int = 8,
    grid: int = 128,
    n_slices: int = 1,
    snr: float = 50.0,
    seed: int = 0,
    deform: bool | None = None,
) -> None:
    """Generate multi-coil k-space in fastMRI's layout: out/multicoil_train, multicoil_val, multicoil_test.

    Running the same command again continues after an interruption. Every file records what it was made with; a folder
    made with anything else is refused. A deformed subject depends on the seed, its split and its number in the split
    alone, so larger counts add to the folder. The images of a stack are dealt out in order, to train, val and test: of
    these counts only the last that is not 0 can grow.

    Args:
        out: folder to write; a volume a file, fully sampled, with target and true coil maps (`sens_maps`).
        n_subjects: volumes to train on, subject_train_0000 and so on; if the folder holds more they stay.
        source: mni152 (nilearn's packaged T1 template), a NIfTI volume, or a stack of magnitude images (.h5, .npy).
        n_val: volumes to validate on.
        n_test: volumes to test on.
        coils: coils of a simulated birdcage.
        grid: points along y and x.
        n_slices: slices of a volume; no more than the anatomy has tissue for.
        snr: mean magnitude over the object divided by the standard deviation of the complex noise in a coil image.
        seed: seed of contrast, deformation, phase and noise, below 2^32.
        deform: make subjects from one volume by contrast, affine and elastic deformation (default for mni152 and
            NIfTI); otherwise a subject is the next n_slices images of the stack.

    Raises:
        ConfigError: an argument out of range, an unknown source, more slices than the anatomy has tissue for.
        BadSchema: the stack holds fewer images than asked, one without signal, or is too thin to be deformed; a volume
            made with other parameters lies in the way.
        BlockingIOError: another process is writing the folder.
        Interrupted: stopped by SIGINT or SIGTERM; finished volumes are kept.
        CorruptFile, NonFinite: see `load_anatomy`.
    """
    counts = {"train": n_subjects, "val": n_val, "test": n_test}
    _check(counts, coils=coils, grid=grid, n_slices=n_slices, snr=snr, seed=seed)
    _check_room(Path(out), counts, coils=coils, grid=grid, n_slices=n_slices)
    deformed = not source.endswith(STACKS) if deform is None else deform
    with continuable(Path(out), lambda: f"{_n_stored(Path(out))} volumes"):
        kind = DeformedVolume if deformed else ImageStack
        anatomy = kind(Path(source).name, load_anatomy(source), n_slices, grid)
        simulation = Simulation(anatomy, coils, snr, seed)
        subjects = anatomy.plan(counts)
        todo = missing(Path(out), subjects, simulation.attributes)
        anatomy.check(subjects)
        done = len(subjects) - len(todo)
        for subject in tqdm(todo, desc=out, unit="volume", initial=done, total=len(subjects), disable=None):
            simulation.write(subject, Path(out))


def measure(magnitude: Tensor, maps: Tensor, snr: float, rng: np.random.Generator) -> Tensor:
    """Fully sampled k-space (slice, C, y, x) complex64 of magnitudes (slice, y, x) through coils (C, y, x).

    A random smooth phase (`smooth_phase`) is the same for all slices.
    Complex Gaussian noise of standard deviation σ = mean magnitude over the object / snr is added in k-space (the
    transform is orthonormal: equally in a coil image); the object is what exceeds 5 % of the maximum.
    """
    phase = smooth_phase(magnitude.shape[-2:], rng)
    image = torch.polar(magnitude.double(), phase.expand(magnitude.shape).contiguous())
    kspace = fft2c(Coils(maps.to(torch.complex128))(image))
    sigma = float(magnitude[magnitude > 0.05 * magnitude.max()].mean()) / snr
    noise = rng.standard_normal((2, *kspace.shape)) * (sigma / math.sqrt(2))
    return (kspace + torch.complex(*torch.from_numpy(noise))).to(torch.complex64)


def _n_stored(out: Path) -> int:
    return len(list(out.glob("multicoil_*/subject_*.h5")))


def _check(counts: dict[str, int], *, coils: int, grid: int, n_slices: int, snr: float, seed: int) -> None:
    asked = {"n_subjects": (counts["train"], 0), "n_val": (counts["val"], 0), "n_test": (counts["test"], 0)}
    asked |= {"coils": (coils, 1), "grid": (grid, 8), "n_slices": (n_slices, 1)}
    for name, (value, least) in asked.items():
        require(name, value, least <= value <= MOST, f">= {least}, <= {MOST}")
    require_seed(seed)
    if not sum(counts.values()):
        raise ConfigError("n_subjects=0, n_val=0, n_test=0: nothing to generate")
    require("snr", snr, LEAST_SNR <= snr < math.inf, f"finite and >= {LEAST_SNR:g}")


def _check_room(out: Path, counts: dict[str, int], *, coils: int, grid: int, n_slices: int) -> None:
    points = n_slices * grid**2
    asked = max(0, sum(counts.values()) - _n_stored(out))
    require_room(
        out,
        disk=asked * points * (2 * coils * 8 + 4),  # k-space, maps and target
        memory=points * coils * 16 * 8,  # complex128, some work arrays
        remedy="lower n_subjects, n_val, n_test, coils, grid or n_slices",
    )
