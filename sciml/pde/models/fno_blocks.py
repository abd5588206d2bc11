"""neuralop's FNO blocks with the skip connection and the activation inside the spectral layer's last pass."""

from collections.abc import Sequence

from neuralop.layers.fno_block import FNOBlocks
from torch import Tensor, nn
from torch.nn.functional import gelu

from sciml.pde.models.filter_bank import FilterBank
from sciml.pde.models.replace import has_hooks, turn_layers
from sciml.pde.models.spectral_conv import MonarchSpectralConv


class FusedFNOBlocks(FNOBlocks):
    """neuralop 2.0's FNOBlocks, the same function and state: GELU(K(x) + bias + skip(x)) leaves the layer complete.

    A block that has more between these (a norm, a stabilizer, another activation) runs as neuralop's, and so does one
    whose spectral layer has hooks: they see that layer's own output.
    """

    def forward_with_postactivation(
        self, x: Tensor, index: int = 0, output_shape: Sequence[int] | None = None
    ) -> Tensor:
        conv = self.convs[index]
        plain = self.norm is None and self.stabilizer is None and self.non_linearity is gelu
        fusible = isinstance(conv, MonarchSpectralConv | FilterBank) and not has_hooks(conv)
        if not (plain and fusible and self.fno_skips is not None):
            return super().forward_with_postactivation(x, index, output_shape)
        inner = index < self.n_layers - 1
        skip = conv.transform(self.fno_skips[index](x), output_shape=output_shape)
        y = conv(x, output_shape, skip=skip, gelu=inner)
        if self.use_channel_mlp:
            y = self.channel_mlp[index](y)
            if self.channel_mlp_skips is not None:
                y = y + conv.transform(self.channel_mlp_skips[index](x), output_shape=output_shape)
        return gelu(y) if inner else y


def fuse_blocks(model: nn.Module) -> nn.Module:
    """Put a FusedFNOBlocks in place of every FNOBlocks of a model."""
    return turn_layers(model, lambda blocks: type(blocks) is FNOBlocks, FusedFNOBlocks)
