"""neuralop's models with a state dict of tensors alone."""

from functools import cache
from typing import Any

from torch import nn


class TensorState:
    """Before a neuralop model in the order of classes: its state dict without `_metadata`.

    neuralop puts its constructor's arguments there, classes and functions among them. So the file of a saved state
    does not load with `weights_only=True`, a module around the model does not load its own state, and exporters that
    expect tensors fail.
    """

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        state = super().state_dict(*args, **kwargs)  # type: ignore[misc]
        state.pop("_metadata", None)
        return state

    def __reduce_ex__(self, protocol: Any) -> tuple:
        # Pickled and copied as the neuralop model that it is, since this class has no name in a module.
        reduced: Any = super().__reduce_ex__(protocol)
        return _restored, (type(self).__mro__[2],), *reduced[2:]


def tensor_state(model: nn.Module) -> nn.Module:
    """Keep `_metadata` out of the state dict of every neuralop model in `model`, in place: all else stays.

    They are still instances of their classes, and pickle, copy and load states, old ones too, as before.
    """
    for module in model.modules():
        if hasattr(module, "_init_kwargs") and not isinstance(module, TensorState):
            kind: Any = type(module)
            module.__class__ = _with_tensor_state(kind)
    return model


@cache
def _with_tensor_state(cls: Any) -> Any:
    new = type(cls)(
        cls.__name__,
        (TensorState, cls),
        {"__doc__": cls.__doc__, "__module__": cls.__module__},
        name=f"sciml.{cls.__name__}",
    )
    new._name = cls._name
    cls._models.pop(f"sciml.{cls.__name__}".lower())  # neuralop's register of models is left as it was
    return new


def _restored(cls: Any) -> Any:
    model = cls.__new__(cls)
    model.__class__ = _with_tensor_state(cls)
    return model
