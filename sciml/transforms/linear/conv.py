"""A 1×1 convolution by a structured layer."""

from torch import Tensor, nn

from sciml.transforms.linear.base import StructuredLinear

Conv = nn.Conv1d | nn.Conv2d | nn.Conv3d
AXES: dict[type[nn.Module], int] = {nn.Conv1d: 1, nn.Conv2d: 2, nn.Conv3d: 3}  # of space


class StructuredConv(nn.Module):
    """y[b, :, s] = W·x[b, :, s] + c at every point s: a structured layer over the channels of x (B, C, *space).

    Args:
        linear: what maps the channels.
        kind: the class of the convolution in whose place it stands: the number of axes of space is that class's, and
            `to_conv` makes one again.
    """

    def __init__(self, linear: StructuredLinear, kind: type[Conv]) -> None:
        super().__init__()
        self.linear, self.kind = linear, kind
        self.in_channels, self.out_channels = linear.in_features, linear.out_features

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, *space) to (B, out_channels, *space), or both without the batch, as of a convolution."""
        channels = -1 - _axes(self.kind)
        y = self.linear(x.movedim(channels, -1)).movedim(-1, channels)  # channels last in memory
        return y.contiguous() if x.is_contiguous() else y

    @property
    def weight(self) -> Tensor:
        """(out_channels, in_channels, 1, …), for who reads a convolution's weight; made when it is read."""
        return self.linear.as_matrix()[(..., *[None] * _axes(self.kind))]

    @property
    def bias(self) -> nn.Parameter | None:
        return self.linear.bias

    def to_conv(self) -> Conv:
        """The dense convolution of the same function."""
        linear = self.linear.to_linear()
        conv = self.kind(linear.in_features, linear.out_features, 1, bias=linear.bias is not None, device="meta")
        weight = linear.weight.detach()[(..., *[None] * _axes(self.kind))]
        conv.weight = nn.Parameter(weight, requires_grad=linear.weight.requires_grad)
        conv.bias = linear.bias
        return conv.train(linear.training)


def linear_of(layer: nn.Linear | Conv) -> nn.Linear:
    """What a 1×1 convolution does to the channels, with its bias and a view of its weight; an nn.Linear itself."""
    if isinstance(layer, nn.Linear):
        return layer
    linear = nn.Linear(layer.in_channels, layer.out_channels, layer.bias is not None, device="meta")
    weight = layer.weight.detach().flatten(1)
    linear.weight = nn.Parameter(weight, requires_grad=layer.weight.requires_grad)
    linear.bias = layer.bias  # type: ignore[assignment]  # torch declares it a tensor
    return linear.train(layer.training)


def _axes(kind: type[nn.Module]) -> int:
    return next(axes for conv, axes in AXES.items() if issubclass(kind, conv))
