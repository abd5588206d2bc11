"""The rollout against a loop by hand; the loss against its formula; normalisation against scaled units."""

import re
from functools import partial
from types import SimpleNamespace
from typing import NamedTuple

import lightning
import pytest
import torch
from lightning import Trainer
from torch import Tensor, nn
from torch.utils.data import DataLoader

from sciml.errors import BadSchema, ConfigError
from sciml.pde.batches import InputBatch, Inputs, Pairs, Statistics, mean_std
from sciml.pde.losses import RelativeL2Loss
from sciml.pde.models.fno import fno
from sciml.pde.results.field_results import FieldResults
from sciml.pde.task import PDETask

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
    torch.testing.assert_close(RelativeL2Loss()(prediction, target), expected)


def test_loss_has_finite_gradients_at_zero_targets_and_at_the_solution() -> None:
    target = torch.randn(2, 3, 8)
    target[0, 1] = 0
    prediction = target.clone().requires_grad_()
    RelativeL2Loss()(prediction, target).backward()
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


@pytest.mark.parametrize("normalize", [False, True])
def test_complex_fields_stay_complex(normalize: bool) -> None:
    data = Pairs(*(torch.randn(4, 1, 8, dtype=torch.complex64) + 3j for _ in range(2))).__getitems__(range(4))
    task = PDETask(nn.Conv1d(1, 1, 1, dtype=torch.complex64), ADAM, normalize=normalize)
    if normalize:
        statistics = Statistics(*mean_std(data.input, True), *mean_std(data.target, True))
        torch.testing.assert_close(statistics.input_std[0], data.input.std(correction=0, dim=(0, 2)))
        task._set_statistics(statistics._asdict())
    task.check_data(data)
    assert task(data.input).dtype == torch.complex64


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize(("of_net", "of_target"), [(torch.float32, torch.complex64), (torch.complex64, torch.float32)])
def test_a_phase_on_one_side_alone_is_named_before_training(
    of_net: torch.dtype, of_target: torch.dtype, normalize: bool
) -> None:
    input, target = torch.randn(4, 1, 8, dtype=of_net), torch.randn(4, 1, 8, dtype=of_target)
    task = PDETask(nn.Conv1d(1, 1, 1, dtype=of_net), ADAM, normalize=normalize)
    task._set_statistics(Statistics(*mean_std(input, True), *mean_std(target, True))._asdict() if normalize else {})
    with pytest.raises(ConfigError, match=rf"it predicts {of_net}, the targets are {of_target}"):
        task.check_data(Pair(input, target))


def test_the_imaginary_part_of_a_prediction_is_not_dropped() -> None:
    class Complex(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x + 1j

    with pytest.raises(ConfigError, match=r"it predicts torch.complex64, the targets are torch.float32"):
        PDETask(Complex(), ADAM).check_data(Pair(torch.ones(1, 1, 8), torch.ones(1, 1, 8)))


@pytest.mark.parametrize("channels", [1, 3])
def test_check_data_names_the_shapes(channels: int) -> None:
    batch = Pair(torch.randn(2, 2, 8), torch.randn(2, 1, 8))
    PDETask(nn.Conv1d(2, 1, 1), ADAM).check_data(batch)
    with pytest.raises(ConfigError, match=r"input \(2, 8\), target \(1, 8\)"):
        PDETask(nn.Conv1d(channels, 1, 1), ADAM).check_data(batch)


def small_fno(transform: str, grid: list[int], **options: object) -> nn.Module:
    return fno([4] * len(grid), 2, 1, 4, grid=grid, transform=transform, n_layers=2, **options)


@pytest.mark.parametrize("options", [{}, {"domain_padding": 0.5}])
def test_learned_transforms_are_trained_on_their_own_grid_alone(options: dict[str, float]) -> None:
    task = PDETask(small_fno("monarch", [8, 8], **options), ADAM)
    task.check_data(Pair(torch.randn(2, 2, 8, 8), torch.randn(2, 1, 8, 8)))
    other = Pair(torch.randn(2, 2, 16, 8), torch.randn(2, 1, 16, 8))
    with pytest.raises(ConfigError, match=r"from data on \[16, 8\]; set model\.net\.init_args\.grid to \[16, 8\]"):
        task.check_data(other)
    assert not any(module._forward_pre_hooks for module in task.modules())
    PDETask(small_fno("fft", [8, 8], **options), ADAM).check_data(other)


@pytest.mark.parametrize("transform", ["fft", "monarch"])
@pytest.mark.parametrize("grid", [(8,), (8, 8, 8)])
def test_data_of_another_dimension_is_named_before_training_and_evaluating(
    transform: str, grid: tuple[int, ...]
) -> None:
    task = PDETask(small_fno(transform, [8, 8]), ADAM)
    batch = Pair(torch.randn(2, 2, *grid), torch.randn(2, 1, *grid))
    for use in (task.check_data, lambda batch: task.validation_step(batch, 0), lambda batch: task.test_step(batch, 0)):
        with pytest.raises(ConfigError, match=rf"input {re.escape(str((2, *grid)))}, target \(1, 8"):
            use(batch)


class NoTargets(lightning.LightningDataModule):
    horizon: int | None = 6

    def predict_dataloader(self) -> DataLoader[InputBatch]:
        start = torch.randn(4, 3, 7, generator=torch.Generator().manual_seed(0))
        return DataLoader(Inputs(start), batch_size=2, collate_fn=lambda batch: batch)


@pytest.mark.filterwarnings("ignore:.*does not have many workers", "ignore:.*LeafSpec.*:FutureWarning")
@pytest.mark.parametrize(("horizon", "steps"), [(6, 6), (None, 2)])
def test_prediction_without_targets_goes_as_far_as_asked(horizon: int | None, steps: int) -> None:
    data, task, collector = NoTargets(), PDETask(Recurrence(2), ADAM), FieldResults()
    data.horizon = horizon
    Trainer(
        accelerator="cpu", logger=False, enable_progress_bar=False, enable_checkpointing=False, callbacks=[collector]
    ).predict(task, datamodule=data)
    fields = collector.fields()
    assert set(fields) == {"input", "prediction"}
    assert fields["input"].shape == (4, 3, 7)
    torch.testing.assert_close(fields["prediction"], by_hand(fields["input"], steps))


def test_prediction_of_an_input_that_does_not_fit_is_named() -> None:
    task = PDETask(small_fno("fft", [8, 8]), ADAM)
    task._trainer = SimpleNamespace(datamodule=None)
    with pytest.raises(ConfigError, match=r"does not fit the data \(input \(5, 8, 8\)\)"):
        task.predict_step(InputBatch(torch.randn(1, 5, 8, 8)), 0)
