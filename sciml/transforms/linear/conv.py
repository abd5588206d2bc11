"""A 1×1 convolution by a structured layer."""

from torch import Tensor, nn

from sciml.transforms.linear.base import StructuredLinear

Conv = nn.Conv1d | nn.Conv2d | nn.Conv3d
AXES: dict[type[nn.Module], int] = {nn.Conv1d: 1, nn.Conv2d: 2, nn.Conv3d: 3}


class StructuredConv(nn.Module):
    """y[b, :, s] = W·x[b, :, s] + c at every point s: a structured layer over the channels of x (B, C, *space).

    Args:
        linear: what maps the channels.
        kind: the class of the dense convolution in whose place it stands: the number of axes of space is that class's,
            and `to_conv` makes one again.
    """

    def __init__(self, linear: StructuredLinear, kind: type[Conv]) -> None:
        super().__init__()
        self.linear, self.kind = linear, kind
        self.in_channels, self.out_channels = linear.in_features, linear.out_features

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, *space) to (B, out_channels, *space), or both without the batch, as of a convolution."""
        channels = -1 - axes_of(self.kind)
        return self.linear(x.movedim(channels, -1)).movedim(-1, channels).contiguous()

    def to_conv(self) -> Conv:
        """The dense convolution of the same function."""
        return conv_of(self.linear.to_linear(), self.kind)


def axes_of(kind: type[nn.Module]) -> int:
    """The axes of space of a class of convolutions."""
    return next(axes for conv, axes in AXES.items() if issubclass(kind, conv))


def linear_of(conv: Conv) -> nn.Linear:
    """The layer over channels that a 1×1 convolution is, of the same bias and a view of the same weight."""
    has_bias = conv.bias is not None
    linear = nn.Linear(conv.in_channels, conv.out_channels, has_bias, device="meta")
    weight = conv.weight.detach().flatten(1)
    linear.weight = nn.Parameter(weight, requires_grad=conv.weight.requires_grad)
    if conv.bias is not None:
        linear.bias = conv.bias
    return linear.train(conv.training)


def conv_of(linear: nn.Linear, kind: type[Conv]) -> Conv:
    """The 1×1 convolution of a class that maps the channels as `linear` does, with the same bias and a view of W."""
    conv = kind(linear.in_features, linear.out_features, 1, bias=linear.bias is not None, device="meta")
    weight = linear.weight.detach()[(..., *[None] * axes_of(kind))]
    conv.weight = nn.Parameter(weight, requires_grad=linear.weight.requires_grad)
    if conv.bias is not None:
        conv.bias = linear.bias
    return conv.train(linear.training)
