"""Layers of a network that someone else built: where they are, and others in their place."""

from collections.abc import Callable

from torch import nn
from torch.nn.modules import module as of_all_modules

# nn.Module's own names: it has no public way to list hooks. What else belongs to them:
_CALLED = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
_FLAGS = (
    "_forward_hooks_with_kwargs",
    "_forward_hooks_always_called",
    "_forward_pre_hooks_with_kwargs",
    "_is_full_backward_hook",
)


def places(model: nn.Module, wanted: Callable[[nn.Module], bool]) -> dict[nn.Module, list[str]]:
    """The wanted modules, each with all its names; one without a name is the model itself."""
    found: dict[nn.Module, list[str]] = {}
    for name, module in model.named_modules(remove_duplicate=False):
        if wanted(module):
            found.setdefault(module, []).append(name)
    return found


def put(model: nn.Module, names: list[str], layer: nn.Module) -> nn.Module:
    """The model with the layer at these places; the layer itself, if it is to replace the model."""
    for name in names:
        if name:
            model.set_submodule(name, layer)
    return layer if "" in names else model


def turn_layers(model: nn.Module, wanted: Callable[[nn.Module], bool], kind: type[nn.Module]) -> nn.Module:
    """Make the wanted layers of a model ones of a subclass without state of its own, in their own places.

    They keep the very same tensors, hooks, mode and settings.
    """
    for layer, names in places(model, wanted).items():
        new = kind.__new__(kind)
        new.__setstate__(vars(layer))
        model = put(model, names, new)
    return model


def has_hooks(module: nn.Module) -> bool:
    """Whether a call of this module is seen by someone."""
    return any(getattr(module, name) for name in _CALLED) or of_all_modules._has_any_global_hook()


def share_hooks(module: nn.Module, new: nn.Module) -> None:
    """Give `new` the module's hooks: the very dictionaries, so that handles that the user holds still remove them."""
    vars(new).update({name: vars(module)[name] for name in (*_CALLED, *_FLAGS)})
