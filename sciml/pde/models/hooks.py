"""The hooks that a user has set on a layer."""

from torch import nn
from torch.nn.modules import module as of_all_modules

_CALLED = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
# nn.Module's own names: it has no public way to list hooks. What else belongs to them:
_FLAGS = (
    "_forward_hooks_with_kwargs",
    "_forward_hooks_always_called",
    "_forward_pre_hooks_with_kwargs",
    "_is_full_backward_hook",
)


def has_hooks(module: nn.Module) -> bool:
    """Whether a call of this module is seen by someone."""
    return any(getattr(module, name) for name in _CALLED) or of_all_modules._has_any_global_hook()


def take_hooks(module: nn.Module) -> dict[str, object]:
    """Remove a module's hooks, to be given back, or to another module, by `give_hooks`."""
    fresh = vars(nn.Module())
    taken = {name: vars(module)[name] for name in (*_CALLED, *_FLAGS)}
    vars(module).update({name: fresh[name] for name in taken})
    return taken


def give_hooks(module: nn.Module, hooks: dict[str, object]) -> None:
    """The very dictionaries, so that handles that the user holds still remove their hooks."""
    vars(module).update(hooks)
