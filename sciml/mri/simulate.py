"""The generator behind `sciml data mri`: fastMRI volumes of real anatomy, with simulated coils, phase and noise."""

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from sciml import hdf5
from sciml.errors import BadSchema, ConfigError
from sciml.mri.anatomy import load_anatomy, square, subject
from sciml.mri.augment import smooth_phase
from sciml.mri.coils import birdcage_maps
from sciml.mri.files import write_volume
from sciml.mri.fourier import fft2c, ifft2c
from sciml.mri.sense import expand, rss


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

    Running the same command again continues after an interruption. Subject i depends on (seed, i) alone.

    Args:
        out: folder to write; a volume a file, fully sampled, with target and true coil maps (`sens_maps`).
        n_subjects: volumes to train on: subjects 0, 1, ...
        source: mni152 (nilearn's packaged T1 template), a NIfTI volume, or a stack of magnitude images (.h5, .npy).
        n_val: volumes to validate on, the subjects that follow.
        n_test: volumes to test on, the subjects after those.
        coils: coils of a simulated birdcage.
        grid: points along y and x.
        n_slices: slices of a volume.
        snr: mean magnitude over the object divided by the standard deviation of the complex noise in a coil image.
        seed: seed of contrast, deformation, phase and noise.
        deform: make subjects from one volume by contrast, affine and elastic deformation (default for mni152 and
            NIfTI); otherwise subject i is the n_slices images of the stack from i·n_slices on.

    Raises:
        ConfigError: an argument out of range, an unknown source.
        BadSchema: the stack holds fewer images than asked, or one without signal; a volume made with other parameters
            lies in the way.
        CorruptFile, NonFinite: see `load_anatomy`.
    """
    counts = {"train": n_subjects, "val": n_val, "test": n_test}
    _check(counts, coils=coils, grid=grid, n_slices=n_slices, snr=snr, seed=seed)
    deformed = not source.endswith((".h5", ".hdf5", ".npy", ".npz")) if deform is None else deform
    settings = {"source": Path(source).name, "coils": coils, "grid": grid, "n_slices": n_slices, "snr": snr}
    settings |= {"seed": seed, "deform": deformed}
    files = [
        (i, Path(out) / f"multicoil_{split}" / f"subject_{i:04d}.h5")
        for i, split in enumerate(s for s, n in counts.items() for _ in range(n))
    ]
    missing = [(i, path) for i, path in files if not _is_there(path, settings)]
    images = _images(load_anatomy(source), len(files), n_slices, seed, deformed) if missing else None
    maps = birdcage_maps(coils, grid)
    done = len(files) - len(missing)
    for i, path in tqdm(missing, desc=out, unit="volume", initial=done, total=len(files), disable=None):
        assert images is not None
        path.parent.mkdir(parents=True, exist_ok=True)
        kspace = measure(torch.from_numpy(square(images(i), grid)), maps, snr, np.random.default_rng([seed, i, 1]))
        write_volume(
            path,
            kspace.numpy(),
            target=rss(ifft2c(kspace)).numpy(),
            maps=maps.expand_as(kspace).numpy(),
            acquisition=f"simulated_{Path(source).name.split('.')[0]}",
            attributes={"simulation": json.dumps(settings)},
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


def _images(
    anatomy: np.ndarray, n_subjects: int, n_slices: int, seed: int, deformed: bool
) -> Callable[[int], np.ndarray]:
    """Subject i's magnitudes (slice, y, x), scaled to a maximum of 1."""
    if not deformed and n_subjects * n_slices > len(anatomy):
        raise BadSchema(
            f"{len(anatomy)} images stored, {n_subjects} subjects of {n_slices} asked; ask for fewer, or set deform"
        )

    def images(i: int) -> np.ndarray:
        if deformed:
            found = subject(anatomy, n_slices, np.random.default_rng([seed, i, 0]))
        else:
            found = anatomy[i * n_slices : (i + 1) * n_slices]
        if not found.max() > 0:
            raise BadSchema(f"subject {i}: an image without any signal; leave it out of the stack")
        return found / found.max()

    return images


def _is_there(path: Path, settings: dict[str, object]) -> bool:
    if not path.exists():
        return False
    with hdf5.reading(path) as file:
        found = file.attrs.get("simulation")
    if found != json.dumps(settings):
        wanted = json.dumps(settings)
        raise BadSchema(f"{path}: made with {found or 'nothing known'}, asked for {wanted}; give another --out")
    return True


def _check(counts: dict[str, int], *, coils: int, grid: int, n_slices: int, snr: float, seed: int) -> None:
    asked = {"n_subjects": (counts["train"], 0), "n_val": (counts["val"], 0), "n_test": (counts["test"], 0)}
    asked |= {"coils": (coils, 1), "grid": (grid, 8), "n_slices": (n_slices, 1), "seed": (seed, 0)}
    for name, (value, least) in asked.items():
        if value < least:
            raise ConfigError(f"{name}={value}: expected at least {least}")
    if not sum(counts.values()):
        raise ConfigError("n_subjects=0, n_val=0, n_test=0: nothing to generate")
    if not 0 < snr < math.inf:
        raise ConfigError(f"{snr=}: expected a positive number")
