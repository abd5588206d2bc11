"""In which norm a weight is projected: that of its own entries, or of what the network's loss feels of them."""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

FLOOR = 1e-3  # of an eigenvalue of a moment, relative to their mean: what no sample showed counts a little


@dataclass(frozen=True)
class Metric:
    """‖ΔW‖² = tr(G ΔW C ΔW*) for a change ΔW (…, out, in) of a weight, or of many (modes, out, in) with one each.

    C = Σ x x* of the layer's inputs x, and G = Σ g g* of the gradients g of the loss by its outputs, over samples. With
    G = I it is the squared change of the outputs; with both, the Gauss-Newton change of the loss if x and g were
    independent.

    Source: Martens and Grosse 2015, "Optimizing Neural Networks with Kronecker-factored Approximate Curvature", arXiv
    1503.05671; for compression, Hsu et al. 2022, "Language model compression with weighted low-rank factorization",
    arXiv 2207.00112.
    """

    inputs: Tensor
    outputs: Tensor

    def whiten(self, weight: Tensor) -> Tensor:
        """G^½ W C^½, whose Frobenius norm is this one of W."""
        return _power(self.outputs, 0.5) @ weight.to(self.inputs.dtype) @ _power(self.inputs, 0.5)

    def unwhiten(self, weight: Tensor) -> Tensor:
        """The inverse of `whiten`."""
        return _power(self.outputs, -0.5) @ weight @ _power(self.inputs, -0.5)


class Moments:
    """C and G as they are summed, in double precision."""

    def __init__(self) -> None:
        self.inputs: Tensor | None = None
        self.outputs: Tensor | None = None

    def add_inputs(self, x: Tensor) -> None:
        """(samples, channels), or (modes, samples, channels) of a weight for each mode."""
        self.inputs = _added(self.inputs, x)

    def add_gradients(self, g: Tensor) -> None:
        self.outputs = _added(self.outputs, g)

    def metric(self) -> Metric:
        assert self.inputs is not None
        assert self.outputs is not None
        return Metric(self.inputs, self.outputs)


@runtime_checkable
class Observed(Protocol):
    """A layer whose weight is no nn.Linear's, such as one for each mode, and that shows its inputs and gradients."""

    def observed(self, moments: Moments) -> AbstractContextManager[object]:
        """While it is open, the layer adds what it gets and what comes back."""
        ...


def measure(net: nn.Module, losses: Iterable[Tensor], is_dense: Callable[[nn.Module], bool]) -> dict[str, Metric]:
    """The metric of every dense layer and of every `Observed` one that the losses reach, by name.

    Args:
        net: its parameters get gradients, whether they are to be learned or not.
        losses: one for each batch, each computed by the network when it is asked for.
        is_dense: which layers are nn.Linear's or 1×1 convolutions.
    """
    net.requires_grad_(True)
    moments: dict[str, Moments] = {}
    with ExitStack() as stack:
        for name, layer in net.named_modules():
            if isinstance(layer, Observed):
                stack.enter_context(layer.observed(moments.setdefault(name, Moments())))
            elif is_dense(layer):
                hook = _recording(moments.setdefault(name, Moments()))
                stack.callback(layer.register_forward_hook(hook).remove)
        for loss in losses:
            loss.backward()
    net.zero_grad()
    return {name: found.metric() for name, found in moments.items() if found.outputs is not None}


def _recording(moments: Moments) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
    def record(layer: nn.Module, args: tuple[Tensor, ...], y: Tensor) -> None:
        channels = -1 if isinstance(layer, nn.Linear) else 1

        def rows(t: Tensor) -> Tensor:
            return t.detach().movedim(channels, -1).flatten(0, -2)

        moments.add_inputs(rows(args[0]))
        y.register_hook(lambda gradient: moments.add_gradients(rows(gradient)))

    return record


def _added(total: Tensor | None, x: Tensor) -> Tensor:
    x = x.detach().to(torch.complex128 if x.is_complex() else torch.float64)
    moment = x.mT @ x.conj()
    return moment if total is None else total + moment


def _power(moment: Tensor, exponent: float) -> Tensor:
    """Of a Hermitian, positive semi-definite matrix, its eigenvalues raised by the FLOOR."""
    values, vectors = torch.linalg.eigh(moment)
    mean = values.mean(-1, keepdim=True)
    raised = values.clamp(min=0) + torch.where(mean > 0, FLOOR * mean, 1.0)
    return (vectors * raised.pow(exponent)[..., None, :].to(vectors.dtype)) @ vectors.mH
