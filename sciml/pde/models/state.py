"""neuralop's models with a state dict of tensors alone."""

from typing import Any

from neuralop.models.base_model import BaseModel
from torch import nn

METADATA = (
    "_metadata"  # where neuralop's state dicts hold the constructor's arguments, classes and functions among them
)


class TensorState:
    """A neuralop model's `state_dict` without its `_metadata`.

    With it the file of a saved state does not load with `weights_only=True`, a module around the model does not load
    its own state, and exporters that expect tensors fail. neuralop adds it after the hooks of torch's modules have run.
    """

    def __init__(self, model: BaseModel) -> None:
        self.model = model

    def __call__(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        state = type(self.model).state_dict(self.model, *args, **kwargs)
        state.pop(METADATA, None)
        return state


def tensor_state(model: nn.Module) -> nn.Module:
    """Give every neuralop model in `model` a TensorState as its `state_dict`, in place: all else stays.

    They pickle, copy and load states, neuralop's own too, as before.
    """
    for module in model.modules():
        if isinstance(module, BaseModel):
            module.state_dict = TensorState(module)
    return model


def without_metadata(module: nn.Module, state: dict[str, Any], prefix: str, local_metadata: dict[str, Any]) -> None:
    """For `register_state_dict_post_hook` of a module that holds neuralop models."""
    state.pop(METADATA, None)
