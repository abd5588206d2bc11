import numpy as np
import pytest
import sigpy.mri
import torch

from sciml.errors import ConfigError
from sciml.mri.physics.calibration import calibration_region
from sciml.mri.physics.masks import COLUMN_KINDS, Mask, _disc, poisson_mask, undersampling_mask, volume_seed

# Drawn with fastmri 0.3.0's classes: width 31, center_fractions [0.1], accelerations [4], seed from the file's name.
GOLDEN = {
    "random": 0x989C000,
    "equispaced": 0x889C888,
    "equispaced_fraction": 0x821C208,
    "magic": 0x4445C444,
    "magic_fraction": 0x4105C410,
}


@pytest.mark.parametrize("kind", GOLDEN)
def test_bits_are_fastmris(kind: str) -> None:
    seed = volume_seed("file1000001.h5")
    mask = undersampling_mask(kind, 31, center_fraction=0.1, acceleration=4, seed=seed)
    assert "".join(map(str, mask.astype(int))) == f"{GOLDEN[kind]:031b}"


@pytest.mark.parametrize("kind", COLUMN_KINDS)
@pytest.mark.parametrize("width", [320, 332, 368, 372, 640, 101])
def test_centre_is_sampled_and_the_rate_is_as_asked(kind: str, width: int) -> None:
    rates = []
    for seed in range(30):
        mask = undersampling_mask(kind, width, center_fraction=0.08, acceleration=4, seed=seed)
        low = round(width * 0.08)
        start = (width - low + 1) // 2
        assert kind == "magic_fraction" or mask[start : start + low].all()
        rates.append(width / mask.sum())
    exact = kind in ("random", "equispaced_fraction", "magic_fraction")
    assert np.mean(rates) == pytest.approx(4 if exact else 4 / 1.24, rel=0.1)


def test_global_generator_is_left_alone() -> None:
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    for kind in COLUMN_KINDS:
        undersampling_mask(kind, 64, center_fraction=0.08, acceleration=4, seed=1)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


def test_masks_are_functions_of_the_seed() -> None:
    mask = Mask("random", center_fractions=[0.08, 0.04], accelerations=[4, 8])
    drawn = [mask.draw((1, 200), seed) for seed in range(20)]
    for seed, again in enumerate(drawn):
        np.testing.assert_array_equal(mask.draw((1, 200), seed), again)
        assert again.sum() == pytest.approx(200 / mask.acceleration(seed), rel=0.5)
    assert {mask.acceleration(seed) for seed in range(20)} == {4, 8}


def test_fixed_seed_gives_one_mask() -> None:
    mask = Mask("random", fixed_seed=5)
    np.testing.assert_array_equal(mask.draw((1, 100), 1), mask.draw((1, 100), 2))


@pytest.mark.parametrize("acceleration", [4, 8])
def test_poisson_disc_meets_rate_and_samples_the_centre(acceleration: int) -> None:
    mask = poisson_mask((96, 80), center_fraction=0.1, acceleration=acceleration, seed=0)
    assert mask.shape == (96, 80)
    assert mask.size / mask.sum() == pytest.approx(acceleration, rel=0.15)
    assert mask[45:52, 38:43].all()


@pytest.mark.parametrize("shape", [(64, 48), (1, 64)])
@pytest.mark.parametrize("acceleration", [1, 1.05, 1.5, 2, 3, 5])
def test_poisson_disc_is_within_a_tenth_of_the_rate(shape: tuple[int, int], acceleration: float) -> None:
    mask = poisson_mask(shape, center_fraction=0.08, acceleration=acceleration, seed=3)
    assert mask.size / mask.sum() == pytest.approx(acceleration, rel=0.1)
    assert mask[shape[0] // 2, shape[1] // 2]
    np.testing.assert_array_equal(mask, poisson_mask(shape, center_fraction=0.08, acceleration=acceleration, seed=3))


@pytest.mark.parametrize(("shape", "acceleration"), [((48, 40), 5), ((96, 80), 8), ((64, 64), 12.0)])
def test_disc_is_sigpys(shape: tuple[int, int], acceleration: float) -> None:
    expected = sigpy.mri.poisson(shape, acceleration, calib=(0, 0), crop_corner=False, seed=4, tol=0.3)
    np.testing.assert_array_equal(_disc(shape, acceleration, 4), expected != 0)


def test_disc_of_an_impossible_rate_is_the_nearest_one() -> None:
    densest = _disc((32, 32), 1.0, 0)
    assert 1.0 < densest.size / densest.sum() < 1.4


@pytest.mark.parametrize("shape", [(2, 2), (1, 1), (1, 5)])
def test_poisson_of_too_few_points(shape: tuple[int, int]) -> None:
    with pytest.raises(ConfigError, match="acceleration 3"):
        poisson_mask(shape, center_fraction=0.08, acceleration=3, seed=0)


def test_poisson_centre_too_large_is_refused_not_searched_for_ever() -> None:
    with pytest.raises(ConfigError, match="center_fraction"):
        poisson_mask((64, 64), center_fraction=0.9, acceleration=8, seed=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "spiral"}, "spiral"),
        ({"center_fractions": [0.1, 0.2]}, "equally many"),
        ({"center_fractions": [1.5]}, "fraction"),
        ({"accelerations": [0]}, "acceleration"),
        ({"accelerations": [0.9]}, "acceleration=0.9"),
        ({"accelerations": [float("nan")]}, "acceleration=nan"),
        ({"accelerations": [float("inf")], "kind": "poisson"}, "acceleration=inf"),
        ({"accelerations": [2.5], "kind": "equispaced"}, "whole number"),
        ({"accelerations": [2.5], "kind": "magic"}, "whole number"),
        ({"center_fractions": [1]}, "center_fraction=1"),
        ({"center_fractions": [float("nan")]}, "center_fraction=nan"),
        ({"kind": "file", "fixed_seed": 1}, "fixed_seed"),
    ],
)
def test_nonsense_is_refused(options: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Mask(**options)


def test_centre_that_leaves_nothing_to_accelerate() -> None:
    with pytest.raises(ConfigError, match="central columns"):
        undersampling_mask("equispaced_fraction", 40, center_fraction=0.5, acceleration=4, seed=0)


@pytest.mark.parametrize(("width", "low"), [(31, 3), (32, 4), (33, 6)])
def test_calibration_region_is_the_symmetric_centre(width: int, low: int) -> None:
    mask = torch.zeros(1, 1, 1, width, dtype=torch.bool)
    start = (width - low + 1) // 2
    mask[..., start : start + low] = True
    mask[..., 0] = True
    region = calibration_region(mask)[0, 0, 0]
    assert not region[0]
    assert low - 2 <= region.sum() <= low  # an odd one out on one side is left out, as in fastMRI
    assert bool(region[width // 2])


@pytest.mark.parametrize("kind", COLUMN_KINDS)
@pytest.mark.parametrize("width", [24, 31, 320])
def test_acceleration_of_one_samples_everything(kind: str, width: int) -> None:
    mask = undersampling_mask(kind, width, center_fraction=0.2, acceleration=1, seed=2)
    assert mask.sum() >= width - 1  # fastMRI's equispaced_fraction stops before the last column


@pytest.mark.parametrize("kind", COLUMN_KINDS)
def test_more_than_the_width_cannot_be_left_out(kind: str) -> None:
    for width in (1, 2, 7):
        with pytest.raises(ConfigError, match=f"acceleration 8 of {width} columns"):
            undersampling_mask(kind, width, center_fraction=0.0, acceleration=8, seed=0)


def test_random_centre_beyond_the_rate_is_refused() -> None:
    for width, fraction in ((100, 0.3), (5, 0.95)):
        with pytest.raises(ConfigError, match="central columns"):
            undersampling_mask("random", width, center_fraction=fraction, acceleration=4, seed=0)
    assert undersampling_mask("random", 5, center_fraction=0.95, acceleration=1, seed=0).all()


@pytest.mark.parametrize("kind", ["random", "equispaced_fraction", "poisson", "magic"])
def test_mask_is_checked_for_a_size_before_it_is_drawn(kind: str) -> None:
    mask = Mask(kind, center_fractions=[0.08, 0.5], accelerations=[2, 8])
    if kind == "magic":
        mask.check((64, 64))
        with pytest.raises(ConfigError, match="8 of 5 columns"):
            mask.check((64, 5))
        return
    with pytest.raises(ConfigError, match="lower one"):
        mask.check((64, 64))
