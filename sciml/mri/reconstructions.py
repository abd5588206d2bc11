"""Reconstructed volumes on disk: written all together, and read back."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from sciml.errors import BadSchema, NonFinite
from sciml.io import hdf5
from sciml.io.atomic import replacing_together
from sciml.mri.formats.fastmri import write_reconstruction
from sciml.mri.volumes import Volume


def write_reconstructions(run_dir: str | os.PathLike[str], volumes: Sequence[Volume]) -> Path:
    """reconstructions/NAME.h5 in the layout of fastMRI's leaderboard; the folder. All take their places together.

    Raises NonFinite, before anything is written, when a reconstruction holds NaN or infinity.
    """
    check_names(volumes)
    for volume in volumes:
        if volume.bad:
            bad, k = volume.bad
            raise NonFinite(
                f"{volume.name}: {bad} values of the reconstruction are NaN or infinite, the first in slice {k}; "
                "nothing was written. Look at that slice's data, or train longer or at a lower rate"
            )
    folder = Path(run_dir) / "reconstructions"
    with replacing_together() as temporary:
        store(folder, volumes, temporary)
    return folder


def read_reconstructions(run_dir: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """(slice, y, x) float32 by file name: what `write_images` and `write_reconstructions` stored.

    Raises BadSchema when there is none; CorruptFile, UnsafeFile: see `sciml.io.hdf5`.
    """
    folder = Path(run_dir) / "reconstructions"
    paths = sorted(path for path in folder.glob("*") if path.is_file() and not path.name.startswith("."))
    if not paths:
        raise BadSchema(f"{folder}: no reconstructions; make them with `sciml test` or `sciml predict`")
    found = {}
    for path in paths:
        with hdf5.reading(path) as file:
            data = hdf5.dataset(file, "reconstruction")
            found[path.name] = hdf5.read_samples(data, 0, data.shape[0])
    return found


def check_names(volumes: Sequence[Volume]) -> None:
    if not volumes:
        raise BadSchema("no volume to write: the data set is empty")
    for volume in volumes:
        if Path(volume.name).name != volume.name:
            raise BadSchema(f"volume {volume.name!r}: expected a plain file name")


def store(folder: Path, volumes: Sequence[Volume], temporary: Callable[[Path], Path]) -> None:
    for volume in volumes:
        path = temporary(folder / volume.name)
        write_reconstruction(path.parent, path.name, volume.prediction)
