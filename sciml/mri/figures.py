"""Reconstructed slices beside what they should be, and what the data give without a network."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import ArrayLike

ERROR_GAIN = 5
SCORES = {"psnr": ".1f", "ssim": ".3f"}
ZOOM = 3  # the detail shown is a third of the image wide


def reconstruction(
    reference: ArrayLike,
    zero_filled: ArrayLike,
    prediction: ArrayLike,
    mask: ArrayLike,
    *,
    scores: dict[str, dict[str, float]] | None = None,
    title: str = "",
) -> Figure:
    """A slice: reference, zero-filled, reconstruction and mask; below, a detail of each and the error, enlarged.

    Args:
        reference, zero_filled, prediction: magnitudes (y, x); all on the reference's grey scale.
        mask: bool, (x,), (1, x) or (y, x): what was sampled.
        scores: for `zero_filled` and `reconstruction`, `psnr` and `ssim` of the slice, put into the titles.
        title: above all.
    """
    truth, plain, predicted = (np.asarray(a, dtype=float) for a in (reference, zero_filled, prediction))
    height, width = truth.shape
    figure = Figure(figsize=(11, 1.2 + 5.2 * min(1.5, height / width)), layout="constrained")
    axes = figure.subplots(2, 4)
    images = {"reference": truth, "zero-filled": plain, "reconstruction": predicted}
    detail = _detail(truth)
    top = float(truth.max()) or 1.0
    for column, (name, image) in enumerate(images.items()):
        _grey(axes[0, column], image, top)
        _grey(axes[1, column], image[detail], top)
        axes[0, column].set_title(name + _scored((scores or {}).get(name.replace("-", "_"))), fontsize="medium")
        (rows, columns) = detail
        corner, size = (columns.start - 0.5, rows.start - 0.5), (columns.stop - columns.start, rows.stop - rows.start)
        axes[0, column].add_patch(Rectangle(corner, *size, fill=False, color="C1", lw=1))
    axes[1, 0].set_title("detail", fontsize="medium")
    _show_mask(axes[0, 3], np.atleast_2d(np.asarray(mask, dtype=bool)), height)
    shown = axes[1, 3].imshow(np.abs(predicted - truth) * ERROR_GAIN, vmin=0, vmax=top, cmap="inferno")
    axes[1, 3].set_title(f"|error| × {ERROR_GAIN}", fontsize="medium")
    figure.colorbar(shown, ax=axes[1, 3], shrink=0.8)
    for ax in axes.flat:
        ax.set_xticks([])
        ax.set_yticks([])
    figure.suptitle(title)
    return figure


def _grey(ax: Axes, image: np.ndarray, top: float) -> None:
    ax.imshow(image, vmin=0, vmax=0.9 * top, cmap="gray")


def _scored(score: dict[str, float] | None) -> str:
    if score is None:
        return ""
    psnr, similarity = ("–" if np.isnan(score[key]) else f"{score[key]:{style}}" for key, style in SCORES.items())
    return f"\nPSNR {psnr} dB, SSIM {similarity}"


def _show_mask(ax: Axes, mask: np.ndarray, height: int) -> None:
    whole = np.broadcast_to(mask, (height if len(mask) == 1 else len(mask), mask.shape[1]))
    ax.imshow(whole, vmin=0, vmax=1, cmap="gray", aspect="auto", interpolation="nearest")
    ax.set_title(f"sampled: {mask.mean():.0%} of k-space", fontsize="medium")


def _detail(image: np.ndarray) -> tuple[slice, slice]:
    """The window with the most structure: the largest sum of squared differences between neighbours."""
    rows, columns = (max(1, n // ZOOM) for n in image.shape)
    structure = np.zeros_like(image)
    structure[1:, 1:] = np.diff(image, axis=0)[:, 1:] ** 2 + np.diff(image, axis=1)[1:] ** 2
    sums = np.pad(structure.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    windows = sums[rows:, columns:] - sums[:-rows, columns:] - sums[rows:, :-columns] + sums[:-rows, :-columns]
    top, left = np.unravel_index(windows.argmax(), windows.shape)
    return slice(int(top), int(top) + rows), slice(int(left), int(left) + columns)
