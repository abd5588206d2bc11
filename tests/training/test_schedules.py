import math

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import StepLR

from sciml.errors import ConfigError
from sciml.training.schedules import Cosine, Halving, OneCycle, Schedule

RATES = (1e-2, 3e-3)


def optimizer() -> torch.optim.Optimizer:
    groups = [{"params": nn.Linear(1, 1).parameters(), "lr": rate} for rate in RATES]
    return torch.optim.SGD(groups, momentum=0.9)


def course(schedule: Schedule, steps: int) -> torch.Tensor:
    """(step, group) learning rates."""
    stepped = optimizer()
    scheduler = schedule(stepped, steps)
    rates = []
    for _ in range(steps):
        rates.append([group["lr"] for group in stepped.param_groups])
        stepped.step()
        scheduler.step()
    return torch.tensor(rates, dtype=torch.float64)


@pytest.mark.parametrize("schedule", [OneCycle(), Cosine(), Halving()])
def test_every_group_keeps_its_share(schedule: Schedule) -> None:
    rates = course(schedule, 50)
    torch.testing.assert_close(rates[:, 1] / rates[:, 0], torch.full((50,), 0.3, dtype=torch.float64))


def test_one_cycle_peaks_at_the_groups_rates_after_its_share_of_steps() -> None:
    rates = course(OneCycle(pct_start=0.2), 101)
    assert rates[:, 0].max().item() == pytest.approx(RATES[0], rel=1e-3)
    assert rates[:, 0].argmax().item() == pytest.approx(20, abs=1)
    assert rates[0, 0].item() == pytest.approx(RATES[0] / 25)
    assert rates[-1, 0] < 1e-4 * RATES[0]


def test_one_cycle_survives_a_single_step() -> None:
    assert course(OneCycle(), 1).shape == (1, 2)


def test_cosine_is_half_a_cosine() -> None:
    expected = [RATES[0] * (1 + math.cos(math.pi * step / 40)) / 2 for step in range(40)]
    torch.testing.assert_close(course(Cosine(), 40)[:, 0], torch.tensor(expected, dtype=torch.float64))


def test_halving_is_the_step_rule_of_fnos_script() -> None:
    reference = optimizer()
    steps = StepLR(reference, step_size=100, gamma=0.5)
    expected = []
    for _ in range(500):
        expected.append(reference.param_groups[0]["lr"])
        reference.step()
        steps.step()
    torch.testing.assert_close(
        course(Halving(5), 500)[:, 0], torch.tensor(expected, dtype=torch.float64), rtol=1e-12, atol=0
    )


def test_shapes_out_of_range_are_refused() -> None:
    with pytest.raises(ConfigError, match="pct_start"):
        OneCycle(1.5)
    with pytest.raises(ConfigError, match="stages"):
        Halving(0)
