"""The pre-norm transformer block that the test beds of text and of small pictures share."""

from torch import Tensor, nn
from torch.nn.functional import gelu, scaled_dot_product_attention

from sciml.errors import ConfigError


class Block(nn.Module):
    """x ← x + attention(norm(x)), then x ← x + down(gelu(up(norm(x)))), on (B, T, width); `up` is four times as wide.

    All four maps are `nn.Linear`, so that a structure may take their place (torch's own TransformerEncoderLayer keeps
    the projections of its attention as bare parameters).

    Args:
        width: Of a token.
        heads: Of the attention; they share the width out.
        causal: A token sees itself and those before it alone.

    Raises ConfigError unless the heads divide the width.
    """

    def __init__(self, width: int, heads: int, *, causal: bool = False) -> None:
        super().__init__()
        if width < 1 or heads < 1 or width % heads:
            raise ConfigError(f"{width=}, {heads=}: expected heads that divide the width")
        self.heads, self.causal = heads, causal
        self.norm_attention, self.norm_mlp = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm_attention(x))
        return x + self.down(gelu(self.up(self.norm_mlp(x))))

    def attention(self, x: Tensor) -> Tensor:
        q, k, v = (
            self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        )  # each (B, heads, T, width/heads)
        y = scaled_dot_product_attention(q, k, v, is_causal=self.causal)
        return self.out(y.transpose(1, 2).flatten(2))
