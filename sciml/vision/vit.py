"""A small vision transformer."""

import torch
from torch import Tensor, nn
from torch.nn.functional import pixel_unshuffle

from sciml.errors import ConfigError
from sciml.transformer import Block


class ViT(nn.Module):
    """Logits (B, classes) of pictures (B, 1, size, size). Dosovitskiy et al. (2021).

    Patches are mapped to tokens, learned positions added, pre-norm blocks applied; the mean over all tokens is
    classified.

    Args:
        size: Points along each side of a picture.
        patch: Points along each side of a patch.
        classes: Of pictures.
        width: Of a token.
        layers: Blocks.
        heads: Of the attention in each.

    Raises ConfigError for a number below 1, a patch that does not divide the size, or heads that do not divide the
    width.
    """

    def __init__(
        self, size: int = 8, patch: int = 2, classes: int = 10, *, width: int = 256, layers: int = 4, heads: int = 4
    ) -> None:
        super().__init__()
        if min(size, patch, classes, layers) < 1 or size % patch:
            raise ConfigError(
                f"{size=}, {patch=}, {classes=}, {layers=}: expected at least 1, and a patch dividing size"
            )
        self.patch = patch
        self.embed = nn.Linear(patch**2, width)
        self.position = nn.Parameter(0.02 * torch.randn((size // patch) ** 2, width))
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(layers))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, classes)

    def forward(self, pictures: Tensor) -> Tensor:
        patches = pixel_unshuffle(pictures, self.patch).flatten(2).mT  # (B, tokens, patch²)
        x = self.embed(patches) + self.position
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x).mean(1))
