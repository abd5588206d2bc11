"""What every structured layer offers: nn.Linear's call, its matrix, projection to its class and back, and rates."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol, Self, runtime_checkable

import torch
from torch import Tensor, nn
from torch.func import functional_call

from sciml.errors import ConfigError
from sciml.transforms.linear.metric import Metric


class Factor(NamedTuple):
    """The name of a parameter and the number of inputs that each of its outputs sums over."""

    name: str
    fan_in: float


class StructuredLinear(nn.Module, ABC):
    """y = W·x + c for x (…, in_features), a drop-in for nn.Linear whose W is a sum of products of small factors.

    A subclass says what its factors are (`products`), multiplies by them (`forward`), multiplies them out
    (`as_matrix`) and finds the factors nearest to a given matrix (`load_matrix`).

    Start: outputs have the variance of nn.Linear's, ⅓·mean(x²) without the bias. Each factor is drawn uniformly with
    the bound √3·g/√fan_in (He et al. 2015), where the g of a product of m factors multiply to 1/√3, over √(number of
    products); the bias is nn.Linear's.

    Raises:
        ConfigError: a number of features below 1.
    """

    bias: nn.Parameter | None

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        if in_features < 1 or out_features < 1:
            raise ConfigError(f"{in_features=} and {out_features=}: both must be at least 1")
        self.in_features, self.out_features = in_features, out_features
        empty = nn.Parameter(torch.empty(out_features, device=device, dtype=dtype)) if bias else None
        self.register_parameter("bias", empty)

    @abstractmethod
    def products(self) -> Sequence[Sequence[Factor]]:
        """The factors of each product, the first applied first; W is the sum of the products."""

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """(…, in_features) to (…, out_features)."""

    @abstractmethod
    def as_matrix(self) -> Tensor:
        """W (out_features, in_features), differentiable in the factors."""

    @abstractmethod
    def load_matrix(self, matrix: Tensor) -> None:
        """Set the factors so that `as_matrix()` is near to `matrix` (out_features, in_features), as the class says."""

    def load_matrix_in(self, metric: Metric, matrix: Tensor) -> None:
        """Set the factors so that `as_matrix()` is near to `matrix` in a metric: by descent from `load_matrix`."""
        self.load_matrix(matrix)
        descend(self, metric, matrix)

    @property
    def weight(self) -> Tensor:
        """`as_matrix()`, for who reads nn.Linear's weight; made when it is read."""
        return self.as_matrix()

    @classmethod
    def from_linear(cls, linear: nn.Linear, **settings: Any) -> Self:
        """The layer of these settings nearest to `linear`; bias, device, type, mode and requires_grad are kept.

        The projection is computed in double precision.
        """
        has_bias, dtype = linear.bias is not None, linear.weight.dtype
        undrawn = cls(linear.in_features, linear.out_features, has_bias, device="meta", dtype=dtype, **settings)
        new = undrawn.to_empty(device=linear.weight.device)
        new.load_matrix(linear.weight.detach().double())
        with torch.no_grad():
            if new.bias is not None:
                new.bias.copy_(linear.bias)
        return new.as_trained_as(linear)

    @torch.no_grad()
    def to_linear(self) -> nn.Linear:
        """The dense layer of the same function: the factors multiplied out."""
        linear = nn.Linear(self.in_features, self.out_features, self.bias is not None, device="meta")
        linear.weight = nn.Parameter(self.as_matrix().contiguous(), any(f.requires_grad for f in self.factors()))
        if self.bias is not None:
            linear.bias = nn.Parameter(self.bias.clone(), self.bias.requires_grad)
        return linear.train(self.training)

    def check_input(self, x: Tensor) -> None:
        """Raise ValueError unless x has as many features as the layer: padding would hide it."""
        if x.shape[-1] != self.in_features:
            raise ValueError(f"x has {x.shape[-1]} features along its last axis, the layer {self.in_features}")

    def as_trained_as(self, linear: nn.Linear) -> Self:
        """Itself, in the mode of `linear`, and its parameters frozen where those of `linear` are."""
        for factor in self.factors():
            factor.requires_grad_(linear.weight.requires_grad)
        if self.bias is not None:
            self.bias.requires_grad_(linear.bias.requires_grad)
        return self.train(linear.training)

    def factors(self) -> list[nn.Parameter]:
        """All parameters but the bias."""
        return [self.get_parameter(factor.name) for product in self.products() for factor in product]

    def rate_multipliers(self) -> dict[str, float]:
        """By what a dense layer's learning rate is to be multiplied for each factor.

        in_features / (fan_in·m) for a factor of a product of m: then a step of Adam changes outputs about as much as
        the same step of the dense layer does. Source: Qiu et al. 2024, "Compute Better Spent", arXiv 2406.06248.
        """
        return {
            name: self.in_features / (fan_in * len(product)) for product in self.products() for name, fan_in in product
        }

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draw all parameters anew."""
        products = self.products()
        for product in products:
            gain = (3 * len(products)) ** (-0.5 / len(product))
            for name, fan_in in product:
                bound = gain * math.sqrt(3 / fan_in)
                self.get_parameter(name).uniform_(-bound, bound)
        if self.bias is not None:
            self.bias.uniform_(-(self.in_features**-0.5), self.in_features**-0.5)

    def extra_repr(self) -> str:
        return f"{self.in_features}, {self.out_features}, bias={self.bias is not None}"


@runtime_checkable
class Rated(Protocol):
    """A structured layer, or a structured weight of one, whose factors have rates of their own."""

    def get_parameter(self, target: str) -> nn.Parameter: ...

    def rate_multipliers(self) -> dict[str, float]:
        """Of each factor by its name; see `StructuredLinear`."""
        ...


def rate_multipliers(net: nn.Module) -> dict[nn.Parameter, float]:
    """The multiplier of each learnable factor of the structured layers inside a network (`StructuredLinear`)."""
    layers = [module for module in net.modules() if isinstance(module, Rated)]
    found = {layer.get_parameter(name): value for layer in layers for name, value in layer.rate_multipliers().items()}
    return {parameter: value for parameter, value in found.items() if parameter.requires_grad}


def descend(layer: StructuredLinear, metric: Metric, matrix: Tensor, steps: int = 100) -> None:
    """Move a layer's factors from where they are until `as_matrix()` is near to `matrix` in a metric, by L-BFGS."""
    wanted, shared = metric.whiten(matrix), layer.factors()
    if not bool(wanted.any()):  # there the relative error has no meaning, and `load_matrix` gave zero already
        return
    factors = [factor.detach().to(wanted.dtype).requires_grad_() for factor in shared]
    names = [factor.name for product in layer.products() for factor in product]
    optimizer = torch.optim.LBFGS(factors, max_iter=steps, history_size=20, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        found = functional_matrix(layer, dict(zip(names, factors, strict=True)))
        error = (metric.whiten(found) - wanted).norm() / wanted.norm()
        error.backward()
        return error

    with torch.enable_grad():
        optimizer.step(closure)
    with torch.no_grad():
        for factor, found in zip(shared, factors, strict=True):
            factor.copy_(found)


def functional_matrix(layer: StructuredLinear, factors: Mapping[str, Tensor]) -> Tensor:
    """`as_matrix()` of a layer with these factors in place of its own, which may be complex."""
    return functional_call(_Matrix(layer), {f"layer.{name}": factor for name, factor in factors.items()}, ())


class _Matrix(nn.Module):
    """A layer's matrix as the value of a call."""

    def __init__(self, layer: StructuredLinear) -> None:
        super().__init__()
        self.layer = layer

    def forward(self) -> Tensor:
        return self.layer.as_matrix()


def nearest_product(matrices: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """(…, m, rank) and (…, rank, n) whose product is nearest to each matrix (…, m, n) in Frobenius norm.

    The truncated singular value decomposition, each value shared equally between both (Eckart and Young 1936). Where a
    value is zero, the second keeps a row of norm 1: with both zero, neither would have a gradient. Beyond the smaller
    side of the matrix there is nothing left, and both are zero.
    """
    u, s, vh = torch.linalg.svd(matrices, full_matrices=False)
    s = s[..., :rank]
    share = torch.where(s > torch.finfo(s.dtype).eps * s.amax(), s.sqrt(), 1.0)
    first, last = u[..., :rank] * (s / share)[..., None, :], share[..., None] * vh[..., :rank, :]
    lacking = max(0, rank - s.shape[-1])
    return nn.functional.pad(first, (0, lacking)), nn.functional.pad(last, (0, 0, 0, lacking))
