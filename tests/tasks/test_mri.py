"""The reconstruction task: losses against their formulas, cropping, and validation measured on whole volumes."""

from functools import partial

import pytest
import skimage.metrics
import torch
from torch import nn

from sciml.errors import BadSchema, ConfigError
from sciml.mri.batches import SliceBatch
from sciml.mri.classical import ZeroFilled
from sciml.mri.fourier import Fourier2d, fft2c
from sciml.mri.sense import Sense
from sciml.mri.volumes import VolumeStack
from sciml.tasks.mri import MRITask

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
    expected = {"l1": (a - b).abs().mean(), "mse": (a - b).square().mean(), "ssim": torch.tensor(1 - sum(ssim) / 2)}
    for name, value in expected.items():
        task = MRITask(Answers(image), ADAM, loss=name)
        found = task._loss(task(given), given)
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
