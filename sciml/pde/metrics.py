"""Errors of predicted fields: relative L2, relative H1, and the distance between spectra.

Every measure comes per sample first, and `counted_mean` turns samples into one number: a sample whose target
is zero everywhere has no relative error, so it is left out of the mean and counted. No epsilon is added to a
denominator anywhere. Half-precision fields are measured in float32; float64 stays float64. Norms and squares are
taken of scaled fields, or in float64, so that an error is a number wherever its dtype can hold it.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

Length = float | Sequence[float]

ROUNDING = 1e-28  # power that a float64 transform of a constant field leaves in other modes, well above it


class CountedMean(NamedTuple):
    """A mean over samples, and how many samples it left out."""

    mean: Tensor  # scalar; NaN (with zero gradients) where every sample was left out
    excluded: Tensor  # scalar, integer


def relative_l2(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean over samples of ‖prediction − target‖₂ / ‖target‖₂, each norm over all axes but the first.

    The convention of Li et al. (FNO, 2021). It is `neuralop.LpLoss(d=ndim - 1, reduction="mean")` on
    (B, 1, ...) tensors, without that loss's epsilon of 1e-8 and without a ratio of its own for each channel.
    Samples with a zero target are left out (`counted_mean` tells how many). Fit to train on: the gradient is
    zero, not NaN, at prediction == target and for a sample left out; a NaN in the prediction stays NaN.
    """
    per_sample = relative_l2_per_sample(prediction, target)
    return counted_mean(per_sample, excluded=is_zero(target)).mean


def relative_l2_per_sample(prediction: Tensor, target: Tensor, *, batch_dims: int = 1) -> Tensor:
    """‖prediction − target‖₂ / ‖target‖₂ over all but the first `batch_dims` axes; NaN for a zero target.

    With `batch_dims=2` on a rollout (B, T, *grid) this is the error at each step, (B, T). An empty batch
    gives an empty result. Raises ValueError when the shapes differ, no axis is left to sum over, one is complex
    and the other is not, or one holds integers.
    """
    prediction, target = _comparable(prediction, target, keep=batch_dims)
    return _relative(prediction - target, target, batch_dims, lambda field: field.flatten(batch_dims))


def relative_h1(prediction: Tensor, target: Tensor, *, dims: int, periodic: bool, length: Length = 1.0) -> CountedMean:
    """Mean over samples of the relative H1 error; see `relative_h1_per_sample`."""
    per_sample = relative_h1_per_sample(prediction, target, dims=dims, periodic=periodic, length=length)
    return counted_mean(per_sample, excluded=is_zero(target))


def relative_h1_per_sample(
    prediction: Tensor, target: Tensor, *, dims: int, periodic: bool, length: Length = 1.0
) -> Tensor:
    """‖prediction − target‖_H1 / ‖target‖_H1 per sample, with ‖u‖²_H1 = ∫ u² + |∇u|²; NaN for a zero target.

    The last `dims` axes are space, sampled at equal distances on a box of side `length` (a number, or one for
    each axis); the first axis is the batch, and axes between (time, channels) are summed over.

    `periodic=True` differentiates exactly, in Fourier space; the Nyquist mode counts with its full wave
    number. `periodic=False` uses differences of neighbouring cell centres, (u[i+1] − u[i]) / (length / n):
    they never wrap around and, unlike central differences, see an oscillation from point to point.
    neuralop's H1Loss takes second-order central differences, so it agrees for smooth fields only, as h → 0.
    """
    _check_dims(target, dims)
    prediction, target = _comparable(prediction, target, keep=1)
    _refuse_complex(prediction, target)
    parts = _spectral_h1_parts if periodic else _difference_h1_parts
    sides = _sides(length, dims)
    return _relative(prediction - target, target, 1, lambda field: parts(field, sides))


def counted_mean(per_sample: Tensor, *, excluded: Tensor) -> CountedMean:
    """The mean of `per_sample` where `excluded` is False, and the number left out.

    Which samples count is decided by the target (`is_zero`), never by the value: a NaN that a diverged
    prediction made must not drop out of the mean. Raises ValueError for no samples at all.
    """
    if per_sample.numel() == 0:
        raise ValueError(f"a mean over samples needs at least one sample, got {tuple(per_sample.shape)=}")
    number = (~excluded).sum()
    total = per_sample.masked_fill(excluded, 0.0).sum()
    mean = torch.where(number > 0, total / number.clamp(min=1), torch.nan)
    return CountedMean(mean, excluded.sum())


def is_zero(target: Tensor, *, batch_dims: int = 1) -> Tensor:
    """True where a sample is zero everywhere, over all but the first `batch_dims` axes."""
    return (target == 0).flatten(batch_dims).all(-1)


def power_spectrum(field: Tensor, *, dims: int, periodic: bool) -> Tensor:
    """Mean square of a real field by wave number, P(k) = Σ_{round|κ|=k} |f̂(κ)|², over the last `dims` axes.

    Shape (..., K), K − 1 the largest shell that the grid's corners reach, so that Σ_k P(k) is the mean of
    field² (Parseval). Shells above half the shortest axis are incomplete. `periodic=True`: k counts waves
    across the domain. `periodic=False`: the field is continued by its mirror image first (for cell
    centres the cosine transform, DCT-II), so that unequal ends make no jump; k then counts half waves.
    Always float64: squares of a float32 field can leave float32's range at either end.
    """
    _check_dims(field, dims)
    _refuse_complex(field)
    if not periodic:
        for axis in range(-dims, 0):
            field = torch.cat((field, field.flip(axis)), dim=axis)
    return _sum_over_shells(_mode_power(field, dims), field.shape[-dims:])


def energy_spectrum(vorticity: Tensor, *, length: float = 1.0) -> Tensor:
    """Kinetic energy of a 2-D periodic flow by wave number, E(k) = ½ Σ_{round|κ|=k} |û(κ)|².

    `vorticity` is (..., y, x) on a square torus of side `length`. The velocity is the Biot–Savart law's,
    |û| = |ω̂| / |2πκ / length|, without a mean flow. Σ_k E(k) is the mean of ½ |u|². Always float64.
    """
    _check_dims(vorticity, 2)
    _refuse_complex(vorticity)
    grid = vorticity.shape[-2:]
    kappa2 = _squared_wave_numbers(grid, (length, length), vorticity.device)
    kappa2[0, 0] = torch.inf
    power = _mode_power(vorticity, 2)
    return _sum_over_shells(0.5 * power / kappa2, grid)


def spectrum_error(prediction: Tensor, target: Tensor, *, floor: float = 1e-10) -> Tensor:
    """Mean distance in decades between two spectra (..., K), |log₁₀ P_pred(k) − log₁₀ P_true(k)|, k ≥ 1.

    Relative L2 weighs the large scales; this weighs all scales alike. Energies below `floor` of the target's
    total (k ≥ 1) are raised to it: there float32 fields hold rounding errors only. The leading axes stay; NaN
    where the target holds no energy (a constant field).
    """
    prediction, target = _comparable(prediction, target, keep=target.ndim - 1)
    _refuse_complex(prediction, target)
    dtype = torch.promote_types(prediction.dtype, target.dtype)
    predicted, true = prediction[..., 1:].double(), target[..., 1:].double()
    total = true.sum(-1, keepdim=True)
    least = floor * total.masked_fill(total == 0, 1.0)
    decades = (predicted.maximum(least).log10() - true.maximum(least).log10()).abs()
    constant = total.squeeze(-1) <= ROUNDING * target[..., 0].double()
    return decades.mean(-1).masked_fill(constant, torch.nan).to(dtype)


def _comparable(prediction: Tensor, target: Tensor, *, keep: int) -> tuple[Tensor, Tensor]:
    if prediction.shape != target.shape:
        raise ValueError(
            f"prediction and target must have one shape: {tuple(prediction.shape)=}, {tuple(target.shape)=}"
        )
    if not 0 < keep < target.ndim:
        raise ValueError(f"{keep} leading axes kept of {tuple(target.shape)}: none left to sum over")
    for name, field in (("prediction", prediction), ("target", target)):
        if not (field.is_floating_point() or field.is_complex()):
            raise ValueError(f"{name}: expected real or complex floating-point values, got {field.dtype}; use .float()")
    if prediction.is_complex() != target.is_complex():
        raise ValueError(
            f"prediction is {prediction.dtype}, target {target.dtype}: one has phases and the other has none; "
            "compare complex with complex, or take abs() of it"
        )
    return _at_least_single(prediction), _at_least_single(target)


def _refuse_complex(*fields: Tensor) -> None:
    for field in fields:
        if field.is_complex():
            raise ValueError(f"expected a real field, got {field.dtype}; take abs(), or .real and .imag apart")


def _relative(error: Tensor, target: Tensor, batch_dims: int, rows: Callable[[Tensor], Tensor]) -> Tensor:
    """‖rows(error)‖ / ‖rows(target)‖ for a linear `rows`; each is taken of a field whose largest value is 1.

    So squares of tiny and huge fields stay in range. No gradient needs to pass through the scales.
    """
    zero = is_zero(target, batch_dims=batch_dims)
    error_scale, target_scale = _scale(error, batch_dims), _scale(target, batch_dims)
    ratio = _ratio(_norm(rows(error / error_scale)), _norm(rows(target / target_scale)), zero)
    return ratio * (error_scale / target_scale).flatten(batch_dims)[..., 0]


def _scale(field: Tensor, batch_dims: int) -> Tensor:
    """The largest modulus over all but the first `batch_dims` axes, which stay; 1 where it is zero or not finite."""
    scale = field.detach().abs().amax(tuple(range(batch_dims, field.ndim)), keepdim=True)
    return scale.masked_fill((scale == 0) | ~scale.isfinite(), 1.0)


def _at_least_single(field: Tensor) -> Tensor:
    return field.float() if field.dtype in (torch.float16, torch.bfloat16) else field


def _norm(rows: Tensor) -> Tensor:
    return torch.linalg.vector_norm(rows, dim=-1)  # its gradient at zero is zero, unlike that of sqrt


def _ratio(error: Tensor, size: Tensor, zero: Tensor) -> Tensor:
    # The denominator is made safe before the division: a NaN masked later would reach the gradient.
    return (error / size.masked_fill(zero, 1.0)).masked_fill(zero, torch.nan)


def _check_dims(field: Tensor, dims: int) -> None:
    if not 0 < dims <= field.ndim:
        raise ValueError(f"{dims=} spatial axes asked of a field of shape {tuple(field.shape)}")


def _sides(length: Length, dims: int) -> tuple[float, ...]:
    sides = tuple(length) if isinstance(length, Sequence) else (length,) * dims
    if len(sides) != dims or min(sides) <= 0:
        raise ValueError(f"{length=}: expected one positive number, or {dims} of them")
    return sides


def _spectral_h1_parts(field: Tensor, sides: tuple[float, ...]) -> Tensor:
    """Rows whose squares sum to the mean over space of u² + |∇u|²."""
    dims = len(sides)
    grid = field.shape[-dims:]
    weight = 1 + _squared_wave_numbers(grid, sides, field.device)
    return (_modes(field, dims) * (weight * _multiplicity(grid, field.device)).sqrt().to(field.dtype)).flatten(1)


def _difference_h1_parts(field: Tensor, sides: tuple[float, ...]) -> Tensor:
    """Rows whose squares sum to the mean over space of u² + |∇u|²."""
    points = math.prod(field.shape[-len(sides) :])
    parts = [field.flatten(1)]
    for axis, side in zip(range(-len(sides), 0), sides, strict=True):
        slope = field.diff(dim=axis).movedim(axis, -1) * (field.shape[axis] / side)
        cells = torch.ones(slope.shape[-1], dtype=slope.dtype, device=slope.device)
        cells[:1] += 0.5  # the outermost slopes also stand for the half cells at the walls
        cells[-1:] += 0.5
        parts.append((slope * cells.sqrt()).flatten(1))
    return torch.cat(parts, dim=1) / math.sqrt(points)


def _modes(field: Tensor, dims: int) -> Tensor:
    if field.numel() == 0:  # FFT libraries refuse an empty batch
        return field.new_zeros(*field.shape[:-1], field.shape[-1] // 2 + 1, dtype=field.dtype.to_complex())
    return torch.fft.rfftn(field, dim=tuple(range(-dims, 0)), norm="forward")


def _mode_power(field: Tensor, dims: int) -> Tensor:
    amplitude = _modes(field.double(), dims)
    power = amplitude.real.square() + amplitude.imag.square()
    return power * _multiplicity(field.shape[-dims:], field.device)


def _multiplicity(grid: Sequence[int], device: torch.device) -> Tensor:
    """How many modes of the full transform a column of the real one stands for: 1, 2, ..., 2[, 1]."""
    columns = torch.full((grid[-1] // 2 + 1,), 2.0, dtype=torch.float64, device=device)
    columns[0] = 1.0
    if grid[-1] % 2 == 0:
        columns[-1] = 1.0
    return columns


def _squared_wave_numbers(grid: Sequence[int], sides: Sequence[float], device: torch.device) -> Tensor:
    """Σ_axis (2πκ / side)² on the real transform's modes; float64."""
    options = {"dtype": torch.float64, "device": device}
    axes = [torch.fft.fftfreq(n, d=side / (2 * math.pi * n), **options) for n, side in zip(grid, sides, strict=True)]
    axes[-1] = torch.fft.rfftfreq(grid[-1], d=sides[-1] / (2 * math.pi * grid[-1]), **options)
    squares = torch.meshgrid([axis.square() for axis in axes], indexing="ij")
    return torch.stack(squares).sum(0)


def _sum_over_shells(power: Tensor, grid: Sequence[int]) -> Tensor:
    radius = _squared_wave_numbers(grid, (2 * math.pi,) * len(grid), power.device).sqrt()
    shell = radius.round().long().flatten()
    spectrum = power.new_zeros(*power.shape[: power.ndim - len(grid)], int(shell.max()) + 1)
    return spectrum.index_add(-1, shell, power.flatten(-len(grid)))
