"""No volume may be in two splits: what a network has trained on measures nothing."""

import hashlib
from collections.abc import Iterator, Mapping
from itertools import combinations
from pathlib import Path

import numpy as np

from sciml.errors import BadSchema, UnsafeFile
from sciml.io import hdf5
from sciml.mri.formats.fastmri import Challenge, VolumeInfo
from sciml.mri.formats.index import volumes


def refuse_shared(splits: Mapping[str, list[VolumeInfo]], *, test: Path, challenge: Challenge) -> None:
    """Refuse volumes that are in two splits, whatever their files are called.

    Volumes of one shape and one attribute `max` are compared by the k-space of their middle slice; others are not
    opened. The test folder is looked at if there is one that can be read, and is not validated on.

    Args:
        splits: The volumes of train and val.
        test: The folder that will be tested on.
        challenge: multicoil or singlecoil.

    Raises:
        BadSchema: Names the first such pair, and counts them.
    """
    folders = {Path(info.path).parent for info in splits.get("val", [])}
    every = {**splits} if test in folders else {**splits, "test": _readable(test, challenge)}
    pairs = [pair for one, other in combinations(every, 2) for pair in _shared(every[one], every[other])]
    if pairs:
        first, second = pairs[0]
        raise BadSchema(
            f"{first} and {second} hold the same volume, in two splits ({len(pairs)} in all): "
            "a score would be measured on what was trained on; take it out of one of them"
        )


def _readable(folder: Path, challenge: Challenge) -> list[VolumeInfo]:
    """The folder's volumes; none if it is not there or not sound, of which testing will tell."""
    try:
        return volumes(folder, challenge, skip_corrupt=True)
    except (BadSchema, UnsafeFile, OSError):
        return []


def _shared(first: list[VolumeInfo], second: list[VolumeInfo]) -> Iterator[tuple[str, str]]:
    common = {_header(info) for info in first} & {_header(info) for info in second}
    digests: dict[str, str] = {}
    for info in first:
        if _header(info) in common:
            digests.setdefault(_digest(info), info.path)
    for info in second:
        if _header(info) in common and (known := digests.get(_digest(info))):
            yield known, info.path


def _header(info: VolumeInfo) -> tuple[object, ...]:
    return info.shape, info.maximum


def _digest(info: VolumeInfo) -> str:
    """Of the middle slice's k-space; its path if that is empty, or cannot be read, of which training will tell."""
    try:
        with hdf5.reading(info.path) as file:
            middle = info.shape[0] // 2
            kspace = hdf5.read_samples(hdf5.dataset(file, "kspace"), middle, middle + 1)
    except (OSError, UnsafeFile):
        return info.path
    if not kspace.any():
        return info.path
    return hashlib.sha256(np.ascontiguousarray(kspace, dtype=np.complex64).data).hexdigest()
