"""Convolutions of width one as one matrix product: the same numbers, several times faster on a CPU."""

import torch
from torch import Tensor, nn


class PointwiseConv1d(nn.Conv1d):
    """nn.Conv1d with kernel size 1 computed as y[b] = W·x[b] + c; parameters and state dict are unchanged."""

    def forward(self, input: Tensor) -> Tensor:
        weight = self.weight[:, :, 0].expand(input.shape[0], -1, -1)
        if self.bias is None:
            return torch.bmm(weight, input)
        return torch.baddbmm(self.bias[None, :, None], weight, input)


def use_pointwise(model: nn.Module) -> nn.Module:
    """Turn every plain nn.Conv1d of width one inside a model, in place, into a PointwiseConv1d."""
    for module in model.modules():
        if type(module) is nn.Conv1d and _is_pointwise(module):
            module.__class__ = PointwiseConv1d
    return model


def _is_pointwise(conv: nn.Conv1d) -> bool:
    plain = conv.kernel_size == conv.stride == (1,) and conv.padding == (0,) and conv.groups == 1
    return plain and conv.padding_mode == "zeros"
