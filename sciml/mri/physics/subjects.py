"""Which subjects a generated folder holds, how they are numbered, and what they were made with."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sciml.errors import BadSchema
from sciml.io import hdf5

SPLITS = ("train", "val", "test")
NUMBERING = "by split"


class Subject(NamedTuple):
    """One volume to make: its split, its number within that split, and the images of a stack that it shows.

    A subject made by deformation (`images` None) is a function of the seed, its split and its number, whatever the
    counts of the splits: a folder may grow, and no subject is ever in two splits.
    """

    split: str
    number: int
    images: tuple[int, int] | None = None

    def path(self, out: Path) -> Path:
        return out / f"multicoil_{self.split}" / f"subject_{self.split}_{self.number:04d}.h5"

    def rng(self, seed: int, stream: int) -> np.random.Generator:
        """An independent stream of random numbers for each (seed, split, number, stream)."""
        key = (SPLITS.index(self.split), self.number, stream)
        return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))

    def record(self, settings: dict[str, Any]) -> dict[str, Any]:
        """What the file says that it was made with."""
        own = {"split": self.split, "subject": self.number, "images": self.images and list(self.images)}
        return {"numbering": NUMBERING, **settings, **own}


def missing(out: Path, subjects: list[Subject], settings: dict[str, Any]) -> list[Subject]:
    """Those of the subjects that the folder does not hold yet.

    Raises:
        BadSchema: A volume of the folder, asked for or not, was made with other settings or by another numbering, or
            shows an image that is asked for another subject.
        CorruptFile: One of its files cannot be read.
    """
    asked = {subject.path(out): subject for subject in subjects}
    owner = {image: s for s in subjects if s.images for image in range(*s.images)}
    there = {path for split in SPLITS for path in sorted((out / f"multicoil_{split}").glob("subject_*.h5"))}
    for path in sorted(there):
        found = _record(path)
        wanted = asked[path].record(settings) if path in asked else {"numbering": NUMBERING, **settings}
        _compare(path, found, wanted)
        for image in range(*(found["images"] or (0, 0))):
            if image in owner and owner[image].path(out) != path:
                raise BadSchema(
                    f"{path}: shows image {image} of the stack, which the counts asked for give to "
                    f"{owner[image].path(out)}; ask for the counts it was made with, or give another --out"
                )
    return [subject for path, subject in asked.items() if path not in there]


def _record(path: Path) -> dict[str, Any]:
    with hdf5.reading(path) as file:
        text = file.attrs.get("simulation")
    try:
        found = json.loads(text)
    except (TypeError, ValueError):
        found = None
    if not isinstance(found, dict):
        raise BadSchema(f"{path}: attribute 'simulation': expected what it was made with, found {text!r}; move it away")
    if found.get("numbering") != NUMBERING:
        raise BadSchema(
            f"{path}: made by an earlier version, which numbered subjects through all splits, so that with other "
            "counts a validation subject could become a training subject; give another --out, or delete the folder"
        )
    return found


def _compare(path: Path, found: dict[str, Any], wanted: dict[str, Any]) -> None:
    for name, value in wanted.items():
        if name not in found or found[name] != value:
            hint = " (a stack's images are dealt out by the counts)" if name == "images" else ""
            raise BadSchema(
                f"{path}: {name}: made with {found.get(name)!r}, asked for {value!r}{hint}; "
                "ask for what it was made with, or give another --out"
            )
