"""The optimizer of a network: its groups of parameters, and what torch's optimizers cannot train, found by trying."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from sciml.errors import ConfigError
from sciml.transforms import factor_parameters
from sciml.transforms.linear import rate_multipliers

Build = Callable[[Any], Optimizer]


def build_optimizer(
    build: Build, net: nn.Module, factor_lr: float | None = None, *, structured_rates: bool = False
) -> Optimizer | None:
    """The optimizer of `parameter_groups`; None for a network without parameters.

    With `structured_rates`, each factor of a structured layer is trained at the optimizer's rate times its multiplier
    (`StructuredLinear.rate_multipliers`).

    Raises ConfigError when it refuses its settings, or cannot take a step with parameters of the network's kinds, tried
    on small ones: several of torch's optimizers have no complex parameters.
    """
    groups = parameter_groups(net, factor_lr, structured_rates=structured_rates)
    if not groups:
        return None
    multipliers = [group.pop("rate_multiplier", None) for group in groups]
    try:
        optimizer = build(groups)
    except (TypeError, ValueError) as error:
        single = _without_groups(build, groups)
        if single is None:
            raise ConfigError(f"model.optimizer: {error}") from error
        optimizer = single
        own = {"factor_lr": factor_lr, "structured_rates": structured_rates if any(multipliers) else None}
        for key, value in own.items():
            if value and len(groups) > 1:
                raise ConfigError(
                    f"model.{key}: {value}, but {type(optimizer).__name__} has one rate for all parameters; leave "
                    "it out"
                ) from error
    else:
        for group, multiplier in zip(optimizer.param_groups, multipliers, strict=True):
            if multiplier is not None:
                group["lr"] = group["lr"] * multiplier
    _check_step(build, optimizer, net)
    return optimizer


def parameter_groups(
    net: nn.Module, factor_lr: float | None = None, *, structured_rates: bool = False
) -> list[dict[str, Any]]:
    """The network's parameters, then those of its transforms (if any): not decayed, at their own rate.

    With `structured_rates`, factors of structured layers (if any) stand between, a group for each `rate_multiplier`.
    """
    factors = list(factor_parameters(net))
    multipliers = rate_multipliers(net) if structured_rates else {}
    chosen = {id(parameter) for parameter in (*factors, *multipliers)}
    rest = [p for p in net.parameters() if p.requires_grad and id(p) not in chosen]
    groups: list[dict[str, Any]] = [{"params": rest}] if rest else []
    for multiplier in sorted(set(multipliers.values())):
        structured = [parameter for parameter, its in multipliers.items() if its == multiplier]
        groups.append({"params": structured, "rate_multiplier": multiplier})
    if factors:
        own_lr = {} if factor_lr is None else {"lr": factor_lr}
        groups.append({"params": factors, "weight_decay": 0.0, **own_lr})
    return groups


def _without_groups(build: Build, groups: list[dict[str, Any]]) -> Optimizer | None:
    """The optimizer of all parameters together, for one that knows no groups (LBFGS); None if that is refused too."""
    try:
        optimizer = build([parameter for group in groups for parameter in group["params"]])
    except (TypeError, ValueError):
        return None
    # Decay would reach the factors, whose group is there to exclude them.
    return None if "weight_decay" in optimizer.defaults else optimizer


def _check_step(build: Build, optimizer: Optimizer, net: nn.Module) -> None:
    """Raise ConfigError unless a small parameter of each kind of `net`'s can take a step.

    Kinds are real and complex, in the usual layout and in another, such as the U-Net's channels last.
    The trial is on the CPU. An optimizer that is to be captured in a CUDA graph is not tried.
    """
    if any(group.get("capturable") for group in optimizer.param_groups):
        return
    kinds = {(p.is_complex(), p.is_contiguous()): name for name, p in net.named_parameters() if p.requires_grad}
    for (is_complex, usual), name in kinds.items():
        if error := _refusal(build, torch.complex64 if is_complex else torch.float32, usual):
            reason = " ".join(str(error).split())
            what, instead = ("complex parameters, such as ", ", or transform: monarch") if is_complex else ("", "")
            raise ConfigError(
                f"model.optimizer: {type(optimizer).__name__} cannot train {what}{name} ({reason}); use "
                f"torch.optim.Adam{instead}"
            ) from error


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
