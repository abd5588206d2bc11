"""The data module: what batches hold, in which order, and what it refuses."""

import json
import logging
import pickle
from collections.abc import Callable
from pathlib import Path

import h5py
import lightning
import numpy as np
import pytest
import torch

from sciml.errors import BadSchema, ConfigError, NonFinite
from sciml.io import hdf5
from sciml.mri.physics.moved import MovedObject
from sciml.pde.batches import mean_std
from sciml.pde.data import Batch, PDEData
from sciml.pde.formats import loading

FIELD = np.random.default_rng(0).standard_normal((8, 7, 6, 4)).astype(np.float32)
LINE = np.random.default_rng(1).standard_normal((6, 5, 12)).astype(np.float32)


def write(path: Path, key: str, values: np.ndarray, *, start: float = 0.0, **attributes: object) -> str:
    with hdf5.writing(path) as file:
        hdf5.add_samples(file, key, values)
        file["time"] = start + np.arange(values.shape[1]) / 2
        file.attrs.update(attributes)
    return str(path)


@pytest.fixture
def flow(tmp_path: Path) -> str:
    return write(tmp_path / "flow.h5", "vorticity", FIELD, equation="navier-stokes")


@pytest.fixture
def line(tmp_path: Path) -> str:
    return write(tmp_path / "line.h5", "u", LINE, equation="burgers")


@pytest.fixture
def pairs(tmp_path: Path) -> str:
    torch.save({"x": torch.rand(8, 9, 9) > 0.5, "y": torch.rand(8, 9, 9)}, tmp_path / "pairs.pt")
    return str(tmp_path / "pairs.pt")


def module(path: str, **changes: object) -> PDEData:
    arguments = {"n_train": 4, "n_test": 2, "input_frames": 2, "output_frames": 3, "batch_size": 3}
    return PDEData(path, **(arguments | changes))


def static(path: str, **changes: object) -> PDEData:
    return module(path, **({"input_frames": None, "output_frames": None} | changes))


def whole(loader: torch.utils.data.DataLoader) -> Batch:
    return Batch(*(torch.cat(parts) for parts in zip(*loader, strict=True)))


def whole_inputs(data: PDEData) -> torch.Tensor:
    return torch.cat([batch.input for batch in data.predict_dataloader()])


def test_rollout_splits_and_frames(flow: str) -> None:
    data = module(flow, n_val=1)
    assert [len(batch.input) for batch in data.test_dataloader()] == [2]
    for loader, samples in ((data.val_dataloader(), slice(4, 5)), (data.test_dataloader(), slice(6, 8))):
        batch = whole(loader)
        np.testing.assert_array_equal(batch.input, FIELD[samples, :2])
        np.testing.assert_array_equal(batch.target, FIELD[samples, 2:5])
    assert data.grid == data.test_grid == (6, 4)
    np.testing.assert_array_equal(data.input_time, [0, 0.5])
    np.testing.assert_array_equal(data.time, [1, 1.5, 2])


def test_batches_are_contiguous_tuples_of_inputs_and_targets(flow: str) -> None:
    batch = next(iter(module(flow).train_dataloader()))
    assert isinstance(batch, Batch)
    assert batch.input.is_contiguous()
    assert batch.target.is_contiguous()
    assert batch.input.dtype == torch.float32


def test_static_map_within_a_trajectory(line: str) -> None:
    data = module(line, input_frames=1, output_frames=1, time_stride=4)
    batch = whole(data.test_dataloader())
    np.testing.assert_array_equal(batch.input, LINE[-2:, :1])
    np.testing.assert_array_equal(batch.target, LINE[-2:, 4:])
    np.testing.assert_array_equal(data.time, [2.0])


def test_windows_are_all_start_frames_of_the_training_samples_only(flow: str) -> None:
    data = module(flow, windows=True, time_stride=1, input_frames=2, output_frames=2)
    expected = {FIELD[i, s : s + 4].tobytes() for i in range(4) for s in range(4)}
    batch = whole(data.train_dataloader())
    assert {torch.cat(pair).numpy().tobytes() for pair in zip(*batch, strict=True)} == expected
    assert len(data.train_dataloader().dataset) == 16
    assert len(data.test_dataloader().dataset) == 2


def test_windows_with_a_stride(flow: str) -> None:
    data = module(flow, windows=True, time_stride=3, input_frames=1, output_frames=1)
    item = data.train_dataloader().dataset[5]  # sample 1, start 1
    np.testing.assert_array_equal(item.input, FIELD[1, 1:2])
    np.testing.assert_array_equal(item.target, FIELD[1, 4:5])


def test_point_values_are_subsampled_by_stride_and_cells_by_averaging(flow: str, line: str) -> None:
    batch = whole(module(flow, subsample=2).test_dataloader())
    np.testing.assert_array_equal(batch.input, FIELD[-2:, :2, ::2, ::2])
    data = module(line, subsample=3, input_frames=1, output_frames=1)
    mean = LINE[-2:, :1].reshape(2, 1, 4, 3).mean(axis=-1)
    np.testing.assert_allclose(whole(data.test_dataloader()).input, mean, rtol=1e-6)
    assert data.grid == (4,)


def test_pairs_are_channels_and_their_grid_may_include_both_ends(pairs: str) -> None:
    data = static(pairs, subsample=4)
    batch = whole(data.test_dataloader())
    stored = torch.load(pairs, weights_only=True)
    torch.testing.assert_close(batch.input, stored["x"][-2:, None, ::4, ::4].float(), rtol=0, atol=0)
    torch.testing.assert_close(batch.target, stored["y"][-2:, None, ::4, ::4], rtol=0, atol=0)
    assert data.grid == (3, 3)
    assert data.time is None


def test_test_file_of_another_resolution(tmp_path: Path, flow: str) -> None:
    fine = np.repeat(np.repeat(FIELD[:3], 2, axis=-1), 2, axis=-2)
    fine_path = write(tmp_path / "fine.h5", "vorticity", fine)
    data = module(flow, test_path=fine_path, n_train=8, n_test=3)
    assert (data.grid, data.test_grid) == ((6, 4), (12, 8))
    np.testing.assert_array_equal(whole(data.test_dataloader()).input, fine[:, :2])
    same = module(flow, test_path=fine_path, n_train=8, n_test=3, test_subsample=2)
    np.testing.assert_array_equal(whole(same.test_dataloader()).input, FIELD[:3, :2])


def test_reading_in_blocks_changes_nothing(flow: str, monkeypatch: pytest.MonkeyPatch) -> None:
    at_once = whole(module(flow, n_test=5, n_train=3).test_dataloader())
    monkeypatch.setattr(loading, "BLOCK_BYTES", 2 * 8 * FIELD[0].size)
    torch.testing.assert_close(whole(module(flow, n_test=5, n_train=3).test_dataloader()), at_once)


def test_statistics_are_those_of_the_training_set(flow: str, pairs: str) -> None:
    found = module(flow).statistics
    for value, expected in zip(
        found, [f(FIELD[:4, t]) for t in (slice(0, 2), slice(2, 5)) for f in (np.mean, np.std)], strict=True
    ):
        assert value.shape == (1, 1, 1)
        assert value.item() == pytest.approx(expected, rel=1e-5, abs=1e-6)
    x = torch.load(pairs, weights_only=True)["x"][:4].float()
    assert static(pairs).statistics.input_std.item() == pytest.approx(x.std(correction=0).item())


@pytest.mark.parametrize("value", [0.0, 1e-30, 3.0, -1e30])
def test_constant_field_normalises_to_finite_values(tmp_path: Path, value: float) -> None:
    path = write(tmp_path / "constant.h5", "u", np.full((6, 5, 4), value, np.float32))
    data = module(path)
    statistics = data.statistics
    batch = next(iter(data.train_dataloader()))
    normalised = (batch.input - statistics.input_mean) / statistics.input_std
    assert normalised.abs().max() <= 0.1
    assert all(part.isfinite().all() and part.abs().max() < float("inf") for part in statistics)


def test_loaders_leave_the_global_generator_alone(flow: str) -> None:
    data = module(flow)
    state = torch.get_rng_state()
    whole(data.train_dataloader())
    assert torch.equal(torch.get_rng_state(), state)


def test_worker_processes_yield_the_same_batches(flow: str) -> None:
    alone, workers = module(flow, windows=True), module(flow, windows=True, num_workers=2)
    torch.testing.assert_close(whole(workers.train_dataloader()), whole(alone.train_dataloader()))


def test_data_sets_can_be_pickled(flow: str) -> None:
    dataset = module(flow).train_dataloader().dataset
    torch.testing.assert_close(pickle.loads(pickle.dumps(dataset))[0], dataset[0])


def lightnings_own_warnings(test: Callable[..., None]) -> Callable[..., None]:
    for ignored in (".*does not have many workers:UserWarning", ".*LeafSpec.*:FutureWarning"):
        test = pytest.mark.filterwarnings(f"ignore:{ignored}")(test)
    return test


class Recorder(lightning.LightningModule):
    """Learns nothing; notes the inputs of each training batch."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.seen: dict[int, list[float]] = {}

    def training_step(self, batch: Batch) -> torch.Tensor:
        self.seen.setdefault(self.current_epoch, []).extend(batch.input[:, 0, 0, 0].tolist())
        return self.weight * batch.target.sum()

    def validation_step(self, batch: Batch) -> None:
        pytest.fail("there is no validation set")

    def test_step(self, batch: Batch) -> None:
        assert isinstance(batch, Batch)

    def predict_step(self, batch: Batch) -> torch.Tensor:
        return batch.input

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.0)


def trainer(root: Path, epochs: int) -> lightning.Trainer:
    return lightning.Trainer(
        max_epochs=epochs, accelerator="cpu", default_root_dir=root, logger=False, enable_progress_bar=False,
        enable_model_summary=False, enable_checkpointing=False,
    )  # fmt: skip


@lightnings_own_warnings
def test_lightning_sets_the_epoch_also_when_resuming(flow: str, tmp_path: Path) -> None:
    through = Recorder()
    trainer(tmp_path, 3).fit(through, datamodule=module(flow))
    assert len({tuple(order) for order in through.seen.values()}) > 1
    assert all(sorted(order) == sorted(through.seen[0]) for order in through.seen.values())

    first = trainer(tmp_path, 1)
    first.fit(Recorder(), datamodule=module(flow))
    first.save_checkpoint(tmp_path / "one.ckpt")
    resumed = Recorder()
    trainer(tmp_path, 3).fit(resumed, datamodule=module(flow), ckpt_path=tmp_path / "one.ckpt", weights_only=True)
    assert resumed.seen == {epoch: through.seen[epoch] for epoch in (1, 2)}


@lightnings_own_warnings
def test_lightning_tests_and_predicts(flow: str, tmp_path: Path) -> None:
    trainer(tmp_path, 1).test(Recorder(), datamodule=module(flow), verbose=False)
    (predicted,) = trainer(tmp_path, 1).predict(Recorder(), datamodule=module(flow))
    np.testing.assert_array_equal(predicted, FIELD[-2:, :2])


@pytest.mark.parametrize("name", ["n_train", "n_test", "batch_size", "time_stride", "subsample", "test_subsample"])
@pytest.mark.parametrize("value", [0, -1])
def test_argument_out_of_range(flow: str, name: str, value: int) -> None:
    with pytest.raises(ConfigError, match=f"{name}={value}: expected an integer of at least 1"):
        module(flow, **{name: value})


@pytest.mark.parametrize("name", ["n_val", "num_workers", "seed"])
def test_negative_argument(flow: str, name: str) -> None:
    with pytest.raises(ConfigError, match=f"{name}=-1: expected an integer of at least 0"):
        module(flow, **{name: -1})


@pytest.mark.parametrize("changes", [{"input_frames": 1}, {"output_frames": 1}, {"time_stride": 2}, {"windows": True}])
def test_settings_of_trajectories_are_refused_for_pairs(pairs: str, changes: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=f"{next(iter(changes))} is set, but .*pairs.pt has pairs"):
        static(pairs, **changes).setup()


@pytest.mark.parametrize("name", ["input_frames", "output_frames"])
@pytest.mark.parametrize("value", [None, 0])
def test_trajectories_need_frames(flow: str, name: str, value: int | None) -> None:
    with pytest.raises(ConfigError, match=f"{name}={value}"):
        module(flow, **{name: value}).setup()


@pytest.mark.parametrize("factor", [3, 5, 8])
def test_subsampling_must_fit_the_grid(flow: str, factor: int) -> None:
    with pytest.raises(ConfigError, match=f"subsample={factor}: expected a divisor of"):
        module(flow, subsample=factor).setup()


def test_validation_needs_samples(flow: str) -> None:
    with pytest.raises(ConfigError, match="n_val=0"):
        module(flow).setup("validate")


def test_more_samples_than_stored_or_overlapping(flow: str, tmp_path: Path) -> None:
    with pytest.raises(BadSchema, match=r"flow\.h5: vorticity: 8 samples stored, 9 asked \(n_train=4 \+ n_val=3"):
        module(flow, n_val=3).setup()
    link = tmp_path / "link.h5"
    link.symlink_to(flow)
    with pytest.raises(BadSchema, match="8 samples stored, 9 asked"):
        module(flow, test_path=str(link), n_train=7).setup()
    other = write(tmp_path / "other.h5", "vorticity", FIELD)
    with pytest.raises(BadSchema, match=r"other\.h5: .*8 samples stored, 9 asked \(n_test=9\)"):
        module(flow, test_path=other, n_test=9).setup()


def test_more_frames_than_stored(flow: str) -> None:
    with pytest.raises(BadSchema, match=r"flow\.h5: vorticity: 7 frames stored, 9 asked .*time_stride=2"):
        module(flow, time_stride=2).setup("fit")
    with pytest.raises(BadSchema, match=r"7 frames stored, 11 asked .*too few to predict from"):
        module(flow, input_frames=8).setup()


def test_test_file_of_another_kind_or_other_times(flow: str, line: str, tmp_path: Path) -> None:
    with pytest.raises(BadSchema, match=r"line\.h5: expected .*vorticity.*found"):
        module(flow, test_path=line).setup()
    path = tmp_path / "slow.h5"
    with hdf5.writing(path) as file:
        hdf5.add_samples(file, "vorticity", FIELD)
        file["time"] = np.arange(7.0)
    with pytest.raises(BadSchema, match=r"slow\.h5: time: expected"):
        module(flow, test_path=str(path)).setup()


def test_test_file_that_starts_later_is_for_predicting_alone(flow: str, tmp_path: Path) -> None:
    later = write(tmp_path / "later.h5", "vorticity", FIELD, start=3.0)
    data = module(flow, test_path=later)
    data.setup("predict")
    np.testing.assert_array_equal(data.time, [4, 4.5, 5])
    for stage in ("fit", "test"):
        with pytest.raises(BadSchema, match=r"later\.h5: time: expected .*found"):
            data.setup(stage)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_values_not_finite_in_single_precision(tmp_path: Path, value: float) -> None:
    values = FIELD.astype(np.float64)
    values[2, 0, 0, :3] = value
    values[3, 0, 0, 0] = value
    data = module(write(tmp_path / "bad.h5", "vorticity", values))
    with pytest.raises(NonFinite, match=r"bad\.h5: vorticity: sample 2 has 3 of 120 values.*so have 2 of samples"):
        data.setup("fit")
    data.setup("test")


def test_double_precision_is_cast_and_logged_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write(tmp_path / "double.h5", "vorticity", FIELD.astype(np.float64))
    with caplog.at_level(logging.INFO, logger="sciml"):
        data = module(path)
        data.setup()
        batch = whole(data.test_dataloader())
    np.testing.assert_array_equal(batch.input, FIELD[-2:, :2])
    assert [record.name for record in caplog.records] == ["sciml.pde.formats.checks"]


@pytest.mark.parametrize("stored", [2, 3, 7])
def test_inputs_are_enough_to_predict(tmp_path: Path, stored: int) -> None:
    """Two input frames and three to predict; more than these two may be stored or not, and may be damaged."""
    values = FIELD[:, :stored].copy()
    values[:, 2:] = np.nan
    data = module(write(tmp_path / "inputs.h5", "vorticity", values, start=1.0), n_train=100 if stored < 5 else 4)
    data.setup("predict")
    (batch,) = data.predict_dataloader()
    np.testing.assert_array_equal(batch.input, FIELD[-2:, :2])
    assert batch.target is None
    np.testing.assert_array_equal(data.input_time, [1, 1.5])
    np.testing.assert_allclose(data.time, [2, 2.5, 3], rtol=1e-12)
    assert data.horizon == 3
    for stage in ("fit", "validate", "test"):
        with pytest.raises((BadSchema, NonFinite, ConfigError), match=r"enough for `sciml predict`|NaN|n_val=0"):
            data.setup(stage)


def test_times_beyond_the_stored_ones_follow_the_training_file(flow: str, tmp_path: Path) -> None:
    one = write(tmp_path / "one.h5", "vorticity", FIELD[:2, :1], start=9.0)
    changes = {"input_frames": 1, "output_frames": 2, "time_stride": 2}
    np.testing.assert_allclose(module(flow, test_path=one, **changes).time, [10, 11])
    assert module(one, **changes).time is None  # one stored frame has no spacing


def test_times_are_not_extrapolated_from_uneven_ones(tmp_path: Path) -> None:
    path = write(tmp_path / "uneven.h5", "vorticity", FIELD[:, :3])
    with h5py.File(path, "r+") as file:
        file["time"][...] = [0, 1, 3]
    data = module(path)
    assert data.time is None
    np.testing.assert_array_equal(data.input_time, [0, 1])


def test_pairs_without_targets_are_predicted_only(pairs: str, tmp_path: Path) -> None:
    x = torch.rand(3, 9, 9)
    torch.save({"x": x}, tmp_path / "x.pt")
    alone, beside = static(str(tmp_path / "x.pt")), static(pairs, test_path=str(tmp_path / "x.pt"))
    for data, horizon in ((alone, None), (beside, 1), (static(str(tmp_path / "x.pt"), output_frames=4), 4)):
        data.setup("predict")
        (batch,) = data.predict_dataloader()
        torch.testing.assert_close(batch.input, x[-2:, None], rtol=0, atol=0)
        assert (batch.target, data.horizon, data.time) == (None, horizon, None)
        with pytest.raises(BadSchema, match=r"x\.pt: x alone, no targets y; that is enough for `sciml predict`"):
            data.setup("test")


def test_a_test_file_without_targets_is_found_before_the_training(flow: str, tmp_path: Path) -> None:
    inputs = write(tmp_path / "inputs.h5", "vorticity", FIELD[:, :2])
    with pytest.raises(BadSchema, match=r"inputs\.h5: vorticity: 2 frames stored, 5 asked"):
        module(flow, test_path=inputs).setup("fit")


def test_not_finite_inputs_of_a_prediction_are_named(tmp_path: Path) -> None:
    values = FIELD[:, :2].copy()
    values[7, 1, 2, 2] = np.inf
    data = module(write(tmp_path / "inputs.h5", "vorticity", values))
    with pytest.raises(NonFinite, match=r"inputs\.h5: vorticity: sample 7 has 1 of 48 values"):
        data.setup("predict")


def test_the_grid_that_is_expected_must_be_there(line: str, flow: str, pairs: str) -> None:
    frames = {"input_frames": 1, "output_frames": 1}
    assert module(line, grid=[4], subsample=3, **frames).grid == (4,)
    with pytest.raises(ConfigError, match=r"made for \[4\], but .*line\.h5 has \[12\].*data\.subsample=3 fits"):
        module(line, grid=[4], **frames).setup()
    with pytest.raises(ConfigError, match=r"subsample=3 leaves \[4\]; data\.subsample=1 fits"):
        module(line, grid=[12], subsample=3, **frames).setup()
    with pytest.raises(ConfigError, match=r"made for \[5\], .*generate data of that grid"):
        module(line, grid=[5], **frames).setup()
    with pytest.raises(ConfigError, match=r"made for \[6, 2\], .*leaves \[6, 4\]; generate"):
        module(flow, grid=[6, 2]).setup()
    with pytest.raises(BadSchema, match=r"flow\.h5: vorticity: .*a grid of 1 axes.*name all 2 axes in data\.grid"):
        module(flow, grid=[6]).setup()
    assert static(pairs, subsample=4, grid=[3, 3]).grid == (3, 3)


def test_inputs_to_predict_from_may_have_another_resolution(tmp_path: Path) -> None:
    data = module(write(tmp_path / "fine.h5", "vorticity", FIELD[:, :2]), grid=[3, 2])
    data.setup("predict")
    assert whole_inputs(data).shape == (2, 2, 6, 4)


@pytest.mark.parametrize("grid", [[], [0], [2, 2, 2, 2]])
def test_impossible_grid(flow: str, grid: list[int]) -> None:
    with pytest.raises(ConfigError, match=r"grid=.*1 to 3 axes"):
        module(flow, grid=grid)


def test_array_that_can_be_read_in_two_ways_is_refused_until_the_grid_is_given(tmp_path: Path) -> None:
    values = np.random.default_rng(2).standard_normal((8, 6, 2, 4, 4)).astype(np.float32)
    path = write(tmp_path / "five.h5", "vorticity", values)
    both = r"\(sample, time, z, y, x\) on a grid of 2 x 4 x 4 .*\(sample, time, channel, y, x\).* data\.grid"
    with pytest.raises(ConfigError, match=both):
        module(path).setup()
    with pytest.raises(BadSchema, match=r"a grid of 2 axes.*has channels, store one of them, \(8, 6, 4, 4\)"):
        module(path, grid=[4, 4]).setup()
    np.testing.assert_array_equal(whole(module(path, grid=[2, 4, 4]).test_dataloader()).input, values[-2:, :2])


def test_pairs_on_one_axis_with_channels(tmp_path: Path) -> None:
    path = tmp_path / "line.pt"
    x, y = torch.rand(6, 2, 32), torch.rand(6, 3, 32)
    torch.save({"x": x, "y": x}, path)
    with pytest.raises(ConfigError, match=r"\(sample, y, x\) .* 2 x 32 points, or \(sample, channel, x\) .*data\.grid"):
        static(str(path)).setup()
    assert whole(static(str(path), grid=[2, 32]).test_dataloader()).input.shape == (2, 1, 2, 32)
    torch.save({"x": x, "y": y}, path)
    batch = whole(static(str(path), grid=[32]).test_dataloader())
    torch.testing.assert_close((batch.input, batch.target), (x[-2:], y[-2:]))


def test_description_says_which_samples_and_nothing_of_how_they_are_loaded(flow: str, tmp_path: Path) -> None:
    link = tmp_path / "link.h5"
    link.symlink_to(flow)
    data = module(str(link), n_val=1, subsample=2, batch_size=1)
    expected = {
        "path": str(Path(flow).resolve()), "samples": [6, 8], "grid": [3, 2],
        "input_frames": 2, "output_frames": 3, "time_stride": 1, "subsample": 2,
    }  # fmt: skip
    assert json.loads(json.dumps(data.describe())) == expected
    assert module(flow, subsample=2, batch_size=2, num_workers=1, seed=5).describe("test") == expected
    assert data.describe("train") == expected | {"samples": [0, 4]}
    assert data.describe("val") == expected | {"samples": [4, 5]}
    finer = module(flow, subsample=2, test_subsample=1)
    assert finer.describe("predict") == expected | {"grid": [6, 4], "subsample": 1}
    with pytest.raises(ConfigError, match="split 'tset': expected train, val, test or predict"):
        data.describe("tset")


def test_targets_of_zero_are_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    values = FIELD.copy()
    values[[1, 2, 7], 2:] = 0
    data = module(write(tmp_path / "zeros.h5", "vorticity", values))
    with caplog.at_level(logging.WARNING):
        data.setup()
    assert [record.getMessage().partition("h5: ")[2][:30] for record in caplog.records] == [
        "2 of the 4 train samples have ",
        "1 of the 2 test samples have t",
    ]


def test_smallest_numbers_are_no_divisor() -> None:
    field = torch.full((4, 2, 3), 1e-44)
    field[0] = 0
    mean, std = mean_std(field, per_channel=True)
    assert bool(((field - mean) / std).isfinite().all())
    assert bool((std == 1).all())


def test_means_of_large_cells_stay_finite(tmp_path: Path) -> None:
    path = write(tmp_path / "large.h5", "u", np.full((6, 5, 12), 3e38, np.float32), equation="burgers")
    batch = whole(module(path, subsample=4).test_dataloader())
    assert bool((batch.input == np.float32(3e38)).all())


def test_no_file_is_opened_before_it_is_needed(tmp_path: Path) -> None:
    data = module(str(tmp_path / "absent.h5"))
    for use in (lambda: data.grid, lambda: data.time, data.describe, lambda: data.setup("fit")):
        with pytest.raises(FileNotFoundError, match=r"absent\.h5: no such file"):
            use()


def test_augmentation_of_other_data_is_refused(flow: str) -> None:
    for augment, found in ((MovedObject("file"), "MovedObject"), (True, "bool")):
        with pytest.raises(ConfigError, match=rf"augment: expected an object of sciml\.pde\.Symmetry.*found {found}$"):
            module(flow, augment=augment)


class Linear(Recorder):
    """One weight for all inputs; learns."""

    def training_step(self, batch: Batch) -> torch.Tensor:
        return (self.weight * batch.input.mean(1, keepdim=True) - batch.target).square().mean()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


class Validated(Linear):
    def validation_step(self, batch: Batch) -> None:
        assert len(batch.input) == 1


@lightnings_own_warnings
def test_fit_runs_without_a_validation_set_and_without_a_warning(flow: str, tmp_path: Path) -> None:
    data, learner, fit = module(flow), Linear(), trainer(tmp_path, 1)
    assert not data.has_validation
    assert data.val_dataloader() == []
    fit.fit(learner, datamodule=data)
    assert learner.weight.item() != 0
    assert fit.limit_val_batches == 1.0  # for other data


ARRAYS: dict[str, object] = {"n_train": 4, "n_test": 2, "n_val": 1, "batch_size": 3, "seed": 2}


@lightnings_own_warnings
@pytest.mark.parametrize("convert", [np.asarray, torch.from_numpy])
def test_training_from_arrays_is_training_from_a_file(flow: str, tmp_path: Path, convert: Callable) -> None:
    frames = {"input_frames": 2, "output_frames": 3}
    arrays = PDEData.from_arrays(trajectories=convert(FIELD), time=np.arange(7) / 2, length=2.0, **frames, **ARRAYS)
    weights = []
    for data in (module(flow, **ARRAYS), arrays):
        learner = Validated()
        trainer(tmp_path, 1).fit(learner, datamodule=data)
        weights.append(learner.weight.item())
    assert weights[0] == weights[1] != 0
    np.testing.assert_array_equal(arrays.time, [1, 1.5, 2])
    assert (arrays.grid, arrays.source.length, arrays.source.sampling) == ((6, 4), 2.0, "periodic")
    assert arrays.describe()["path"] == "arrays in memory"


def test_pairs_in_memory_are_those_of_a_file(pairs: str) -> None:
    stored = torch.load(pairs, weights_only=True)
    arrays = PDEData.from_arrays(stored["x"], stored["y"], sampling="points", subsample=4, **ARRAYS)
    file = static(pairs, subsample=4, **ARRAYS)
    for split in ("train", "val", "test"):
        torch.testing.assert_close(*(whole(getattr(data, f"{split}_dataloader")()) for data in (arrays, file)))
    alone = PDEData.from_arrays(stored["x"][:3], sampling="points", n_train=4, n_test=2)
    torch.testing.assert_close(whole_inputs(alone), stored["x"][1:3, None].float())


def test_cells_in_memory_are_averaged() -> None:
    data = PDEData.from_arrays(
        trajectories=LINE, sampling="cells", subsample=3, input_frames=1, output_frames=1, n_train=1, n_test=2
    )
    mean = LINE[-2:, :1].reshape(2, 1, 4, 3).mean(axis=-1)
    np.testing.assert_allclose(whole(data.test_dataloader()).input, mean, rtol=1e-6)
    np.testing.assert_array_equal(data.time, [1])


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({}, BadSchema, "arrays in memory: expected trajectories, or input and target"),
        ({"input": LINE, "trajectories": LINE}, BadSchema, "expected trajectories, or input and target"),
        ({"trajectories": LINE[0]}, BadSchema, r"trajectories: expected \(sample, time, \*grid\), found \(5, 12\)"),
        ({"trajectories": LINE, "time": [0, 1]}, BadSchema, r"time: expected \(5,\), found \(2,\)"),
        ({"trajectories": LINE, "time": [0, 1, 3, 2, 4]}, BadSchema, "time: expected increasing times"),
        ({"trajectories": LINE, "time": [0, 1, 2, 3, np.inf]}, NonFinite, r"time\[4\] is inf"),
        ({"trajectories": LINE, "length": 0.0}, BadSchema, "attribute length: expected a positive number"),
        ({"trajectories": LINE.astype(str)}, BadSchema, "trajectories: expected numbers"),
        ({"trajectories": np.where(LINE > 2, np.nan, LINE)}, NonFinite, r"arrays in memory: trajectories: sample \d"),
        ({"input": FIELD[:, 0], "target": FIELD[:, 0], "time": [0]}, BadSchema, "time: expected none"),
        ({"input": FIELD[:, 0], "target": FIELD[:3, 0]}, BadSchema, "target: expected 8 samples, as in input, found 3"),
        ({"input": FIELD[:, 0], "target": FIELD[:, 0, 1:]}, BadSchema, "target: expected the grid of input"),
    ],
)
def test_arrays_are_checked_as_files_are(arguments: dict, error: type, message: str) -> None:
    frames = {"input_frames": 1, "output_frames": 1} if "trajectories" in arguments else {}
    with pytest.raises(error, match=message):
        PDEData.from_arrays(**arguments, **frames, n_train=3, n_test=2).setup()
