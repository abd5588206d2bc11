"""What a reconstruction is trained to make small."""

import torch
from torch import Tensor, nn

from sciml.mri.metrics import ssim


class SSIMLoss(nn.Module):
    """1 − SSIM, the mean over images (B, y, x) of data range 1; fastMRI's name, and the loss of E2E-VarNet.

    Raises ValueError: see `sciml.metrics.ssim`.
    """

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        return 1 - ssim(prediction, target, torch.ones_like(target[:, 0, 0])).mean()
