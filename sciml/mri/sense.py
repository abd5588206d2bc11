"""Coils in and out: the encoding operator of parallel imaging, and the reconstruction that applies its inverse once."""

from torch import Tensor, nn

from sciml.errors import ConfigError
from sciml.kernels.arithmetic import conj, times
from sciml.mri.fourier import Fourier2d


def expand(image: Tensor, maps: Tensor) -> Tensor:
    """Image (B, y, x) to coil images S_c·x, (B, C, y, x)."""
    return times(image[:, None], maps)


def combine(coil_images: Tensor, maps: Tensor) -> Tensor:
    """Coil images (B, C, y, x) to Σ_c conj(S_c)·x_c, (B, y, x): the adjoint of `expand`."""
    return times(conj(maps), coil_images).sum(1)


def rss(coil_images: Tensor) -> Tensor:
    """Root of the sum of squares over coils (B, C, y, x), real (B, y, x); its gradient is finite at zero."""
    tiny = 1e-30  # below the square of any float32 value that carries signal
    return (coil_images.real.square() + coil_images.imag.square()).sum(1).clamp_min(tiny).sqrt()


def centre_crop(image: Tensor, size: tuple[int, int]) -> Tensor:
    """The central (h, w) of (…, y, x), as fastMRI crops. Raises ValueError when it is larger than the image."""
    (y, x), (h, w) = image.shape[-2:], size
    if not (0 < h <= y and 0 < w <= x):
        raise ValueError(f"cannot crop an image of {y} × {x} to {h} × {w}")
    top, left = (y - h) // 2, (x - w) // 2
    return image[..., top : top + h, left : left + w]


class SenseOperator(nn.Module):
    """The encoding of parallel imaging, A x = M·F(S_c·x), and its adjoint (Pruessmann et al., 1999).

    F is the object given: the fixed FFT models the scanner, a learned one belongs to a network. All arguments at
    the call: maps S (B, C, y, x) complex, mask M broadcastable to it, bool.
    """

    def __init__(self, fourier: Fourier2d) -> None:
        super().__init__()
        self.fourier = fourier

    def forward(self, image: Tensor, maps: Tensor, mask: Tensor) -> Tensor:
        """(B, y, x) complex to k-space (B, C, y, x), zero where the mask is False."""
        return times(self.fourier(expand(image, maps)), mask)

    def adjoint(self, kspace: Tensor, maps: Tensor, mask: Tensor) -> Tensor:
        """Σ_c conj(S_c)·F^H(M·k_c), (B, y, x) complex: ⟨A x, k⟩ = ⟨x, A^H k⟩."""
        return combine(self.fourier.adjoint(times(kspace, mask)), maps)


class Sense(nn.Module):
    """Zero-filled SENSE, Σ_c conj(S_c)·F⁻¹ k_c; with a learned F, the paper's Monarch SENSE.

    Learned from undersampled data, the inverse transform is no longer the DFT's: with a head for each coil it
    combines frequencies and coils as GRAPPA and SMASH do, and so suppresses the aliasing. Linear in the data.
    Source: Dao et al. 2022, section 5.1.2 and appendix (mSENSE).

    Raises ConfigError for fourier.tied=False (nothing here applies a forward transform) and, at the call, without maps.
    """

    def __init__(self, fourier: Fourier2d) -> None:
        super().__init__()
        if not fourier.tied:
            raise ConfigError("tied=False: SENSE uses the inverse transform alone; set tied: true")
        self.fourier = fourier

    def forward(self, kspace: Tensor, mask: Tensor, maps: Tensor | None = None) -> Tensor:
        """(B, C, y, x), zero where not sampled, to a complex image (B, y, x)."""
        return combine(self.fourier.inverse(times(kspace, mask)), needed(maps))


def needed(maps: Tensor | None) -> Tensor:
    """The coil maps, or ConfigError if there are none."""
    if maps is None:
        raise ConfigError("this network needs coil maps: set data.maps to espirit, or to file if the files hold them")
    return maps
