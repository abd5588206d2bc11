"""The rollout against a loop by hand; the loss against its formula; normalisation against scaled units."""

from functools import partial
from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn

from sciml.errors import BadSchema, ConfigError
from sciml.tasks.pde import PDETask, summed_relative_l2

ADAM = partial(torch.optim.Adam, lr=1e-3)


class Pair(NamedTuple):
    input: Tensor
    target: Tensor


class Recurrence(nn.Module):
    """u[t+1] = a u[t] + b u[t-1], in as many frames at once as asked."""

    def __init__(self, frames: int = 1) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.tensor([-0.5, 1.2]))
        self.frames = frames
        self.calls = 0

    def forward(self, window: Tensor) -> Tensor:
        self.calls += 1
        window = list(window.unbind(1))
        for _ in range(self.frames):
            window.append(self.weights[0] * window[-2] + self.weights[1] * window[-1])
        return torch.stack(window[-self.frames :], dim=1)


def by_hand(start: Tensor, steps: int) -> Tensor:
    frames = list(start.unbind(1))
    for _ in range(steps):
        frames.append(-0.5 * frames[-2] + 1.2 * frames[-1])
    return torch.stack(frames[start.shape[1] :], dim=1)


@pytest.mark.parametrize("per_call", [1, 2, 3])
@pytest.mark.parametrize("grid", [(7,), (4, 5), (2, 3, 4)])
def test_rollout_feeds_predictions_back(per_call: int, grid: tuple[int, ...]) -> None:
    start = torch.randn(3, 4, *grid)
    net = Recurrence(per_call)
    torch.testing.assert_close(PDETask(net, ADAM).rollout(start, 6), by_hand(start, 6))
    assert net.calls == 6 // per_call


def test_static_map_is_one_call() -> None:
    net = nn.Conv1d(1, 3, 1)
    field = torch.randn(2, 1, 8)
    torch.testing.assert_close(PDETask(net, ADAM).rollout(field, 3), net(field))


def test_rollout_is_differentiable_through_all_steps() -> None:
    start = torch.randn(2, 2, 5, dtype=torch.float64)
    net = Recurrence().double()

    def last_frame(weights: Tensor) -> Tensor:
        frames = list(start.unbind(1))
        for _ in range(4):
            frames.append(weights[0] * frames[-2] + weights[1] * frames[-1])
        return frames[-1].sum()

    PDETask(net, ADAM).rollout(start, 4)[:, -1].sum().backward()
    expected = torch.autograd.functional.jacobian(last_frame, net.weights.detach())
    torch.testing.assert_close(net.weights.grad, expected)


def test_rollout_refuses_steps_it_cannot_reach() -> None:
    with pytest.raises(BadSchema, match="divisor of 5"):
        PDETask(Recurrence(2), ADAM).rollout(torch.randn(1, 2, 4), 5)


def test_loss_is_the_sum_over_steps_of_relative_l2() -> None:
    prediction, target = torch.randn(3, 4, 5, 6), torch.randn(3, 4, 5, 6)
    target[1, 2] = 0  # counts nothing
    expected = 0.0
    for sample in range(3):
        for step in range(4):
            if (sample, step) != (1, 2):
                error = (prediction[sample, step] - target[sample, step]).norm()
                expected += error / target[sample, step].norm() / 3
    torch.testing.assert_close(summed_relative_l2(prediction, target), expected)


def test_loss_has_finite_gradients_at_zero_targets_and_at_the_solution() -> None:
    target = torch.randn(2, 3, 8)
    target[0, 1] = 0
    prediction = target.clone().requires_grad_()
    summed_relative_l2(prediction, target).backward()
    assert prediction.grad is not None
    assert bool(prediction.grad.isfinite().all())


def test_normalised_network_sees_unit_scale_and_answers_in_the_data_units() -> None:
    seen: list[Tensor] = []

    class Spy(nn.Module):
        def forward(self, field: Tensor) -> Tensor:
            seen.append(field)
            return field

    task = PDETask(Spy(), ADAM, normalize=True)
    shape = {"input_mean": 5.0, "input_std": 2.0, "target_mean": -1.0, "target_std": 3.0}
    task._set_statistics({name: torch.full((1, 1), value) for name, value in shape.items()})
    field = 5 + 2 * torch.randn(4, 1, 100)
    prediction = task(field)
    torch.testing.assert_close(seen[0], (field - 5) / 2)
    torch.testing.assert_close(prediction, -1 + 3 * (field - 5) / 2)


def test_prediction_keeps_the_data_precision_under_autocast() -> None:
    task = PDETask(nn.Conv1d(1, 1, 3, padding=1), ADAM)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert task.rollout(torch.randn(2, 1, 8), 3).dtype == torch.float32


@pytest.mark.parametrize("channels", [1, 3])
def test_check_data_names_the_shapes(channels: int) -> None:
    batch = Pair(torch.randn(2, 2, 8), torch.randn(2, 1, 8))
    PDETask(nn.Conv1d(2, 1, 1), ADAM).check_data(batch)
    with pytest.raises(ConfigError, match=r"input \(2, 8\), target \(1, 8\)"):
        PDETask(nn.Conv1d(channels, 1, 1), ADAM).check_data(batch)
