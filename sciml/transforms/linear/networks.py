"""Networks with structured layers in place of their dense ones, and back."""

from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, cast

from torch import Tensor, nn

from sciml.errors import ConfigError, listed
from sciml.transforms.linear.base import StructuredLinear
from sciml.transforms.linear.conv import AXES, Conv, StructuredConv, linear_of
from sciml.transforms.linear.own import Sparsifiable, Sparsified
from sciml.transforms.linear.structures import Structure
from sciml.transforms.modules import PointwiseConv1d, is_pointwise
from sciml.transforms.replace import places, put, share_hooks

Dense = nn.Linear | Conv
Where = Sequence[str] | Callable[[str, nn.Module], bool] | None


def sparsify(net: nn.Module, structure: Structure, *, where: Where = None, projected: bool = True) -> nn.Module:
    """Put a structured layer in place of every nn.Linear, 1×1 convolution and `Sparsifiable` layer of a network.

    The network is returned. Of FNO's spectral layers the channel matrix at every mode becomes structured.

    A layer that is in several places stays one, and layers that share a weight share its factors; where a weight is
    also used by what is not replaced (an embedding), its layer is left as it is. So is a layer for which the structure
    has more parameters. Bias, device, type, mode, hooks and requires_grad are kept.

    Args:
        structure: what the layers are to be, such as `Monarch(blocks=16)`.
        where: patterns (`*.mlp.*`) of the names of the layers, or a predicate of name and layer; all of them if None.
        projected: whether the new weights are the nearest to the old ones, or are drawn, as for a training anew (also
            those of a layer that its network starts at zero).

    Raises:
        ConfigError: there is nothing to replace; the network is left as it was.
    """
    found: dict[Any, list[str]] = places(net, lambda m: is_dense(m) or isinstance(m, Sparsifiable))
    chosen = {layer: names for layer, names in found.items() if any(_matches(where, name, layer) for name in names)}
    owners = _owners(net)
    own = {layer: layer.sparsified(structure, projected=projected) for layer in chosen if not is_dense(layer)}
    made: dict[nn.Module, nn.Module] = {
        layer: new for layer, new in own.items() if new is not None and _count(new) <= _count(layer)
    }
    plain = [layer for layer in chosen if is_dense(layer)]
    replaced = [layer for layer in plain if owners[layer.weight] <= chosen.keys() and _saves(structure, layer)]
    if not (replaced or made):
        dense = listed(name for names in found.values() for name in names)
        raise ConfigError(
            f"sparsify: {where=} means {len(chosen)} of the dense layers {dense}, and {structure} makes none of them "
            "smaller that has its weight for itself; change where or structure"
        )
    first: dict[nn.Parameter, StructuredLinear] = {}
    for layer in replaced:
        new = _structured(layer, structure, projected)
        _share_factors(new, first.setdefault(layer.weight, new))
        made[layer] = new if isinstance(layer, nn.Linear) else StructuredConv(new, type(layer))
    return _put(net, made, chosen)


def densify(net: nn.Module) -> nn.Module:
    """Put the dense layer of the same function in place of every structured one of a network, which is returned.

    What `sparsify` replaced is again of its own class, and what was shared is shared. A network without structured
    layers is returned as it is.
    """
    inside = {module.linear for module in net.modules() if isinstance(module, StructuredConv)}
    found: dict[Any, list[str]] = places(
        net, lambda m: isinstance(m, StructuredConv | StructuredLinear | Sparsified) and m not in inside
    )
    first: dict[tuple[object, ...], Tensor] = {}
    made: dict[nn.Module, nn.Module] = {}
    for layer in found:
        own: Any = layer
        if isinstance(own, Sparsified):
            made[layer] = own.densified()
            continue
        factors = (layer.linear if isinstance(layer, StructuredConv) else layer).factors()
        made[layer] = new = layer.to_conv() if isinstance(layer, StructuredConv) else layer.to_linear()
        new.weight = first.setdefault((type(new), *factors), new.weight)
    return _put(net, made, found)


def is_dense(layer: nn.Module) -> bool:
    """Whether it is an nn.Linear or a convolution that multiplies the channels of each point by a real matrix.

    Subclasses of torch's may compute otherwise, or be read by others (the last layer of nn.MultiheadAttention).
    """
    convolution = type(layer) in (*AXES, PointwiseConv1d) and is_pointwise(cast(Conv, layer))
    weight = layer.weight if type(layer) is nn.Linear or convolution else None
    return isinstance(weight, nn.Parameter) and weight.is_floating_point()


def _matches(where: Where, name: str, layer: nn.Module) -> bool:
    if callable(where):
        return where(name, layer)
    return where is None or any(fnmatchcase(name, pattern) for pattern in where)


def _owners(net: nn.Module) -> dict[nn.Parameter, set[nn.Module]]:
    """The modules that hold each parameter."""
    owners: dict[nn.Parameter, set[nn.Module]] = {}
    for module in net.modules():
        for parameter in module.parameters(recurse=False):
            owners.setdefault(parameter, set()).add(module)
    return owners


def _saves(structure: Structure, layer: Dense) -> bool:
    linear = linear_of(layer)
    new = structure(linear.in_features, linear.out_features, linear.bias is not None, device="meta")
    return _count(new) <= _count(layer)


def _count(module: nn.Module) -> int:
    """Real numbers in its parameters."""
    return sum(p.numel() * (2 if p.is_complex() else 1) for p in module.parameters())


def _structured(layer: Dense, structure: Structure, projected: bool) -> StructuredLinear:
    linear = linear_of(layer)
    if projected:
        return structure.from_linear(linear)
    kept = {"device": linear.weight.device, "dtype": linear.weight.dtype}
    new = structure(linear.in_features, linear.out_features, linear.bias is not None, **kept)
    return new.as_trained_as(linear)


def _share_factors(new: StructuredLinear, of: StructuredLinear) -> None:
    for product in new.products():
        for name, _ in product:
            setattr(new, name, getattr(of, name))


def _put(net: nn.Module, made: Mapping[nn.Module, nn.Module], names: Mapping[Any, list[str]]) -> nn.Module:
    for layer, new in made.items():
        share_hooks(layer, new.train(layer.training))
        net = put(net, names[layer], new)
    return net
