"""What is scanned: an anatomy, from which each subject's images are made."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from sciml.errors import BadSchema, ConfigError
from sciml.mri.physics.deformation import THICKNESS, deformed, holds_tissue, most_slices
from sciml.mri.physics.subjects import SPLITS, Subject

_DRAWS = 20  # of a subject, until every slice holds tissue: nearly always one


@dataclass(frozen=True, eq=False)
class Anatomy(ABC):
    """Magnitude images, and how many of which size a subject shows.

    Attributes:
        name: where they come from.
        values: (image or slice, y, x), finite.
        n_slices: slices of a subject.
        grid: points along y and x.
    """

    name: str
    values: np.ndarray
    n_slices: int
    grid: int

    deform: ClassVar[bool]

    @property
    def attributes(self) -> dict[str, object]:
        """What is recorded with a subject."""
        return {"source": self.name, "anatomy": digest(self.values), "deform": self.deform}

    def plan(self, counts: dict[str, int]) -> list[Subject]:
        """The subjects of these counts, by split; those of a stack go through its images in order."""
        subjects = [Subject(split, number) for split in SPLITS for number in range(counts[split])]
        if self.deform:
            return subjects
        return [s._replace(images=(i * self.n_slices, (i + 1) * self.n_slices)) for i, s in enumerate(subjects)]

    @abstractmethod
    def check(self, subjects: Sequence[Subject]) -> None:
        """Raise BadSchema or ConfigError unless each of the subjects can be made."""

    @abstractmethod
    def images(self, subject: Subject, seed: int) -> np.ndarray:
        """A subject's magnitudes (slice, grid, grid), at most about 1."""


class DeformedVolume(Anatomy):
    """Subjects made from one volume by contrast, affine and elastic deformation: see `deformed`."""

    deform = True

    def check(self, subjects: Sequence[Subject]) -> None:
        most = most_slices(self.values)
        if self.n_slices > most:
            raise ConfigError(
                f"n_slices={self.n_slices}: expected at most {most}, since the anatomy has tissue for no more "
                f"({THICKNESS} voxels apart, {len(self.values)} in all)"
            )

    def images(self, subject: Subject, seed: int) -> np.ndarray:
        rng = subject.rng(seed, 0)
        for _ in range(_DRAWS):
            found = square(_scaled(deformed(self.values, self.n_slices, rng)), self.grid)
            if holds_tissue(found).all():
                return found
        raise BadSchema(
            f"{subject.split} subject {subject.number}: no deformation leaves tissue in every slice; set deform false"
        )


class ImageStack(Anatomy):
    """Subjects that show the next images of a stack each."""

    deform = False

    def check(self, subjects: Sequence[Subject]) -> None:
        asked = len(subjects) * self.n_slices
        if asked > len(self.values):
            raise BadSchema(
                f"{len(self.values)} images stored, {asked} asked ({len(subjects)} subjects of {self.n_slices}); "
                "ask for fewer, or set deform"
            )
        negative = self.values[:asked].min((1, 2)) < 0
        if negative.any():
            raise BadSchema(f"image {int(np.argmax(negative))}: negative values; give magnitudes")
        for place, subject in enumerate(subjects):
            empty = np.flatnonzero(~holds_tissue(self._shown(subject)))
            if len(empty):
                raise BadSchema(
                    f"subject {place}, image {place * self.n_slices + empty[0]} of the stack: "
                    "an image without any signal; leave it out of the stack"
                )

    def images(self, subject: Subject, seed: int) -> np.ndarray:
        return self._shown(subject)

    def _shown(self, subject: Subject) -> np.ndarray:
        assert subject.images
        return square(_scaled(self.values[slice(*subject.images)]), self.grid)


def _scaled(images: np.ndarray) -> np.ndarray:
    largest = images.max()
    return images / largest if largest > 0 else images


def digest(images: np.ndarray) -> str:
    """A checksum of shape and values, to know the same anatomy again."""
    content = hashlib.sha256(repr(images.shape).encode())
    content.update(np.ascontiguousarray(images, dtype="<f4").data)
    return content.hexdigest()[:16]


def square(image: np.ndarray, grid: int) -> np.ndarray:
    """(…, y, x) cropped to its central square, then brought to grid × grid by cutting or padding its spectrum."""
    side = min(image.shape[-2:])
    top, left = ((n - side) // 2 for n in image.shape[-2:])
    image = image[..., top : top + side, left : left + side]
    if side == grid:
        return image
    kspace = np.fft.fftshift(np.fft.fft2(image), axes=(-2, -1))
    cut = side // 2 - grid // 2
    if grid < side:
        kspace = kspace[..., cut : cut + grid, cut : cut + grid]
    else:
        before = (grid // 2 - side // 2, grid - side - (grid // 2 - side // 2))
        kspace = np.pad(kspace, [(0, 0)] * (image.ndim - 2) + [before, before])
    return np.abs(np.fft.ifft2(np.fft.ifftshift(kspace, axes=(-2, -1)))) * (grid / side) ** 2
