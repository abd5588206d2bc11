"""Coils, sampling and the Fourier operator as linear operators, and the encoding that is made of them."""

import pytest
import torch
from properties import assert_close, is_adjoint, is_linear, perturb, random

from sciml.mri.models.sense import Sense, SenseOperator
from sciml.mri.physics.coils import Coils
from sciml.mri.physics.fourier import Fourier2d, ScannerFourier, fft2c, ifft2c
from sciml.mri.physics.images import crop_centre
from sciml.mri.physics.sampling import Sampling

SIZE, COILS = (6, 5), 3
MASK = torch.tensor([True, False, True, True, False])[None, None, None]
MAPS = random(1, COILS, *SIZE, seed=5)


def learned():
    fourier = Fourier2d(SIZE, transform="monarch", heads=COILS).double()
    perturb(fourier)
    return fourier


OPERATORS = {
    "coils": (lambda: Coils(MAPS), (1, *SIZE), (1, COILS, *SIZE)),
    "mask": (lambda: Sampling(MASK), (1, COILS, *SIZE), (1, COILS, *SIZE)),
    "weights": (lambda: Sampling(0.3 * MASK), (1, COILS, *SIZE), (1, COILS, *SIZE)),
    "scanner": (ScannerFourier, (1, COILS, *SIZE), (1, COILS, *SIZE)),
    "learned": (learned, (1, COILS, *SIZE), (1, COILS, *SIZE)),
    "encoding": (lambda: Sampling(MASK) @ learned() @ Coils(MAPS), (1, *SIZE), (1, COILS, *SIZE)),
}


@pytest.mark.parametrize("name", OPERATORS)
def test_is_linear_and_has_an_adjoint(name) -> None:
    make, of_x, of_y = OPERATORS[name]
    operator = make()
    is_linear(operator, *of_x, dtype=torch.complex128)
    is_adjoint(operator, random(*of_x, seed=1), random(*of_y, seed=2))
    assert_close(operator.H.as_matrix(of_y), operator.as_matrix(of_x).mH, n=90)


def test_the_scanners_adjoint_is_its_inverse() -> None:
    x = random(2, COILS, *SIZE)
    assert torch.equal(ScannerFourier()(x), fft2c(x))
    assert torch.equal(ScannerFourier().H(x), ifft2c(x))
    assert_close((ScannerFourier().H @ ScannerFourier())(x), x, n=30)


def test_coils_are_diagonals_one_below_the_other() -> None:
    expected = torch.cat([torch.diag(s.flatten()) for s in MAPS[0]])
    assert_close(Coils(MAPS).as_matrix((1, *SIZE)), expected)
    image, coil_images = random(1, *SIZE), random(1, COILS, *SIZE)
    assert torch.equal(Coils(MAPS)(image), image[:, None] * MAPS)
    assert torch.equal(Coils(MAPS).H(coil_images), (MAPS.conj() * coil_images).sum(1))


def test_the_networks_encoding_is_sampling_after_fourier_after_coils() -> None:
    fourier = learned()
    matrices = [
        operator.as_matrix(shape)
        for operator, shape in (
            (Sampling(MASK), (1, COILS, *SIZE)),
            (fourier, (1, COILS, *SIZE)),
            (Coils(MAPS), (1, *SIZE)),
        )
    ]
    expected = torch.linalg.multi_dot(matrices)
    assert_close(SenseOperator(fourier).given(MAPS, MASK).as_matrix((1, *SIZE)), expected, n=90)
    kspace = random(1, COILS, *SIZE)
    assert_close(Sense(fourier)(kspace, MASK, MAPS).flatten(), expected.mH @ kspace.flatten(), n=90)


@pytest.mark.parametrize(("shape", "size"), [((6, 5), (4, 3)), ((7, 8), (7, 2)), ((4, 4), (4, 4))])
def test_the_centre_that_is_kept(shape, size) -> None:
    image = torch.arange(shape[0] * shape[1]).view(1, *shape)
    top, left = ((n - m) // 2 for n, m in zip(shape, size, strict=True))
    assert torch.equal(crop_centre(image, size), image[:, top : top + size[0], left : left + size[1]])
    with pytest.raises(ValueError, match=f"{shape[0]} × {shape[1]} to {shape[0] + 1} × 2"):
        crop_centre(image, (shape[0] + 1, 2))
