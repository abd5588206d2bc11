"""What learnable transforms have learned, seen from the Fourier basis that they started as."""

from typing import Any, NamedTuple

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter
from torch import Tensor, nn

from sciml.transforms import Transform, dft_matrix

FLOOR = 1e-4  # of a row's energy; below, the pictures would show rounding errors of the factors
CHANGE = 0.05  # the least range of a colour bar, in units of the DFT's entries
PANEL = 2.15  # inches


class Rows(NamedTuple):
    """A transform's rows (heads, m, n), those of the DFT (m, n), both over the DFT's norms, and frequencies."""

    learned: Tensor
    dft: Tensor
    frequencies: range


def factors(net: nn.Module) -> Figure | None:
    """Pictures of what the transforms of the first and the last layer have learned; None if `net` learns none.

    A row of panels for analysis and synthesis of each layer, of the axis that changed most. √n |A|: the rows'
    envelope over the grid, 1 at the start. √n |A − F|: all that changed, 0 at the start; both show the head that
    changed most. |A Fᴴ|²: how the energy of each row spreads over the Fourier modes, an identity at the start,
    the mean over heads. Leak: the share of a row's energy outside its own mode, 0 at the start; the median over
    heads, and their range. A synthesis S is shown as A = Sᴴ.
    """
    chosen = _first_and_last(net)
    if not chosen:
        return None
    figure = Figure(figsize=(4.3 * PANEL, 0.95 * PANEL * len(chosen)), layout="constrained")
    axes = figure.subplots(len(chosen), 4, squeeze=False)
    for row, (name, transform) in enumerate(chosen.items()):
        _draw(figure, axes[row], name, rows_of(transform))
    for ax, title in zip(axes[0], ("√n |A|", "√n |A − F|", "|A Fᴴ|²", "leak"), strict=True):
        ax.set_title(title)
    return figure


@torch.no_grad()
def rows_of(transform: Transform) -> Rows:
    """Analysis rows, or the adjoint of a synthesis, scaled so that the DFT's rows have norm 1; complex128."""
    matrix = transform.as_matrix().detach().to("cpu", torch.complex128)
    start = transform.initial_matrix().cpu()
    if transform.inverse:
        matrix, start = matrix.mH, start.mH
    norms = torch.linalg.vector_norm(start, dim=-1, keepdim=True)
    return Rows(matrix / norms, start / norms, transform.frequencies)


def mode_energy(rows: Rows) -> tuple[Tensor, range]:
    """|A Fᴴ|² (heads, m, n): the share of each row's energy in each of the n Fourier modes, and those modes."""
    n = rows.learned.shape[-1]
    modes = range(-(n // 2), n - n // 2)
    energy = (rows.learned @ dft_matrix(n, modes).mH).abs().square()
    return energy / energy.sum(-1, keepdim=True), modes


def leak(rows: Rows) -> Tensor:
    """(heads, m): the share of each row's energy outside its own Fourier mode."""
    inside = torch.linalg.vecdot(rows.dft, rows.learned).abs().square()
    return 1 - inside / rows.learned.abs().square().sum(-1)


def _first_and_last(net: nn.Module) -> dict[str, Transform]:
    """Of each kind of transform (analysis, synthesis) in the first and last layer, the one that changed most."""
    kinds: dict[str, dict[str, Transform]] = {}
    for name, module in net.named_modules():
        if isinstance(module, Transform) and any(p.requires_grad for p in module.parameters()):
            kind = name.rsplit(".", 1)[0] if name.rsplit(".", 1)[-1].isdigit() else name
            kinds.setdefault(kind, {})[name] = module
    layers = [kind.rpartition(".")[0] for kind in kinds]
    chosen = [kind for kind, layer in zip(kinds, layers, strict=True) if layer in (layers[0], layers[-1])]
    names = [max(kinds[kind], key=lambda name: _change(rows_of(kinds[kind][name]))) for kind in chosen]
    return {name: kinds[kind][name] for kind, name in zip(chosen, names, strict=True)}


def _change(rows: Rows) -> float:
    return float((rows.learned - rows.dft).abs().square().mean())


def _draw(figure: Figure, axes: np.ndarray, name: str, rows: Rows) -> None:
    n, frequencies = rows.learned.shape[-1], rows.frequencies
    changed = (rows.learned - rows.dft).abs() * n**0.5
    most = int(changed.square().sum((-2, -1)).argmax())
    envelope = rows.learned[most].abs() * n**0.5
    reach = max(CHANGE, float((envelope - 1).abs().max()))
    grid = range(n)
    _matrix(figure, axes[0], envelope, grid, frequencies, vmin=1 - reach, vmax=1 + reach, cmap="RdBu_r")
    top = max(CHANGE, float(changed[most].max()))
    _matrix(figure, axes[1], changed[most], grid, frequencies, vmin=0, vmax=top, cmap="magma")
    energy, modes = mode_energy(rows)
    spread = energy.mean(0).clamp(min=FLOOR)
    _matrix(figure, axes[2], spread, modes, frequencies, norm=LogNorm(FLOOR, 1), cmap="magma")
    furthest = 2 * max(abs(frequencies[0]), abs(frequencies[-1]), 1)  # farther out there is hardly anything
    axes[2].set_xlim(max(modes.start, -furthest) - 0.5, min(modes.stop - 1, furthest) + 0.5)
    _draw_leak(axes[3], leak(rows), frequencies)
    axes[0].set_ylabel(f"{_short(name)}\nfrequency f", fontsize="small")
    for ax, label in zip(axes, ("grid point", "grid point", "Fourier mode", "frequency f"), strict=True):
        ax.set_xlabel(label, fontsize="small")
        ax.tick_params(labelsize="small")


def _short(name: str) -> str:
    """The last four parts of a module's name on two lines: convs.0 / analysis.1."""
    parts = name.split(".")[-4:]
    return "\n".join(".".join(parts[i : i + 2]) for i in range(0, len(parts), 2))


def _matrix(figure: Figure, ax: Axes, values: Tensor, columns: range, rows: range, **style: Any) -> None:
    extent = (columns.start - 0.5, columns.stop - 0.5, rows.start - 0.5, rows.stop - 0.5)
    shown = ax.imshow(values.numpy(), origin="lower", aspect="auto", extent=extent, interpolation="nearest", **style)
    ax.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    figure.colorbar(shown, ax=ax, aspect=15).ax.tick_params(labelsize="x-small")


def _draw_leak(ax: Axes, values: Tensor, frequencies: range) -> None:
    low, middle, high = values.amin(0), values.median(0).values, values.amax(0)
    if len(values) > 1:
        ax.fill_between(frequencies, low, high, color="C0", alpha=0.2, lw=0)
    ax.plot(frequencies, middle, color="C0", marker="o", ms=2.5, lw=1.2)
    ax.set_ylim(0, max(0.01, 1.05 * float(high.max())))
    ax.yaxis.set_major_formatter(PercentFormatter(1))
    ax.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    ax.spines[["top", "right"]].set_visible(False)
