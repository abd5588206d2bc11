"""The reconstruction task: losses against their formulas, cropping, and validation measured on whole volumes."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import skimage.metrics
import torch
from torch import nn

from sciml.errors import BadSchema, ConfigError, NonFinite
from sciml.mri.batches import SliceBatch
from sciml.mri.data import MRIData
from sciml.mri.formats.fastmri import write_volume
from sciml.mri.formats.header import write_header
from sciml.mri.losses import SSIMLoss
from sciml.mri.models.classical import ZeroFilled
from sciml.mri.models.sense import Sense
from sciml.mri.physics.fourier import Fourier2d, fft2c, ifft2c
from sciml.mri.physics.masks import Mask
from sciml.mri.task import MRITask
from sciml.mri.volumes import VolumeStack

ADAM = partial(torch.optim.Adam, lr=1e-3)


def batch(n: int = 2, size: int = 16, target: int = 12, scale: float = 1.0) -> SliceBatch:
    images = scale * torch.randn(n, 1, size, size, dtype=torch.complex64)
    truth = scale * torch.rand(n, target, target)
    return SliceBatch(
        fft2c(images),
        torch.ones(n, 1, 1, size, dtype=torch.bool),
        None,
        truth,
        truth.amax((1, 2)),
        ["v.h5"] * n,
        [*range(n)],
    )


class Answers(nn.Module):
    """A network that gives what it was made with."""

    def __init__(self, image: torch.Tensor) -> None:
        super().__init__()
        self.image = nn.Parameter(image)

    def forward(self, kspace, mask, maps=None):
        return self.image


def test_magnitude_of_a_complex_image_is_cropped_to_the_target() -> None:
    image = torch.randn(2, 16, 16, dtype=torch.complex64)
    found = MRITask(Answers(image), ADAM)(batch())
    torch.testing.assert_close(found, image.abs()[:, 2:14, 2:14])


@pytest.mark.parametrize("scale", [1.0, 1e-6])
def test_losses_are_those_of_images_divided_by_the_maximum(scale: float) -> None:
    given = batch(scale=scale)
    image = scale * torch.rand(2, 12, 12)
    a, b = (t / given.maxval[:, None, None] for t in (image, given.target))
    ssim = [
        skimage.metrics.structural_similarity(p.numpy(), t.numpy(), data_range=1.0) for p, t in zip(a, b, strict=True)
    ]
    expected = [
        (nn.L1Loss(), (a - b).abs().mean()),
        (nn.MSELoss(), (a - b).square().mean()),
        (SSIMLoss(), torch.tensor(1 - sum(ssim) / 2)),
    ]
    for loss, value in expected:
        task = MRITask(Answers(image), ADAM, loss=loss)
        found, _ = task._loss(task(given), given)
        torch.testing.assert_close(found, value.float(), rtol=1e-4, atol=1e-4)
        found.backward()
        assert bool(task.net.image.grad.isfinite().all())


def test_slices_are_gathered_to_volumes_in_order() -> None:
    stack = VolumeStack()
    given = batch(4)._replace(volume=["b.h5", "a.h5", "b.h5", "a.h5"], slice=[1, 0, 0, 1])
    predictions = torch.rand(4, 12, 12)
    stack.add(given, predictions)
    first, second = stack.volumes()
    assert (first.name, second.name) == ("a.h5", "b.h5")
    torch.testing.assert_close(torch.from_numpy(first.prediction), predictions[[1, 3]])
    torch.testing.assert_close(torch.from_numpy(second.target), given.target[[2, 0]])
    for volume in (first, second):
        expected = skimage.metrics.peak_signal_noise_ratio(
            volume.target, volume.prediction, data_range=volume.target.max()
        )
        assert volume.metrics()["psnr"] == pytest.approx(expected, rel=1e-5)


def test_target_larger_than_the_image_is_refused_with_its_place() -> None:
    with pytest.raises(BadSchema, match=r"v\.h5: slice 0"):
        MRITask(ZeroFilled(), ADAM)(batch(size=8, target=12))


def test_without_a_target_the_image_has_the_size_that_is_wanted() -> None:
    image = torch.randn(2, 16, 16, dtype=torch.complex64)
    given = batch()._replace(target=None, size=(10, 6))
    torch.testing.assert_close(MRITask(Answers(image), ADAM)(given), image.abs()[:, 3:13, 5:11])
    whole = MRITask(Answers(image), ADAM)(given._replace(size=None))
    torch.testing.assert_close(whole, image.abs())


def test_prediction_of_a_test_file_is_the_headers_size(tmp_path: Path) -> None:
    """As fastMRI's test step: 640 × 368 of which 320 × 320 are reconstructed, and narrower than that."""
    for size, expected in (((32, 24), (16, 16)), ((32, 14), (14, 14))):
        path = tmp_path / str(size[1]) / "multicoil_test" / "a.h5"
        path.parent.mkdir(parents=True)
        rng = np.random.default_rng(0)
        kspace = rng.standard_normal((2, 3, *size)) + 1j * rng.standard_normal((2, 3, *size))
        write_volume(path, kspace, mask=np.ones(size[1]), header=write_header(size, (16, 16)))
        data = MRIData(str(path.parents[1]), Mask("file"), batch_size=2)
        data.setup("predict")
        (given,) = data.predict_dataloader()
        stack = VolumeStack()
        stack.add(given, MRITask(ZeroFilled(), ADAM).predict_step(given, 0))
        (volume,) = stack.volumes()
        assert volume.prediction.shape == volume.zero_filled.shape == (2, *expected)
        top, left = ((n - m) // 2 for n, m in zip(size, expected, strict=True))
        whole = np.sqrt((np.abs(ifft2c(torch.from_numpy(kspace)).numpy()) ** 2).sum(1))
        cropped = whole[:, top : top + expected[0], left : left + expected[1]]
        np.testing.assert_allclose(volume.prediction, cropped, rtol=1e-5)


def test_check_data_says_what_does_not_fit() -> None:
    MRITask(ZeroFilled(), ADAM).check_data(batch())
    with pytest.raises(ConfigError, match="coil maps"):
        MRITask(Sense(Fourier2d((16, 16))), ADAM).check_data(batch())
    with pytest.raises(ConfigError, match=r"model\.net does not fit k-space \(2, 1, 16, 16\)"):
        MRITask(nn.Bilinear(3, 3, 3), ADAM).check_data(batch())


def test_nothing_to_train_is_no_error() -> None:
    task = MRITask(ZeroFilled(), ADAM)
    task.log = lambda *args, **options: None  # no trainer
    assert task.training_step(batch(), 0) is None
    assert task.configure_optimizers() is None


@pytest.mark.parametrize("loss", [nn.L1Loss(), nn.MSELoss(), SSIMLoss()])
def test_empty_slices_do_not_count_in_the_loss(loss: nn.Module) -> None:
    given = batch(4)
    empty = torch.tensor([False, True, False, True])
    given.target[empty] = 0
    given.maxval[1] = 0  # slice 1 of an empty volume, slice 3 of another
    image = torch.rand(4, 12, 12)
    task = MRITask(Answers(image), ADAM, loss=loss)
    found = task.training_step(given, 0)
    rest = given._replace(target=given.target[~empty], maxval=given.maxval[~empty])
    expected = MRITask(Answers(image[~empty]), ADAM, loss=loss)
    torch.testing.assert_close(found, expected._loss(expected(rest), rest)[0])
    ((mean, number),) = task.trained.state_dict()["train_loss"].tolist()
    assert (mean, number) == (pytest.approx(found.item()), 2)
    found.backward()
    assert not task.net.image.grad[empty].any()


def test_loss_of_empty_slices_alone_is_zero_and_finite() -> None:
    given = batch(2)
    given = given._replace(target=torch.zeros_like(given.target), maxval=torch.zeros(2))
    task = MRITask(Answers(torch.rand(2, 12, 12)), ADAM)
    loss = task.training_step(given, 0)
    loss.backward()
    assert loss.item() == 0
    assert not task.net.image.grad.any()
    assert task.trained.means() == {}


def test_empty_volumes_are_left_out_of_validation_and_counted() -> None:
    given = batch(4)._replace(volume=["a.h5", "a.h5", "b.h5", "b.h5"], slice=[0, 1, 0, 1])
    given.target[2:] = 0
    given.maxval[2:] = 0
    image = torch.rand(4, 12, 12)
    task, logged = MRITask(Answers(image), ADAM), {}
    task.log = lambda name, value, **options: logged.update({name: value})
    with torch.no_grad():
        task.validation_step(given, 0)
    task.on_validation_epoch_end()
    assert logged["val_excluded"] == 1
    expected = float((image - given.target)[:2].square().sum() / given.target[:2].square().sum())
    assert logged["val_nmse"] == pytest.approx(expected, rel=1e-5)
    assert all(np.isfinite(float(value)) for value in logged.values())


def test_reconstruction_that_is_not_finite_ends_validation() -> None:
    image = torch.rand(2, 12, 12)
    image[1, 0, :3] = torch.nan
    with pytest.raises(NonFinite, match=r"v\.h5: slice 1: 3 values of the reconstruction"):
        MRITask(Answers(image), ADAM).validation_step(batch(), 0)
