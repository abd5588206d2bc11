"""The encoding operator of parallel imaging, and the reconstruction that applies its adjoint once."""

from torch import Tensor, nn

from sciml.errors import ConfigError
from sciml.mri.physics.coils import Coils
from sciml.mri.physics.fourier import Fourier2d
from sciml.mri.physics.sampling import Sampling
from sciml.operators import Composition, LinearOperator


class SenseOperator(nn.Module):
    """The encoding of parallel imaging, A = M @ F @ S, A x = M·F(S_c·x) (Pruessmann et al., 1999).

    F is the object given: the fixed FFT models the scanner, a learned one belongs to a network. All arguments at
    the call: maps S (B, C, y, x) complex, mask M broadcastable to it, bool.
    """

    def __init__(self, fourier: Fourier2d) -> None:
        super().__init__()
        self.fourier = fourier

    def given(self, maps: Tensor, mask: Tensor) -> LinearOperator:
        """A for these maps and this mask, from images (B, y, x) to k-space (B, C, y, x)."""
        return Composition(Sampling(mask), self.fourier, Coils(maps))

    def forward(self, image: Tensor, maps: Tensor, mask: Tensor) -> Tensor:
        """(B, y, x) complex to k-space (B, C, y, x), zero where the mask is False."""
        return self.given(maps, mask)(image)

    def adjoint(self, kspace: Tensor, maps: Tensor, mask: Tensor) -> Tensor:
        """Σ_c conj(S_c)·F^H(M·k_c), (B, y, x) complex: ⟨A x, k⟩ = ⟨x, A^H k⟩."""
        return self.given(maps, mask).adjoint(kspace)


class Sense(nn.Module):
    """Zero-filled SENSE, A^H k with A = M @ F @ S; with a learned F, the paper's Monarch SENSE.

    Learned from undersampled data, F^H is no longer the inverse DFT: with a head for each coil it combines frequencies
    and coils as GRAPPA and SMASH do, and so suppresses the aliasing. Linear in the data.
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
        encoding = Composition(Sampling(mask), self.fourier, Coils(require_maps(maps)))
        return encoding.H(kspace)


def require_maps(maps: Tensor | None) -> Tensor:
    """The coil maps, or ConfigError if there are none."""
    if maps is None:
        raise ConfigError("this network needs coil maps: set data.maps to espirit, or to file if the files hold them")
    return maps
