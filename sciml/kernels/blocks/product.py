"""The product with two block factors by `cpu`, with its derivatives of any order."""

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from sciml.kernels.blocks import cpu, reference


def monarch_linear(x: Tensor, right: Tensor, left: Tensor, bias: Tensor | None) -> Tensor:
    """Equal to `reference.monarch_linear`; see there for shapes. Computed and returned in the type of x."""
    (blocks_in, _, _, p), (blocks_out, q, _, _) = right.shape, left.shape
    width = blocks_out * q
    rows = _padded(x, blocks_in * p).reshape(-1, blocks_in * p)
    bias = None if bias is None else _padded(bias.to(x.dtype), width)
    operands = rows, right.to(x.dtype), left.to(x.dtype), bias
    # A compiler derives the plain operations itself, and an exported graph holds nothing else.
    y = cpu.product(*operands)[0] if torch.compiler.is_compiling() else _Product.apply(*operands)
    return y.view(*x.shape[:-1], width)


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, right: Tensor, left: Tensor, bias: Tensor | None) -> Tensor:
        y, s = cpu.product(x, right, left, bias)
        ctx.save_for_backward(x, right, left, s)
        return y

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple:
        x, right, left, s = ctx.saved_tensors
        *want, bias = ctx.needs_input_grad
        by_bias = dy.sum(0) if bias else None
        if torch.is_grad_enabled() and any(want):  # a graph of the gradients is asked for
            return *_differentiable(dy, (x, right, left), want), by_bias
        return *cpu.gradients(dy, x, s, right, left, want), by_bias


def _differentiable(dy: Tensor, operands: tuple[Tensor, Tensor, Tensor], want: list[bool]) -> list[Tensor | None]:
    """The gradients of the specification, which autograd can derive again."""
    chosen = [t for t, wanted in zip(operands, want, strict=True) if wanted]
    found = iter(torch.autograd.grad(reference.monarch_linear(*operands), chosen, dy, create_graph=True))
    return [next(found) if wanted else None for wanted in want]


def _padded(x: Tensor, width: int) -> Tensor:
    return x if x.shape[-1] == width else pad(x, (0, width - x.shape[-1]))  # pad copies even by nothing
