import h5py
import numpy as np
import pytest
import torch

from sciml.errors import ConfigError
from sciml.pde.data import PDEData
from sciml.pde.equations.burgers import solve_burgers, wall_symmetry
from sciml.pde.equations.navier_stokes import flow_symmetry, solve_navier_stokes
from sciml.pde.equations.random_fields import FORCING, fno_forcing, gaussian_random_vorticity
from sciml.pde.symmetry import Symmetry


@pytest.mark.parametrize("reflect", [False, True])
@pytest.mark.parametrize("rotate", [False, True])
@pytest.mark.parametrize("shift", [0, 5])
def test_carries_solutions_into_solutions(shift, rotate, reflect):
    symmetry = {"shift": shift, "rotate": rotate, "reflect": reflect}
    forcing = fno_forcing(32)
    assert torch.allclose(flow_symmetry(forcing, **symmetry), forcing, atol=1e-15)
    flow = {"viscosity": 1e-3, "forcing": forcing, "times": [2.0], "dt": 1e-2}
    start = gaussian_random_vorticity(range(2), grid=32, seed=0)
    found = solve_navier_stokes(flow_symmetry(start, **symmetry), **flow)
    assert torch.allclose(found, flow_symmetry(solve_navier_stokes(start, **flow), **symmetry), atol=1e-12)


def test_reflection_exchanges_the_walls():
    rng = np.random.default_rng(0)
    boundary = rng.uniform(-1, 1, (3, 2))
    x = (np.arange(200) + 0.5) / 200
    start = (
        boundary[:, :1] + (boundary[:, 1:] - boundary[:, :1]) * x + 0.5 * np.sin(np.pi * x) * rng.uniform(-1, 1, (3, 1))
    )
    options = {"viscosity": 0.01, "times": [0.5], "dt": 1e-3}
    reflected = wall_symmetry(torch.from_numpy(start), reflect=True).numpy()
    found = solve_burgers(reflected, -boundary[:, ::-1], **options)
    expected = wall_symmetry(torch.from_numpy(solve_burgers(start, boundary, **options)), reflect=True).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-12)


@pytest.fixture
def flow_file(tmp_path):
    fields = np.random.default_rng(0).standard_normal((6, 4, 8, 8)).astype("float32")
    with h5py.File(tmp_path / "flow.h5", "w") as file:
        file["vorticity"], file["time"] = fields, np.arange(1.0, 5.0)
        file.attrs.update(equation="navier-stokes", forcing=FORCING, length=1.0, n_complete=6)
    return str(tmp_path / "flow.h5")


def epochs(path, n, **options):
    data = PDEData(
        path, n_train=4, n_test=2, input_frames=2, output_frames=2, batch_size=4, augment=Symmetry(), **options
    )
    data.setup("fit")
    loader = data.train_dataloader()
    for epoch in range(n):
        loader.sampler.set_epoch(epoch)
        (batch,) = loader
        yield batch


def test_augmented_batches_differ_by_epoch_and_repeat_by_seed(flow_file):
    first, second = epochs(flow_file, 2)
    again, _ = epochs(flow_file, 2, num_workers=1)
    other, _ = epochs(flow_file, 2, seed=1)
    assert torch.equal(first.input, again.input)
    assert torch.equal(first.target, again.target)
    assert not torch.equal(first.input.sort(0).values, second.input.sort(0).values)
    assert not torch.equal(first.input.sort(0).values, other.input.sort(0).values)


def test_input_and_target_take_the_same_symmetry(flow_file):
    """A symmetry moves values and may change their common sign: |values| of a whole trajectory stay, and move alike."""
    (batch,) = epochs(flow_file, 1)
    plain = PDEData(flow_file, n_train=4, n_test=2, input_frames=2, output_frames=2, batch_size=4)
    plain.setup("fit")
    (reference,) = plain.train_dataloader()
    joined, expected = torch.cat(batch, 1), torch.cat(reference, 1)
    for found, frames in zip(joined, expected, strict=True):
        values = lambda f: {tuple(v) for v in f.flatten(1).T.abs().tolist()}  # noqa: E731
        assert values(found) == values(frames)


def test_unknown_forcing_and_grid_are_refused(tmp_path, flow_file):
    with h5py.File(flow_file, "a") as file:
        file.attrs["forcing"] = "none"
    with pytest.raises(ConfigError, match=r"augment: .*'none'"):
        next(epochs(flow_file, 1))
    with h5py.File(flow_file, "a") as file:
        file.attrs["forcing"] = FORCING
    with pytest.raises(ConfigError, match="multiple of 4"):
        next(epochs(flow_file, 1, subsample=4))
