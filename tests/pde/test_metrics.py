import math

import numpy as np
import pytest
import torch
from neuralop.losses import H1Loss, LpLoss

from sciml import metrics

DTYPES = {torch.float16: 2e-3, torch.bfloat16: 2e-2, torch.float32: 1e-6, torch.float64: 1e-13}
GRIDS = [(35,), (12, 16), (4, 6, 5)]


@pytest.fixture
def rng() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def pair(rng, *shape, dtype=torch.float64):
    target = torch.randn(shape, generator=rng, dtype=torch.float64)
    return (target + 0.1 * torch.randn(shape, generator=rng, dtype=torch.float64)).to(dtype), target.to(dtype)


def waves(n, *, k=3, axis_points=None):
    """sin(2πkx) on the unit torus, float64."""
    x = torch.arange(n, dtype=torch.float64) / n if axis_points is None else axis_points
    return torch.sin(2 * math.pi * k * x)


class TestRelativeL2:
    @pytest.mark.parametrize("dtype", DTYPES)
    @pytest.mark.parametrize("grid", GRIDS)
    def test_matches_float64_numpy(self, rng, grid, dtype):
        prediction, target = pair(rng, 3, 2, *grid, dtype=dtype)
        p, t = (a.double().numpy().reshape(3, -1) for a in (prediction, target))
        expected = np.linalg.norm(p - t, axis=1) / np.linalg.norm(t, axis=1)
        actual = metrics.relative_l2_per_sample(prediction, target)
        np.testing.assert_allclose(actual.double(), expected, rtol=DTYPES[dtype])
        assert metrics.relative_l2(prediction, target).item() == pytest.approx(expected.mean(), rel=DTYPES[dtype])
        assert actual.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)

    @pytest.mark.parametrize("grid", GRIDS)
    def test_is_neuralops_loss_on_one_channel_up_to_its_epsilon(self, rng, grid):
        prediction, target = pair(rng, 5, 1, *grid)
        theirs = LpLoss(d=len(grid), reduction="mean", eps=0.0)(prediction, target)
        torch.testing.assert_close(metrics.relative_l2(prediction, target), theirs, rtol=1e-13, atol=0)

    def test_differs_from_neuralops_loss_on_several_channels(self, rng):
        prediction, target = pair(rng, 5, 2, 16)
        prediction[:, 1] += 1.0
        theirs = LpLoss(d=1, reduction="mean", eps=0.0)(prediction, target)
        ours = metrics.relative_l2_per_sample(prediction, target, batch_dims=2).mean()
        torch.testing.assert_close(ours, theirs, rtol=1e-13, atol=0)
        assert not torch.isclose(metrics.relative_l2(prediction, target), theirs, rtol=1e-3)

    def test_each_step_of_a_rollout(self, rng):
        prediction, target = pair(rng, 3, 4, 8, 8)
        steps = metrics.relative_l2_per_sample(prediction, target, batch_dims=2)
        for t in range(4):
            one = metrics.relative_l2_per_sample(prediction[:, t], target[:, t])
            torch.testing.assert_close(steps[:, t], one, rtol=1e-13, atol=0)

    @pytest.mark.parametrize("scale", [1e-30, 1e30])
    def test_does_not_depend_on_the_unit(self, rng, scale):
        prediction, target = pair(rng, 3, 16, dtype=torch.float32)
        scaled = metrics.relative_l2_per_sample(prediction * scale, target * scale)
        torch.testing.assert_close(scaled, metrics.relative_l2_per_sample(prediction, target))

    @pytest.mark.parametrize(("blow_up", "batch_dims"), [(1e25, 1), (1e25, 2), (1e-25, 1)])
    def test_a_prediction_far_from_its_target_has_an_error(self, rng, blow_up, batch_dims):
        prediction, target = pair(rng, 3, 2, 16, dtype=torch.float32)
        prediction = (blow_up * prediction).requires_grad_()
        actual = metrics.relative_l2_per_sample(prediction, target, batch_dims=batch_dims)
        p, t = (a.detach().double().numpy().reshape(*actual.shape, -1) for a in (prediction, target))
        np.testing.assert_allclose(
            actual.detach(), np.linalg.norm(p - t, axis=-1) / np.linalg.norm(t, axis=-1), rtol=1e-6
        )
        actual.sum().backward()
        assert prediction.grad.isfinite().all()
        assert (prediction.grad != 0).any()

    def test_real_and_complex_are_not_mixed_and_integers_refused(self):
        real, complex_ = torch.ones(2, 8), torch.ones(2, 8, dtype=torch.complex64)
        with pytest.raises(ValueError, match=r"complex64.*float32.*abs\(\)"):
            metrics.relative_l2(complex_, real)
        with pytest.raises(ValueError, match=r"target: expected.*int64.*float\(\)"):
            metrics.relative_l2(real, torch.ones(2, 8, dtype=torch.int64))
        for measure in (metrics.relative_h1_per_sample, metrics.power_spectrum):
            fields = (complex_, complex_) if measure is metrics.relative_h1_per_sample else (complex_,)
            with pytest.raises(ValueError, match=r"complex64.*abs\(\)"):
                measure(*fields, dims=1, periodic=True)

    def test_zero_target_is_left_out_and_counted(self, rng):
        prediction, target = pair(rng, 4, 2, 8)
        target[1] = 0
        per_sample = metrics.relative_l2_per_sample(prediction, target)
        assert per_sample.isnan().tolist() == [False, True, False, False]
        mean, excluded = metrics.counted_mean(per_sample, excluded=metrics.is_zero(target))
        assert excluded == 1
        torch.testing.assert_close(mean, per_sample[[0, 2, 3]].mean())
        torch.testing.assert_close(metrics.relative_l2(prediction, target), mean)

    def test_nan_of_a_diverged_prediction_is_not_left_out(self, rng):
        prediction, target = pair(rng, 4, 8)
        prediction[2, 0] = torch.nan
        assert metrics.relative_l2(prediction, target).isnan()

    def test_gradients(self, rng):
        prediction, target = pair(rng, 3, 2, 4)
        assert torch.autograd.gradcheck(metrics.relative_l2, (prediction.requires_grad_(), target.requires_grad_()))

    def test_gradient_is_zero_at_the_solution_and_for_a_zero_target(self, rng):
        prediction, target = pair(rng, 3, 8)
        prediction[0], target[1] = target[0], 0
        prediction.requires_grad_()
        metrics.relative_l2(prediction, target).backward()
        assert prediction.grad is not None
        assert (prediction.grad != 0).any(-1).tolist() == [False, False, True]
        assert prediction.grad.isfinite().all()

    def test_all_targets_zero_is_nan_with_zero_gradient(self, rng):
        prediction = torch.randn(2, 8, generator=rng).requires_grad_()
        loss = metrics.relative_l2(prediction, torch.zeros(2, 8))
        loss.backward()
        assert loss.isnan()
        assert prediction.grad is not None
        assert (prediction.grad == 0).all()

    def test_empty_batch(self):
        empty = torch.zeros(0, 3, 8)
        assert metrics.relative_l2_per_sample(empty, empty).shape == (0,)
        assert metrics.relative_l2_per_sample(empty, empty, batch_dims=2).shape == (0, 3)
        with pytest.raises(ValueError, match="at least one sample"):
            metrics.relative_l2(empty, empty)

    def test_strides_do_not_matter(self, rng):
        prediction, target = pair(rng, 3, 8, 6)
        turned = metrics.relative_l2(prediction.transpose(1, 2), target.transpose(1, 2))
        torch.testing.assert_close(turned, metrics.relative_l2(prediction, target))

    def test_shapes_must_agree(self):
        with pytest.raises(ValueError, match=r"\(2, 8\).*\(2, 1, 8\)"):
            metrics.relative_l2(torch.ones(2, 8), torch.ones(2, 1, 8))
        with pytest.raises(ValueError, match="none left to sum over"):
            metrics.relative_l2_per_sample(torch.ones(2), torch.ones(2))


class TestRelativeH1:
    @pytest.mark.parametrize("n", [32, 33])
    @pytest.mark.parametrize("length", [1.0, 2.5])
    def test_closed_form_on_the_torus(self, n, length):
        # ‖Σ a_k sin(2πkx/L)‖²_H1 = ½ Σ a_k² (1 + (2πk/L)²)
        target, error = waves(n, k=2), 0.25 * waves(n, k=5)
        expected = 0.25 * math.sqrt((1 + (10 * math.pi / length) ** 2) / (1 + (4 * math.pi / length) ** 2))
        actual = metrics.relative_h1(target[None] + error, target[None], dims=1, periodic=True, length=length)
        assert actual.mean.item() == pytest.approx(expected, rel=1e-13)

    @pytest.mark.parametrize("dims", [1, 2, 3])
    def test_closed_form_in_every_dimension(self, dims):
        x = torch.arange(12, dtype=torch.float64) / 12
        last = torch.meshgrid([x] * dims, indexing="ij")[-1]
        first = torch.meshgrid([x] * dims, indexing="ij")[0]
        target, error = waves(12, k=1, axis_points=first), waves(12, k=4, axis_points=last)
        expected = math.sqrt((1 + (8 * math.pi) ** 2) / (1 + (2 * math.pi) ** 2))
        actual = metrics.relative_h1_per_sample((target + error)[None], target[None], dims=dims, periodic=True)
        assert actual.item() == pytest.approx(expected, rel=1e-13)

    @pytest.mark.parametrize("grid", GRIDS)
    def test_spectral_form_is_the_norm_of_field_and_gradient(self, rng, grid):
        prediction, target = pair(rng, 2, 3, *grid)

        def norm(field):
            axes = tuple(range(2, field.ndim))
            transform = np.fft.fftn(field.numpy(), axes=axes)
            total = (np.abs(transform) ** 2).sum(axes)
            for axis, n in zip(axes, grid, strict=True):
                k = 2 * np.pi * np.fft.fftfreq(n, 1 / n).reshape([-1 if a == axis else 1 for a in range(field.ndim)])
                total = total + (np.abs(1j * k * transform) ** 2).sum(axes)
            return np.sqrt(total.sum(1))

        expected = norm(prediction - target) / norm(target)
        actual = metrics.relative_h1_per_sample(prediction, target, dims=len(grid), periodic=True)
        np.testing.assert_allclose(actual, expected, rtol=1e-12)

    def test_between_walls_a_straight_line_is_exact(self):
        x = (torch.arange(64, dtype=torch.float64) + 0.5) / 32
        actual = metrics.relative_h1_per_sample(1.1 * x[None], x[None], dims=1, periodic=False, length=2.0)
        assert actual.item() == pytest.approx(0.1, rel=1e-12)
        constant = torch.ones(1, 64, dtype=torch.float64)
        slope = metrics.relative_h1_per_sample(constant + x, constant, dims=1, periodic=False, length=2.0)
        assert slope.item() == pytest.approx(math.sqrt(x.square().mean().item() + 1), rel=1e-12)

    @pytest.mark.parametrize("dims", [1, 2])
    def test_between_walls_converges_at_second_order(self, dims):
        def error(n):
            x = (torch.arange(n, dtype=torch.float64) + 0.5) / n
            first = torch.meshgrid([x] * dims, indexing="ij")[0]
            target, mode = torch.ones_like(first), torch.exp(first)
            value = metrics.relative_h1_per_sample((target + mode)[None], target[None], dims=dims, periodic=False)
            return abs(value.item() - math.sqrt(math.exp(2) - 1))

        assert error(64) / error(128) == pytest.approx(4, rel=0.05)

    def test_agrees_with_neuralop_as_the_grid_is_refined(self, rng):
        def difference(n):
            x = torch.arange(n, dtype=torch.float64) / n
            target, error = waves(n, k=1, axis_points=x), 0.1 * waves(n, k=2, axis_points=x)
            p, t = (target + error)[None, None], target[None, None]
            theirs = H1Loss(d=1, reduction="mean", eps=0.0)(p, t)
            return (metrics.relative_h1(p, t, dims=1, periodic=True).mean - theirs).abs().item()

        assert difference(64) / difference(128) == pytest.approx(4, rel=0.05)

    @pytest.mark.parametrize("periodic", [True, False])
    @pytest.mark.parametrize("scale", [1e-30, 1e30])
    def test_does_not_depend_on_the_unit(self, rng, scale, periodic):
        prediction, target = pair(rng, 3, 8, 6, dtype=torch.float32)
        options = {"dims": 2, "periodic": periodic}
        scaled = metrics.relative_h1_per_sample(prediction * scale, target * scale, **options)
        torch.testing.assert_close(scaled, metrics.relative_h1_per_sample(prediction, target, **options))
        far = metrics.relative_h1_per_sample(1e25 * target, target, **options)
        torch.testing.assert_close(far, torch.full((3,), 1e25))

    @pytest.mark.parametrize("periodic", [True, False])
    def test_gradients_are_right_and_zero_at_the_solution(self, rng, periodic):
        prediction, target = pair(rng, 2, 6)
        target[1] = 0

        def loss(p):
            return metrics.relative_h1(p, target, dims=1, periodic=periodic).mean

        assert torch.autograd.gradcheck(loss, prediction.requires_grad_())
        solution = target.clone().requires_grad_()
        loss(solution).backward()
        assert solution.grad is not None
        assert (solution.grad == 0).all()

    @pytest.mark.parametrize("periodic", [True, False])
    def test_zero_targets_are_counted_and_empty_batches_named(self, rng, periodic):
        prediction, target = pair(rng, 3, 8, 8, dtype=torch.float16)
        target[2] = 0
        mean, excluded = metrics.relative_h1(prediction, target, dims=2, periodic=periodic)
        assert excluded == 1
        assert mean.isfinite()
        empty = target[:0]
        assert metrics.relative_h1_per_sample(empty, empty, dims=2, periodic=periodic).shape == (0,)
        assert metrics.power_spectrum(empty, dims=2, periodic=periodic).shape[0] == 0

    @pytest.mark.parametrize(("dims", "length"), [(0, 1.0), (3, 1.0), (1, (1.0, 1.0)), (1, 0.0)])
    def test_bad_geometry_is_named(self, dims, length):
        with pytest.raises(ValueError, match=r"dims=|length="):
            metrics.relative_h1(torch.ones(2, 8), torch.ones(2, 8), dims=dims, periodic=True, length=length)


class TestSpectra:
    @pytest.mark.parametrize("periodic", [True, False])
    @pytest.mark.parametrize("grid", GRIDS)
    def test_parseval(self, rng, grid, periodic):
        field = torch.randn(2, 3, *grid, generator=rng, dtype=torch.float64)
        total = metrics.power_spectrum(field, dims=len(grid), periodic=periodic).sum(-1)
        torch.testing.assert_close(total, field.square().flatten(2).mean(-1), rtol=1e-13, atol=0)

    @pytest.mark.parametrize("dtype", DTYPES)
    def test_a_plane_wave_lies_in_one_shell(self, dtype):
        x = torch.arange(20, dtype=torch.float64) / 20
        y, x = torch.meshgrid(x, x, indexing="ij")
        spectrum = metrics.power_spectrum(torch.sin(2 * math.pi * (3 * y + 4 * x)).to(dtype), dims=2, periodic=True)
        expected = torch.zeros_like(spectrum)
        expected[5] = 0.5
        torch.testing.assert_close(spectrum, expected, atol=DTYPES[dtype], rtol=0)

    def test_a_cosine_between_walls_lies_in_one_shell(self):
        x = (torch.arange(32, dtype=torch.float64) + 0.5) / 32
        spectrum = metrics.power_spectrum(torch.cos(3 * math.pi * x), dims=1, periodic=False)
        assert spectrum[3].item() == pytest.approx(0.5, rel=1e-13)
        assert spectrum.sum().item() == pytest.approx(0.5, rel=1e-13)

    @pytest.mark.parametrize("length", [1.0, 2 * math.pi])
    def test_energy_of_taylor_green_vortices(self, length):
        # ψ = cos(ax) cos(ay), ω = 2a²ψ, ½ mean|u|² = a²/4, all of it at |κ| = √2·2 = 2.83
        a = 2 * math.pi * 2 / length
        x = torch.arange(32, dtype=torch.float64) * length / 32
        y, x = torch.meshgrid(x, x, indexing="ij")
        spectrum = metrics.energy_spectrum(2 * a**2 * torch.cos(a * x) * torch.cos(a * y), length=length)
        assert spectrum[3].item() == pytest.approx(a**2 / 4, rel=1e-12)
        assert spectrum.sum().item() == pytest.approx(a**2 / 4, rel=1e-12)

    def test_energy_is_that_of_the_velocity(self, rng):
        stream = torch.fft.rfft2(torch.randn(16, 16, generator=rng, dtype=torch.float64))
        stream[8], stream[:, 8] = 0, 0  # the derivative of a Nyquist mode is not real
        k = 2 * math.pi * torch.fft.fftfreq(16, 1 / 16, dtype=torch.float64)
        ky, kx = k[:, None], k[None, :9].abs()
        u, v = torch.fft.irfft2(1j * ky * stream), torch.fft.irfft2(-1j * kx * stream)
        vorticity = torch.fft.irfft2((kx**2 + ky**2) * stream)
        energy = 0.5 * (u.square() + v.square()).mean()
        torch.testing.assert_close(metrics.energy_spectrum(vorticity).sum(), energy, rtol=1e-12, atol=0)

    def test_error_is_the_distance_in_decades(self, rng):
        spectrum = torch.rand(4, 9, generator=rng, dtype=torch.float64) + 0.1
        error = metrics.spectrum_error(spectrum * torch.tensor([1.0, 10.0, 0.1, 1.0])[:, None], spectrum)
        torch.testing.assert_close(error, torch.tensor([0.0, 1.0, 1.0, 0.0], dtype=torch.float64))

    @pytest.mark.parametrize("scale", [1e-30, 1e30])
    def test_float32_fields_of_any_size_have_spectra(self, rng, scale):
        field = torch.randn(2, 8, 8, generator=rng)
        huge = (scale * field).double()
        for spectrum in (lambda u: metrics.power_spectrum(u, dims=2, periodic=True), metrics.energy_spectrum):
            torch.testing.assert_close(spectrum(huge.float()), spectrum(huge), rtol=1e-6, atol=0)
            decades = metrics.spectrum_error(spectrum(huge.float()), spectrum(field))
            expected = torch.full((2,), 2 * abs(math.log10(scale)), dtype=torch.float64)
            # far below the target's power the floor is what a spectrum is compared with
            floor = metrics.spectrum_error(torch.zeros_like(spectrum(field)), spectrum(field))
            torch.testing.assert_close(decades, expected if scale > 1 else floor, rtol=1e-6, atol=0)

    def test_error_ignores_what_lies_under_the_floor_and_the_mean(self):
        target = torch.tensor([[5.0, 1.0, 1e-14]])
        prediction = torch.tensor([[7.0, 1.0, 0.0]])
        assert metrics.spectrum_error(prediction, target).item() == 0

    def test_constant_field_has_no_spectrum_to_compare(self):
        constant = metrics.power_spectrum(torch.ones(2, 8), dims=1, periodic=True)
        assert metrics.spectrum_error(constant, constant).isnan().all()
