"""Truth, prediction and error beside each other.

Truth and prediction always share limits and colour bar; the error has its own. Fields of both signs get a
diverging map with symmetric limits, others a perceptually uniform one; the limits are the truth's.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from sciml.pde.metrics import relative_l2_per_sample

WIDTH = 9.0  # inches; at 130 dots an inch about a README's width on a dense screen
TRUTH, PREDICTION, ERROR = "0.15", "C1", "C3"


def rollout(
    truth: ArrayLike,
    prediction: ArrayLike,
    times: ArrayLike,
    steps: Sequence[int],
    *,
    length: float = 1.0,
    quantity: str = "vorticity",
) -> Figure:
    """2-D fields (T, y, x) at the chosen `steps`, a column each: truth, prediction, prediction − truth.

    `times` (T,) are the frames' times; `length` is the side of the square domain.
    """
    true, predicted = np.asarray(truth)[list(steps)], np.asarray(prediction)[list(steps)]
    when, errors = np.asarray(times)[list(steps)], _errors(predicted, true)
    figure, axes = _grid_of_squares(3, len(steps), margin=(1.9, 1.1))
    field_style, error_style = _colours(true), _symmetric(predicted - true, "PuOr_r")
    for column, (t, p) in enumerate(zip(true, predicted, strict=True)):
        shown = _image(axes[0, column], t, length, **field_style)
        _image(axes[1, column], p, length, **field_style)
        difference = _image(axes[2, column], p - t, length, **error_style)
        axes[0, column].set_title(f"t = {when[column]:.4g}")
        axes[2, column].set_title(f"relative L2 {errors[column]}", fontsize="small")
        axes[2, column].set_xlabel("x")
    for row, name in enumerate(("truth", "prediction", "prediction − truth")):
        axes[row, 0].set_ylabel(f"{name}\ny")
    figure.colorbar(shown, ax=axes[:2].ravel().tolist(), label=quantity, shrink=0.8, aspect=25)
    figure.colorbar(difference, ax=axes[2].tolist(), label="error", aspect=14)
    return figure


def maps(
    given: ArrayLike,
    truth: ArrayLike,
    prediction: ArrayLike,
    *,
    length: float = 1.0,
    titles: Sequence[str] | None = None,
    quantity: str = "solution",
) -> Figure:
    """Static 2-D maps (sample, y, x), a row each: input, truth, prediction, prediction − truth."""
    data, true, predicted = np.asarray(given), np.asarray(truth), np.asarray(prediction)
    rows = len(true)
    figure, axes = _grid_of_squares(rows, 4, margin=(1.5, 1.4))
    errors = _errors(predicted, true)
    styles = _colours(data), _colours(true), _colours(true), _symmetric(predicted - true, "PuOr_r")
    shown: list[Any] = [None] * 4
    for row in range(rows):
        fields = data[row], true[row], predicted[row], predicted[row] - true[row]
        for column, (field, style) in enumerate(zip(fields, styles, strict=True)):
            shown[column] = _image(axes[row, column], field, length, **style)
        heading = f"{titles[row]}\n" if titles else ""
        axes[row, 0].set_ylabel(f"{heading}relative L2 {errors[row]}\ny", fontsize="medium")
    for column, name in enumerate(("input", f"{quantity}, truth", "prediction", "prediction − truth")):
        axes[0, column].set_title(name)
        axes[-1, column].set_xlabel("x")
    for columns, image in (([0], shown[0]), ([1, 2], shown[1]), ([3], shown[3])):
        place = axes[:, columns].ravel().tolist()
        bar = figure.colorbar(image, ax=place, location="bottom", aspect=18 * len(columns), shrink=0.9)
        bar.ax.locator_params(nbins=4)
    return figure


def profiles(
    x: ArrayLike,
    truth: ArrayLike,
    prediction: ArrayLike,
    *,
    titles: Sequence[str] | None = None,
    initial: ArrayLike | None = None,
    quantity: str = "u",
) -> Figure:
    """1-D fields (curve, x), a column each: truth and prediction as lines, their difference below.

    `initial` (curve, x) adds what the network was given. Columns are samples, or steps of one rollout.
    """
    places, true, predicted = np.asarray(x), np.asarray(truth), np.asarray(prediction)
    columns = len(true)
    figure = Figure(figsize=(WIDTH, 4.2), layout="constrained")
    axes = figure.subplots(
        2, columns, sharex=True, sharey="row", squeeze=False, height_ratios=(2.2, 1), gridspec_kw={"hspace": 0.04}
    )
    errors = _errors(predicted, true)
    for column in range(columns):
        top, bottom = axes[:, column]
        if initial is not None:
            top.plot(places, np.asarray(initial)[column], color="0.6", ls=":", lw=1.2, label="input")
        top.plot(places, true[column], color=TRUTH, lw=2.2, label="truth")
        top.plot(places, predicted[column], color=PREDICTION, lw=1.4, ls="--", label="prediction")
        heading = f"{titles[column]}\n" if titles else ""
        top.set_title(f"{heading}relative L2 {errors[column]}", fontsize="medium")
        bottom.axhline(0, color="0.8", lw=0.8)
        bottom.plot(places, predicted[column] - true[column], color=ERROR, lw=1.2)
        bottom.set_xlabel("x")
    axes[0, 0].set_ylabel(quantity)
    axes[1, 0].set_ylabel("prediction\n− truth")
    figure.align_ylabels(axes[:, 0])
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    for ax in axes.flat:
        ax.spines[["top", "right"]].set_visible(False)
    return figure


def _grid_of_squares(rows: int, columns: int, *, margin: tuple[float, float]) -> tuple[Figure, np.ndarray]:
    """Square panels, at most 2.1 inches wide, with a margin (width, height) for labels and colour bars."""
    side = min(2.1, (WIDTH - margin[0]) / columns)
    figure = Figure(figsize=(margin[0] + side * columns, margin[1] + side * rows), layout="compressed")
    return figure, figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)


def _image(ax: Axes, field: np.ndarray, length: float, **style: Any) -> Any:
    shown = ax.imshow(field, origin="lower", extent=(0, length, 0, length), **style)
    ticks = [0, length / 2, length]
    ax.set_xticks(ticks, [f"{tick:.3g}" for tick in ticks])
    ax.set_yticks(ticks, [f"{tick:.3g}" for tick in ticks])
    return shown


def _colours(field: np.ndarray) -> dict[str, Any]:
    low, high = np.nanmin(field), np.nanmax(field)
    if low < 0 < high:
        return _symmetric(field, "RdBu_r")
    return {"cmap": "viridis", "vmin": low, "vmax": high}


def _symmetric(field: np.ndarray, cmap: str) -> dict[str, Any]:
    finite = np.abs(field[np.isfinite(field)])
    limit = float(finite.max()) if finite.size and finite.max() > 0 else 1.0
    return {"cmap": cmap, "vmin": -limit, "vmax": limit}


def _errors(prediction: np.ndarray, truth: np.ndarray) -> list[str]:
    """Relative L2 of each entry of the first axis, in per cent; a zero truth has none, a diverged prediction ∞."""
    values = relative_l2_per_sample(torch.as_tensor(prediction), torch.as_tensor(truth)).tolist()
    cells = [f"{100 * value:.3g} %" if np.isfinite(value) else "∞" for value in values]
    return [cell if np.any(field) else "–" for cell, field in zip(cells, truth, strict=True)]
