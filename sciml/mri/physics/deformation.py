"""New subjects made from one volume: another contrast, another shape; and where a volume has tissue."""

import math

import numpy as np
from scipy import ndimage

from sciml.errors import BadSchema

THICKNESS = 5  # voxels from slice to slice of a deformed volume; mm for the 1 mm template
OBJECT = 0.05  # of the maximum: what is brighter belongs to the object
_LARGEST_SCALE = 1.1
_SMALLEST_SHARE = 1e-3  # of a slice's pixels: with fewer of the object the slice is empty
_ANATOMY_SHARE = 1e-2  # of a slice's pixels: a plane tilted about a slice with this much still meets the object
_THINNEST = 1 / 4  # of the slices' width: in a thinner volume planes tilted by 8° leave it


def holds_tissue(slices: np.ndarray) -> np.ndarray:
    """Which slices (slice, y, x) of a subject show more than its background."""
    return _share(slices) >= _SMALLEST_SHARE


def most_slices(volume: np.ndarray) -> int:
    """Slices that a deformed subject can have, each with tissue, whatever is drawn.

    Raises:
        BadSchema: The volume is too thin to be tilted, or nothing in it exceeds 0.
    """
    least = math.ceil(_THINNEST * max(volume.shape[1:]))
    if len(volume) < least:
        raise BadSchema(
            f"{len(volume)} slices of {volume.shape[1]} x {volume.shape[2]}: too thin to be deformed, "
            f"expected at least {least} and cubic voxels; set deform false"
        )
    low, high = _tissue(volume)
    return int((high - low) / (_LARGEST_SCALE * THICKNESS)) + 1


def _share(slices: np.ndarray) -> np.ndarray:
    """The object's share of each slice's pixels."""
    return np.asarray((slices > OBJECT * max(slices.max(), 0)).mean((1, 2)))


def _tissue(volume: np.ndarray) -> tuple[int, int]:
    """First and last slice between which the anatomy lies."""
    found = np.flatnonzero(_share(volume) >= _ANATOMY_SHARE)
    if not len(found):
        raise BadSchema(f"{len(volume)} slices, none with tissue (pixels above 0 and {OBJECT:.0%} of the maximum)")
    return int(found[0]), int(found[-1])


def deformed(volume: np.ndarray, n_slices: int, rng: np.random.Generator) -> np.ndarray:
    """Slices of a new subject (slice, y, x): another contrast, affinely and elastically deformed.

    Contrast: intensities go through a random piecewise-linear curve that keeps 0, so tissues change their order as
    between T1 and T2 weighting. Affine: rotations up to 8°, scales of 0.9 to 1.1, shifts up to 4 % of the field of
    view. Elastic: smooth displacements of some 3 %. Slices lie near the middle, THICKNESS voxels apart, and within the
    anatomy, if they are no more than `most_slices`.
    """
    z, y, x = volume.shape
    knots = np.linspace(0, 1, 6)
    curve = np.concatenate([[0.0], rng.uniform(0.15, 1.0, 5)])
    middle = rng.uniform(-0.12, 0.12) * z  # from the volume's, z/2
    matrix = _rotation(rng.uniform(-8, 8, 3)) * rng.uniform(0.9, _LARGEST_SCALE, 3)
    shift = rng.uniform(-0.04, 0.04, 3) * volume.shape
    # A slice at height h above the middle meets the anatomy's axis at z/2 + shift + matrix[0, 0]·h.
    lowest, highest = ((end - z / 2 - shift[0]) / matrix[0, 0] for end in _tissue(volume))
    half = THICKNESS * (n_slices - 1) / 2
    middle = min(max(middle, lowest + half), highest - half)
    heights = middle + THICKNESS * (np.arange(n_slices) - (n_slices - 1) / 2)
    axes = [heights, np.arange(y) - y / 2, np.arange(x) - x / 2]
    points = np.stack(np.meshgrid(*axes, indexing="ij"))
    coordinates = np.tensordot(matrix, points, 1) + (shift + np.array(volume.shape) / 2)[:, None, None, None]
    coarse = rng.standard_normal((3, max(2, n_slices), 6, 6))
    elastic = [ndimage.zoom(c, np.array(points.shape[1:]) / c.shape, order=3, mode="nearest") for c in coarse]
    coordinates += 0.012 * max(y, x) * np.stack(elastic)
    values = ndimage.map_coordinates(volume / volume.max(), coordinates, order=1)
    return np.interp(values, knots, curve)


def _rotation(degrees: np.ndarray) -> np.ndarray:
    a, b, c = np.deg2rad(degrees)
    about = [((1, 2), a), ((0, 2), b), ((0, 1), c)]
    matrix = np.eye(3)
    for (i, j), angle in about:
        turn = np.eye(3)
        turn[[i, i, j, j], [i, j, i, j]] = np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)
        matrix = matrix @ turn
    return matrix
