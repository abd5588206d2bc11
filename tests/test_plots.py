import io
import subprocess
import sys

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from torch import nn

from sciml import plots
from sciml.transforms import DenseTransform, FourierTransform, MonarchTransform
from sciml.transforms.figures import leak, mode_energy, rows_of


def rendered(figure: Figure) -> Figure:
    """Draws it: layout problems and missing glyphs are warnings, and those are errors here."""
    figure.savefig(io.BytesIO(), format="png", dpi=50)
    return figure


def texts(figure: Figure) -> str:
    from matplotlib.text import Text

    return "\n".join(text.get_text() for text in figure.findobj(Text))


def labels(figure: Figure) -> list[str]:
    return [line.get_label() for ax in figure.axes for line in ax.get_lines()]


def images(figure: Figure) -> list:
    return [ax.images[0] for ax in figure.axes if ax.images]


@pytest.fixture
def fields() -> tuple[np.ndarray, np.ndarray]:
    truth = np.random.default_rng(0).normal(size=(5, 8, 8)).astype(np.float32)
    return truth, 1.1 * truth


def test_no_pyplot_state():
    code = "import sys, sciml.plots; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


class TestFields:
    def test_rollout_shares_limits_between_truth_and_prediction_only(self, fields):
        truth, prediction = fields
        figure = rendered(plots.rollout(truth, prediction, np.arange(5) + 1, [0, 2, 4]))
        limits = [image.get_clim() for image in images(figure)]
        assert len(set(limits[:6])) == 1
        assert limits[0] == pytest.approx((-np.abs(truth[::2]).max(), np.abs(truth[::2]).max()))
        assert len(set(limits[6:])) == 1
        assert limits[6] == pytest.approx((-0.1 * limits[0][1], 0.1 * limits[0][1]), rel=1e-5)

    def test_rollout_shows_the_chosen_steps_the_right_way_up(self, fields):
        truth, prediction = fields
        figure = plots.rollout(truth, prediction, np.arange(5) / 2, [1, 3], length=2.0)
        np.testing.assert_array_equal(images(figure)[1].get_array(), truth[3])
        assert images(figure)[1].origin == "lower"
        assert images(figure)[1].get_extent() == [0, 2.0, 0, 2.0]
        assert "t = 1.5" in texts(figure)
        assert "relative L2 10 %" in texts(figure)

    def test_zero_truth_has_no_error_and_no_empty_colour_range(self):
        zero = np.zeros((2, 4, 4), dtype=np.float32)
        figure = rendered(plots.rollout(zero, zero, [0.0, 1.0], [0, 1]))
        assert "relative L2 –" in texts(figure)

    def test_maps_of_one_sign_are_sequential(self, fields):
        truth, prediction = (np.abs(field[:2]) for field in fields)
        figure = rendered(plots.maps(truth, truth, prediction, titles=["a", "b"], quantity="pressure"))
        assert images(figure)[1].cmap.name == "viridis"
        assert images(figure)[1].get_clim() == images(figure)[2].get_clim() == (truth.min(), truth.max())
        assert images(figure)[3].cmap.name == "PuOr_r"
        assert "pressure, truth" in texts(figure)

    def test_profiles(self, fields):
        truth, prediction = fields[0][0][:3], fields[1][0][:3]
        x = (np.arange(8) + 0.5) / 8
        figure = rendered(plots.profiles(x, truth, prediction, titles=list("abc"), initial=truth))
        assert labels(figure)[:3] == ["input", "truth", "prediction"]
        error = figure.axes[3].get_lines()[-1]
        np.testing.assert_allclose(error.get_ydata(), prediction[0] - truth[0])
        assert texts(figure).count("relative L2 10 %") == 3


class TestCurves:
    def test_error_against_time_shows_mean_and_percentiles(self):
        errors = np.random.default_rng(0).uniform(0.01, 0.1, size=(50, 4))
        errors[3, 2] = np.nan  # a zero target at that step
        figure = rendered(plots.error_against_time({"a": errors, "b": errors / 2}, np.arange(4)))
        ax = figure.axes[0]
        np.testing.assert_allclose(ax.get_lines()[0].get_ydata(), np.nanmean(errors, axis=0))
        band = ax.collections[0].get_paths()[0].vertices
        assert band[:, 1].max() == pytest.approx(np.nanpercentile(errors, 90, axis=0).max())
        assert ax.get_yscale() == "log"

    def test_spectra_stop_at_the_last_complete_shell(self):
        spectrum = np.random.default_rng(0).uniform(0.1, 1, size=(3, 12))
        figure = rendered(plots.spectra(spectrum, {"net": spectrum / 2}, shells=8, ylabel="E(k)"))
        truth, net = figure.axes[0].get_lines()
        np.testing.assert_array_equal(truth.get_xdata(), np.arange(1, 9))
        np.testing.assert_allclose(net.get_ydata(), spectrum[:, 1:9].mean(0) / 2)

    def test_comparison_marks_the_best_mean(self):
        figure = rendered(plots.comparison({"fft": [0.03, 0.04], "monarch": [0.02, 0.021], "one seed": 0.05}))
        values = {text.get_text(): text.get_weight() for text in figure.axes[0].texts}
        assert values == {"0.0350": "normal", "0.0205": "bold", "0.0500": "normal"}

    def test_what_diverged_is_never_the_best(self):
        figure = rendered(plots.comparison({"nan": [np.nan, 0.01], "a": [0.02], "inf": np.inf, "zero": 0.0}))
        values = {text.get_text(): text.get_weight() for text in figure.axes[0].texts}
        assert values == {"diverged": "normal", "0.0200": "normal", "0.0000": "bold"}
        assert isinstance(rendered(plots.comparison({"nan": np.nan})), Figure)


class Layer(nn.Module):
    def __init__(self, transform=MonarchTransform, heads=1):
        super().__init__()
        self.analysis = nn.ModuleList([transform(12, modes=5, heads=heads), transform(12, modes=range(4))])
        self.synthesis = nn.ModuleList([transform(12, modes=range(4), inverse=True, real=True)])


class TestFactors:
    @pytest.mark.parametrize(
        "options",
        [{}, {"modes": 5}, {"centered": True}, {"modes": range(4), "inverse": True, "real": True}],
        ids=str,
    )
    @pytest.mark.parametrize("transform", [MonarchTransform, DenseTransform])
    def test_untrained_is_the_identity_on_fourier_modes(self, transform, options):
        rows = rows_of(transform(12, heads=2, **options))
        energy, modes = mode_energy(rows)
        expected = torch.zeros_like(energy)
        for row, frequency in enumerate(rows.frequencies):
            expected[:, row, modes.index((frequency + 6) % 12 - 6)] = 1
        torch.testing.assert_close(energy, expected, atol=1e-6, rtol=0)
        torch.testing.assert_close(leak(rows), torch.zeros_like(leak(rows)), atol=1e-6, rtol=0)

    def test_leak_is_the_energy_that_left_its_mode(self):
        transform = DenseTransform(8, modes=range(3))
        with torch.no_grad():  # row 1 takes up a third as much of mode 2 as it has of its own
            transform.matrix[0, 1] += transform.matrix[0, 2] / 3
        rows = rows_of(transform)
        torch.testing.assert_close(leak(rows)[0], torch.tensor([0, 0.1, 0]).double(), atol=1e-6, rtol=0)
        energy, modes = mode_energy(rows)
        assert energy[0, 1, modes.index(2)].item() == pytest.approx(0.1, abs=1e-6)

    def test_first_and_last_layer_by_what_changed_most(self):
        net = nn.Sequential(Layer(heads=2), Layer(), Layer(heads=2))
        with torch.no_grad():
            net[0].analysis[1].left.mul_(1.5)
        figure = rendered(plots.factors(net))
        shown = texts(figure)
        assert "0.analysis\n1" in shown
        assert "2.analysis\n0" in shown
        assert "1.analysis" not in shown
        assert len([ax for ax in figure.axes if "frequency f" in ax.get_xlabel()]) == 4

    def test_nothing_learned_nothing_drawn(self):
        assert plots.factors(nn.Linear(2, 2)) is None
        assert plots.factors(FourierTransform(8)) is None
        assert plots.factors(Layer().requires_grad_(False)) is None

    def test_a_bare_transform_and_a_single_point(self):
        assert isinstance(rendered(plots.factors(MonarchTransform(7))), Figure)
        assert isinstance(rendered(plots.factors(MonarchTransform(1))), Figure)
