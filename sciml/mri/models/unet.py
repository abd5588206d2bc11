"""fastMRI's U-Net, and its use on complex images of any scale and size."""

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, pad

from sciml.errors import ConfigError
from sciml.mri.physics.coils import Coils, rss
from sciml.mri.physics.fourier import ifft2c
from sciml.mri.physics.sampling import Sampling


class UNet(nn.Module):
    """U-Net with instance normalisation, as in fastMRI's baseline (Zbontar et al., 2018; Ronneberger et al., 2015).

    Each level: two 3×3 convolutions without bias, each with instance normalisation and LeakyReLU(0.2); average
    pooling down, transposed convolution up.

    Args:
        in_channels, out_channels: of the image, (B, in, y, x) to (B, out, y, x).
        chans: Channels of the first level; each level below has twice as many.
        pools: Levels below the first. y and x must be at least 2^(pools + 1).
    """

    def __init__(self, in_channels: int = 2, out_channels: int = 2, *, chans: int = 32, pools: int = 4) -> None:
        super().__init__()
        if chans < 1 or pools < 1:
            raise ConfigError(f"{chans=} and {pools=}: both must be at least 1")
        widths = [chans * 2**level for level in range(pools + 1)]
        self.down = nn.ModuleList(_convolutions(a, b) for a, b in zip([in_channels, *widths], widths, strict=False))
        self.up = nn.ModuleList(_upsampling(2 * width, width) for width in reversed(widths[:-1]))
        self.merge = nn.ModuleList(_convolutions(2 * width, width) for width in reversed(widths[:-1]))
        self.last = nn.Conv2d(chans, out_channels, 1)
        # Interleaved channels: how complex images lie in memory already, and a fifth faster on CPUs.
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, image: Tensor) -> Tensor:
        dtype = next(self.parameters()).dtype  # complex numbers are float32 or float64, whatever the network is
        levels = [self.down[0](image.to(dtype).contiguous(memory_format=torch.channels_last))]
        for convolutions in self.down[1:]:
            levels.append(convolutions(avg_pool2d(levels[-1], 2)))
        out = levels.pop()
        for up, merge in zip(self.up, self.merge, strict=True):
            skip, out = levels.pop(), up(out)
            lacking = (skip.shape[-1] - out.shape[-1], skip.shape[-2] - out.shape[-2])  # 1 where a size was odd
            if any(lacking):
                out = pad(out, (0, lacking[0], 0, lacking[1]), "reflect")
            out = merge(torch.cat([out, skip], 1))
        return self.last(out).to(image.dtype)


class ComplexUNet(nn.Module):
    """A U-Net on complex images (B, y, x): real and imaginary part as channels, normalised, padded.

    Each part is brought to mean 0 and standard deviation 1 and back (E2E-VarNet's NormUnet; Sriram et al., 2020), so
    that the scale of the data does not matter; an image that is constant stays finite. Sizes are padded with zeros to
    multiples of 2^pools, 16 at least, and to two points on the lowest level.

    A `correction` is added to something: it starts as zero (the last convolution does), and the mean is not brought
    back. Unlike fastMRI's, an unrolled network then starts as its data consistency alone; short trainings gain most.
    """

    def __init__(self, *, chans: int, pools: int, correction: bool = False) -> None:
        super().__init__()
        self.unet = UNet(chans=chans, pools=pools)
        self.correction = correction
        if correction:
            nn.init.zeros_(self.unet.last.weight)
            nn.init.zeros_(self.unet.last.bias)  # type: ignore[arg-type]
        self.multiple, self.least = max(16, 2**pools), 2 ** (pools + 1)

    def forward(self, image: Tensor) -> Tensor:
        parts = torch.view_as_real(image.resolve_conj()).movedim(-1, 1)
        std, mean = torch.std_mean(parts, dim=(2, 3), keepdim=True)
        std = torch.where(std == 0, torch.ones_like(std), std)
        (top, bottom), (left, right) = (self._margins(n) for n in parts.shape[2:])
        out = self.unet(pad((parts - mean) / std, (left, right, top, bottom)))
        out = out[..., top : out.shape[-2] - bottom, left : out.shape[-1] - right] * std
        out = out if self.correction else out + mean
        return torch.view_as_complex(out.movedim(1, -1).contiguous())

    def _margins(self, size: int) -> tuple[int, int]:
        lacking = max(-size % self.multiple, self.least - size)
        return lacking // 2, lacking - lacking // 2


class ImageUNet(nn.Module):
    """fastMRI's U-Net baseline: from the magnitude of the zero-filled image to the magnitude sought.

    Zero-filled RSS, or SENSE if there are maps, normalised by its mean and standard deviation.
    """

    def __init__(self, *, chans: int = 32, pools: int = 4) -> None:
        super().__init__()
        self.unet = UNet(1, 1, chans=chans, pools=pools)

    def forward(self, kspace: Tensor, mask: Tensor, maps: Tensor | None = None) -> Tensor:
        """(B, C, y, x), zero where not sampled, to a magnitude image (B, y, x)."""
        coil_images = ifft2c(Sampling(mask)(kspace))
        image = (rss(coil_images) if maps is None else Coils(maps).H(coil_images).abs())[:, None]
        std, mean = torch.std_mean(image, dim=(2, 3), keepdim=True)
        std = torch.where(std == 0, torch.ones_like(std), std)
        return (self.unet((image - mean) / std) * std + mean)[:, 0]


def _convolutions(into: int, out: int) -> nn.Sequential:
    def one(a: int) -> list[nn.Module]:
        return [nn.Conv2d(a, out, 3, padding=1, bias=False), nn.InstanceNorm2d(out), nn.LeakyReLU(0.2, inplace=True)]

    return nn.Sequential(*one(into), *one(out))


def _upsampling(into: int, out: int) -> nn.Sequential:
    transposed = nn.ConvTranspose2d(into, out, 2, stride=2, bias=False)
    return nn.Sequential(transposed, nn.InstanceNorm2d(out), nn.LeakyReLU(0.2, inplace=True))
