"""Networks with structured layers in place of their dense ones, and back."""

from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase

from torch import nn

from sciml.errors import ConfigError, listed
from sciml.transforms.linear.base import StructuredLinear
from sciml.transforms.linear.conv import AXES, StructuredConv, linear_of
from sciml.transforms.linear.structures import Structure
from sciml.transforms.modules import PointwiseConv1d, is_pointwise
from sciml.transforms.replace import places, put, share_hooks

Where = Sequence[str] | Callable[[str, nn.Module], bool] | None


def sparsify(net: nn.Module, structure: Structure, *, where: Where = None, projected: bool = True) -> nn.Module:
    """Put a structured layer in place of every nn.Linear and 1×1 convolution of a network, which is returned.

    A layer that is in several places stays one, and layers that share a weight share its factors; where a weight is
    also used by what is not replaced (an embedding), its layer is left as it is. So is a layer for which the structure
    has more parameters. Bias, device, type, mode, hooks and requires_grad are kept.

    Args:
        structure: what the layers are to be, such as `Monarch(blocks=16)`.
        where: patterns (`*.mlp.*`) of the names of the layers, or a predicate of name and layer; all of them if None.
        projected: whether the new weights are the nearest to the old ones, or are drawn, as for a training anew.

    Raises:
        ConfigError: there is nothing to replace; the network is left as it was.
    """
    found = places(net, is_dense)
    chosen = {layer: names for layer, names in found.items() if any(_matches(where, name, layer) for name in names)}
    owners = _owners(net)
    free = [layer for layer in chosen if owners[layer.weight] <= chosen.keys() and _saves(structure, layer)]
    if not free:
        raise ConfigError(
            f"sparsify: nothing to replace by {structure} where={where}: of the dense layers "
            f"{listed(name for names in found.values() for name in names)}, {len(chosen)} are asked for, and none has "
            "fewer parameters so, with a weight of its own; change where or structure"
        )
    first: dict[nn.Parameter, StructuredLinear] = {}
    made = {layer: _structured(layer, structure, projected, first) for layer in free}
    return _put(net, {layer: (new, chosen[layer]) for layer, new in made.items()})


def densify(net: nn.Module) -> nn.Module:
    """Put the dense layer of the same function in place of every structured one of a network, which is returned.

    What `sparsify` replaced is again of its own class, and what was shared is shared. A network without structured
    layers is returned as it is.
    """
    inside = {module.linear for module in net.modules() if isinstance(module, StructuredConv)}
    found = places(net, lambda m: isinstance(m, StructuredConv | StructuredLinear) and m not in inside)
    first: dict[tuple[object, ...], nn.Module] = {}
    made: dict[nn.Module, nn.Module] = {}
    for layer in found:
        structured = layer.linear if isinstance(layer, StructuredConv) else layer
        made[layer] = new = layer.to_conv() if isinstance(layer, StructuredConv) else layer.to_linear()
        new.weight = first.setdefault((type(new), *structured.factors()), new).weight
    return _put(net, {layer: (new, found[layer]) for layer, new in made.items()})


def is_dense(layer: nn.Module) -> bool:
    """Whether it is an nn.Linear or a convolution that multiplies the channels of each point by a real matrix.

    Subclasses of torch's may compute otherwise, or be read by others (the last layer of nn.MultiheadAttention).
    """
    kind = type(layer)
    known = kind is nn.Linear or (kind in (*AXES, PointwiseConv1d) and is_pointwise(layer))
    return known and isinstance(layer.weight, nn.Parameter) and layer.weight.is_floating_point()


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


def _saves(structure: Structure, layer: nn.Module) -> bool:
    linear = _linear(layer)
    new = structure(linear.in_features, linear.out_features, linear.bias is not None, device="meta")
    return sum(p.numel() for p in new.parameters()) <= sum(p.numel() for p in layer.parameters())


def _structured(
    layer: nn.Module, structure: Structure, projected: bool, first: dict[nn.Parameter, StructuredLinear]
) -> nn.Module:
    """The new layer, with the factors of the `first` of those that share its weight."""
    linear = _linear(layer)
    if projected:
        new = structure.from_linear(linear)
    else:
        kept = {"device": linear.weight.device, "dtype": linear.weight.dtype}
        new = structure(linear.in_features, linear.out_features, linear.bias is not None, **kept).as_trained_as(linear)
    shared = first.setdefault(layer.weight, new)
    for product in new.products():
        for name, _ in product:
            setattr(new, name, getattr(shared, name))
    return new if isinstance(layer, nn.Linear) else StructuredConv(new, type(layer))


def _linear(layer: nn.Module) -> nn.Linear:
    return layer if isinstance(layer, nn.Linear) else linear_of(layer)


def _put(net: nn.Module, made: dict[nn.Module, tuple[nn.Module, list[str]]]) -> nn.Module:
    for layer, (new, names) in made.items():
        share_hooks(layer, new.train(layer.training))
        net = put(net, names, new)
    return net
