"""The fully sampled centre of a mask, from which coil sensitivities are estimated."""

import torch
from torch import Tensor


def calibration_region(mask: Tensor) -> Tensor:
    """The fully sampled, symmetric centre of a mask (B, 1, 1 or y, x), True there: fastMRI's autocalibration lines.

    Of a two-dimensional mask the columns and rows of the centre are found along the axes through it.
    """
    region = _central_run(mask[:, :, mask.shape[2] // 2, :])[:, :, None, :]
    if mask.shape[2] > 1:
        region = region & _central_run(mask[:, :, :, mask.shape[3] // 2])[..., None]
    return region


def _central_run(line: Tensor) -> Tensor:
    """The longest symmetric run of True around the centre of (..., n); the centre alone counts always."""
    n = line.shape[-1]
    centre = n // 2
    left = line[..., :centre].flip(-1).to(torch.int8).cumprod(-1).sum(-1)
    right = line[..., centre:].to(torch.int8).cumprod(-1).sum(-1)
    width = (2 * torch.minimum(left, right)).clamp_min(1)[..., None]
    start = (n - width + 1) // 2
    index = torch.arange(n, device=line.device)
    return (index >= start) & (index < start + width)
