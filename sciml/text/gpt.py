"""A small GPT."""

import torch
from torch import Tensor, nn

from sciml.errors import ConfigError
from sciml.transformer import Block


class GPT(nn.Module):
    """Logits of the byte that follows each of (B, T ≤ context) bytes: (B, T, vocabulary). Radford et al. (2019).

    Pre-norm blocks with causal attention; learned positions; the last map is not tied to the embedding, which costs
    little at this vocabulary; no dropout.

    Args:
        vocabulary: Different tokens; 256 for bytes.
        context: Most tokens that it sees at once.
        width: Of a token within.
        layers: Blocks.
        heads: Of the attention in each.

    Raises ConfigError for a number below 1, or heads that do not divide the width.
    """

    def __init__(
        self, vocabulary: int = 256, *, context: int = 128, width: int = 768, layers: int = 2, heads: int = 12
    ) -> None:
        super().__init__()
        if min(vocabulary, context, layers) < 1:
            raise ConfigError(f"{vocabulary=}, {context=}, {layers=}: each must be at least 1")
        self.context = context
        self.token, self.position = nn.Embedding(vocabulary, width), nn.Embedding(context, width)
        for embedding in (self.token, self.position):
            nn.init.normal_(embedding.weight, std=0.02)
        self.blocks = nn.ModuleList(Block(width, heads, causal=True) for _ in range(layers))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, vocabulary)

    def forward(self, tokens: Tensor) -> Tensor:
        if tokens.shape[-1] > self.context:
            raise ConfigError(
                f"model.net.context: {self.context}, but data.context is {tokens.shape[-1]}; set the same for both"
            )
        x = self.token(tokens) + self.position(torch.arange(tokens.shape[-1], device=tokens.device))
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))
