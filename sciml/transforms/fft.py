"""The fixed Fourier transform behind the same protocol."""

from typing import Any

import torch
from torch import Tensor

from sciml.errors import ConfigError
from sciml.transforms.base import Transform


class FourierTransform(Transform):
    """torch.fft with the modes kept or zero-filled; it has no parameters, so learnable=True is refused."""

    def __init__(self, size: int, *, learnable: bool = False, **options: Any) -> None:
        if learnable:
            raise ConfigError("learnable=True: the Fourier transform is fixed; use MonarchTransform or DenseTransform")
        super().__init__(size, learnable=False, **options)
        self.register_buffer(
            "_matrix",
            self.initial_matrix().to(torch.promote_types(torch.get_default_dtype(), torch.complex64)),
            persistent=False,
        )

    def as_matrix(self) -> Tensor:
        return self.get_buffer("_matrix").expand(self.heads, -1, -1)

    def load_matrix(self, matrix: Tensor) -> None:
        """A fixed transform has nothing to load: at any size it is the DFT."""
