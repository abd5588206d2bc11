"""The end-to-end variational network, with the Fourier operator of one's choice in each cascade."""

import copy

import torch
from torch import Tensor, nn

from sciml.errors import ConfigError
from sciml.kernels.arithmetic import times
from sciml.mri.models.sense import Sense, require_maps
from sciml.mri.models.unet import ComplexUNet
from sciml.mri.physics.calibration import calibration_region
from sciml.mri.physics.coils import Coils, rss
from sciml.mri.physics.fourier import Fourier2d, fft2c, ifft2c
from sciml.mri.physics.sampling import Sampling


class SensitivityModel(nn.Module):
    """Coil maps estimated from the fully sampled centre: a U-Net on each coil's image, then Σ_c |S_c|² = 1."""

    def __init__(self, *, chans: int, pools: int) -> None:
        super().__init__()
        self.unet = ComplexUNet(chans=chans, pools=pools)

    def forward(self, kspace: Tensor, mask: Tensor) -> Tensor:
        """(B, C, y, x) k-space to maps of that shape. The images are the true inverse FFT's, as coils are."""
        images = ifft2c(Sampling(calibration_region(mask))(kspace))
        maps = self.unet(images.flatten(0, 1)).view(kspace.shape)
        return times(maps, rss(maps)[:, None].reciprocal())


class Cascade(nn.Module):
    """k ← k − λ·M(k − k_ref) − F S U(S^H F⁻¹ k): soft data consistency and refinement by a U-Net U."""

    def __init__(self, fourier: Fourier2d, refine: nn.Module) -> None:
        super().__init__()
        self.fourier, self.refine = fourier, refine
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, kspace: Tensor, reference: Tensor, mask: Tensor, maps: Tensor) -> Tensor:
        coils = Coils(maps)
        consistency = Sampling(self.weight.to(kspace.real.dtype) * mask)  # λ·M, in the data's precision
        image = self.refine(coils.H(self.fourier.inverse(kspace)))
        return kspace - consistency(kspace - reference) - self.fourier(coils(image))


class VarNet(nn.Module):
    """End-to-end variational network (Sriram et al. 2020, arXiv 2004.06688).

    Unrolled gradient descent on k-space from the measured k_ref, then the root of the sum of squares of F⁻¹ k. Each
    cascade has a copy of `fourier` and so factors of its own; the measured data are compared in k-space as the
    scanner's FFT gave them. Maps come from the data if given, else from a network on the centre of k-space.

    With `start`, the first iterate is not the zero-filled k_ref but has the missing samples predicted by SENSE with
    that operator (`predicted`). A learned transform was measured to pay there, with a head per coil, and not in the
    cascades (docs/decisions/0008).
    Unlike the paper's, the U-Nets start as zero (`ComplexUNet`, correction), and so the network as data consistency.

    Args:
        fourier: The operator from which every cascade, and the final inverse transform, start.
        start: The operator of the first prediction; None: k_ref, as in the paper.
        cascades: Number of unrolled steps (12 in the paper).
        chans, pools: Of each cascade's U-Net (18, 4).
        sens_chans, sens_pools: Of the sensitivity network (8, 4); sens_chans 0: the data must bring maps.

    Raises ConfigError for a number below 1, and at the call where maps are given to a network that estimates them or
    the other way round.
    """

    def __init__(
        self,
        fourier: Fourier2d,
        *,
        start: Fourier2d | None = None,
        cascades: int = 12,
        chans: int = 18,
        pools: int = 4,
        sens_chans: int = 8,
        sens_pools: int = 4,
    ) -> None:
        super().__init__()
        if cascades < 1 or sens_chans < 0:
            raise ConfigError(f"{cascades=}: must be at least 1; {sens_chans=}: at least 0")
        self.sensitivity = SensitivityModel(chans=sens_chans, pools=sens_pools) if sens_chans else None
        self.cascades = nn.ModuleList(
            Cascade(copy.deepcopy(fourier), ComplexUNet(chans=chans, pools=pools, correction=True))
            for _ in range(cascades)
        )
        self.start = Sense(start) if start is not None else None
        self.fourier = copy.deepcopy(fourier)  # changed below, and the caller's stays the caller's
        if self.fourier.synthesis is not None:  # the last operator only inverts: its forward transform has no use
            self.fourier.analysis.requires_grad_(False)  # type: ignore[union-attr]

    def forward(self, kspace: Tensor, mask: Tensor, maps: Tensor | None = None) -> Tensor:
        """(B, C, y, x), zero where not sampled, to a magnitude image (B, y, x)."""
        if self.sensitivity is not None and maps is not None:
            raise ConfigError("the data bring coil maps and sens_chans > 0 would estimate them: set one of them off")
        maps = self.sensitivity(kspace, mask) if self.sensitivity is not None else require_maps(maps)
        current = kspace if self.start is None else predicted(self.start(kspace, mask, maps), kspace, mask, maps)
        for cascade in self.cascades:
            current = cascade(current, kspace, mask, maps)
        return rss(self.fourier.inverse(current))


def predicted(image: Tensor, kspace: Tensor, mask: Tensor, maps: Tensor) -> Tensor:
    """The measured k-space, and F S x of an image x (B, y, x) where nothing was measured; F is the scanner's FFT."""
    return torch.where(mask, kspace, fft2c(Coils(maps)(image)))
