"""The generator behind `sciml data mri`: fastMRI volumes of real anatomy, with simulated coils, phase and noise."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from sciml.errors import BadSchema, ConfigError
from sciml.io.jobs import exclusive, require_room, require_seed, stoppable
from sciml.mri.formats.fastmri import write_volume
from sciml.mri.physics.anatomy import THICKNESS, digest, holds_tissue, load_anatomy, most_slices, square
from sciml.mri.physics.anatomy import subject as deformed_subject
from sciml.mri.physics.coils import expand, rss
from sciml.mri.physics.fourier import fft2c, ifft2c
from sciml.mri.physics.maps import birdcage_maps
from sciml.mri.physics.moved import smooth_phase
from sciml.mri.physics.subjects import Subject, missing, planned

LEAST_SNR = 1e-6  # the squares of noise of 1e6 are far from float32's end
_MOST = 99_999_999
_DRAWS = 20  # of a subject, until every slice holds tissue: nearly always one


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
    deformed = not source.endswith((".h5", ".hdf5", ".npy", ".npz")) if deform is None else deform
    with exclusive(Path(out)), stoppable(lambda: _kept(Path(out))):
        anatomy = load_anatomy(source)
        settings: dict[str, Any] = {"source": Path(source).name, "anatomy": digest(anatomy), "deform": bool(deformed)}
        settings |= {"coils": int(coils), "grid": int(grid), "n_slices": int(n_slices)}
        settings |= {"snr": float(snr), "seed": int(seed)}
        maps = birdcage_maps(coils, grid)
        subjects = planned(counts, images_each=None if deformed else n_slices)
        todo = missing(Path(out), subjects, settings)
        images = _deformed(anatomy, n_slices, grid, seed) if deformed else _stacked(anatomy, subjects, grid)
        done = len(subjects) - len(todo)
        for subject in tqdm(todo, desc=out, unit="volume", initial=done, total=len(subjects), disable=None):
            kspace = measure(torch.from_numpy(images(subject)), maps, snr, subject.rng(seed, 1))
            _write(subject.path(Path(out)), kspace, maps, subject.record(settings))


def _write(path: Path, kspace: Tensor, maps: Tensor, record: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_volume(
        path,
        kspace.numpy(),
        target=rss(ifft2c(kspace)).numpy(),
        maps=maps.expand_as(kspace).numpy(),
        acquisition=f"simulated_{record['source'].split('.')[0]}",
        attributes={"simulation": json.dumps(record)},
    )


def measure(magnitude: Tensor, maps: Tensor, snr: float, rng: np.random.Generator) -> Tensor:
    """Fully sampled k-space (slice, C, y, x) complex64 of magnitudes (slice, y, x) through coils (C, y, x).

    A random smooth phase (`smooth_phase`) is the same for all slices.
    Complex Gaussian noise of standard deviation σ = mean magnitude over the object / snr is added in k-space (the
    transform is orthonormal: equally in a coil image); the object is what exceeds 5 % of the maximum.
    """
    phase = smooth_phase(magnitude.shape[-2:], rng)
    image = torch.polar(magnitude.double(), phase.expand(magnitude.shape).contiguous())
    kspace = fft2c(expand(image, maps.to(torch.complex128)))
    sigma = float(magnitude[magnitude > 0.05 * magnitude.max()].mean()) / snr
    noise = rng.standard_normal((2, *kspace.shape)) * (sigma / math.sqrt(2))
    return (kspace + torch.complex(*torch.from_numpy(noise))).to(torch.complex64)


def _deformed(anatomy: np.ndarray, n_slices: int, grid: int, seed: int) -> Callable[[Subject], np.ndarray]:
    """A subject's magnitudes (slice, y, x), made from the anatomy, scaled to 1 and regridded."""
    most = most_slices(anatomy)
    if n_slices > most:
        raise ConfigError(
            f"n_slices={n_slices}: expected at most {most}, since the anatomy has tissue for no more "
            f"({THICKNESS} voxels apart, {len(anatomy)} in all)"
        )

    def images(wanted: Subject) -> np.ndarray:
        rng = wanted.rng(seed, 0)
        for _ in range(_DRAWS):
            found = square(_scaled(deformed_subject(anatomy, n_slices, rng)), grid)
            if holds_tissue(found).all():
                return found
        raise BadSchema(
            f"{wanted.split} subject {wanted.number}: no deformation leaves tissue in every slice; set deform false"
        )

    return images


def _stacked(anatomy: np.ndarray, subjects: list[Subject], grid: int) -> Callable[[Subject], np.ndarray]:
    """A subject's magnitudes (slice, y, x), images of the stack, all checked beforehand."""
    asked = max(s.images[1] for s in subjects if s.images)
    if asked > len(anatomy):
        raise BadSchema(
            f"{len(anatomy)} images stored, {asked} asked ({len(subjects)} subjects of {asked // len(subjects)}); "
            "ask for fewer, or set deform"
        )
    if anatomy[:asked].min() < 0:
        raise BadSchema(f"image {int(np.argmax(anatomy[:asked].min((1, 2)) < 0))}: negative values; give magnitudes")

    def images(wanted: Subject) -> np.ndarray:
        assert wanted.images
        return square(_scaled(anatomy[slice(*wanted.images)]), grid)

    for place, subject in enumerate(subjects):
        assert subject.images
        empty = np.flatnonzero(~holds_tissue(images(subject)))
        if len(empty):
            raise BadSchema(
                f"subject {place}, image {subject.images[0] + empty[0]} of the stack: "
                f"an image without any signal; leave it out of the stack"
            )
    return images


def _scaled(images: np.ndarray) -> np.ndarray:
    largest = images.max()
    return images / largest if largest > 0 else images


def _kept(out: Path) -> str:
    kept = len(list(out.glob("multicoil_*/subject_*.h5")))
    return f"{out}: {kept} volumes kept; the same command goes on"


def _check(counts: dict[str, int], *, coils: int, grid: int, n_slices: int, snr: float, seed: int) -> None:
    asked = {"n_subjects": (counts["train"], 0), "n_val": (counts["val"], 0), "n_test": (counts["test"], 0)}
    asked |= {"coils": (coils, 1), "grid": (grid, 8), "n_slices": (n_slices, 1)}
    for name, (value, least) in asked.items():
        if not least <= value <= _MOST:
            raise ConfigError(f"{name}={value}: expected at least {least}, at most {_MOST}")
    require_seed(seed)
    if not sum(counts.values()):
        raise ConfigError("n_subjects=0, n_val=0, n_test=0: nothing to generate")
    if not LEAST_SNR <= snr < math.inf:
        raise ConfigError(f"{snr=}: expected a finite number of at least {LEAST_SNR:g}")


def _check_room(out: Path, counts: dict[str, int], *, coils: int, grid: int, n_slices: int) -> None:
    points = n_slices * grid**2
    there = sum(1 for _ in out.glob("multicoil_*/subject_*.h5"))
    asked = max(0, sum(counts.values()) - there)
    require_room(
        out,
        disk=asked * points * (2 * coils * 8 + 4),  # k-space, maps and target
        memory=points * coils * 16 * 8,  # complex128, some work arrays
        remedy="lower n_subjects, n_val, n_test, coils, grid or n_slices",
    )
