"""What an optimizer of torch's can and cannot train, found by trying."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from sciml.errors import ConfigError

Build = Callable[[Any], Optimizer]


def without_groups(build: Build, groups: list[dict[str, Any]]) -> Optimizer | None:
    """The optimizer of all parameters together, for one that knows no groups (LBFGS); None if that is refused too."""
    try:
        optimizer = build([parameter for group in groups for parameter in group["params"]])
    except (TypeError, ValueError):
        return None
    # Decay would reach the factors, whose group is there to exclude them.
    return None if "weight_decay" in optimizer.defaults else optimizer


def check_step(build: Build, optimizer: Optimizer, net: nn.Module) -> None:
    """Raise ConfigError unless a small parameter of each kind of `net`'s can take a step.

    Kinds are real and complex, in the usual layout and in another, such as the U-Net's channels last.
    The trial is on the CPU. An optimizer that is to be captured in a CUDA graph is not tried.
    """
    if any(group.get("capturable") for group in optimizer.param_groups):
        return
    kinds = {(p.is_complex(), p.is_contiguous()): name for name, p in net.named_parameters() if p.requires_grad}
    for (is_complex, usual), name in kinds.items():
        error = _refusal(build, torch.complex64 if is_complex else torch.float32, usual)
        if error is None:
            continue
        method, reason = type(optimizer).__name__, " ".join(str(error).split())
        if is_complex:
            raise ConfigError(
                f"model.optimizer: {method} cannot train complex parameters, such as {name} ({reason}); use "
                "torch.optim.Adam, or transform: monarch"
            ) from error
        raise ConfigError(f"model.optimizer: {method} cannot train {name} ({reason}); use torch.optim.Adam") from error


def _refusal(build: Build, dtype: torch.dtype, usual: bool) -> Exception | None:
    values = torch.ones(2, 2, dtype=dtype)
    parameter = nn.Parameter(values if usual else values.expand(2, 2, 2, 2).clone(memory_format=torch.channels_last))

    def closure() -> float:
        parameter.grad = parameter.detach().clone()
        return float((parameter.detach().abs() ** 2).sum())

    closure()
    try:
        with torch.enable_grad():
            build([parameter]).step(closure)
    except Exception as error:  # each optimizer has its own way to refuse
        return error
    return None
