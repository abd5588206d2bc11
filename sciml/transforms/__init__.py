"""Transforms of one axis that start as the DFT or another member: learnable (Monarch, dense) or fixed (Fourier)."""

from sciml.kernels.dispatch import use_backend
from sciml.transforms.base import Transform, factor_parameters, initial_factors
from sciml.transforms.dense import DenseTransform
from sciml.transforms.factors import MonarchFactors, dft_factors, dft_matrix, full_rank
from sciml.transforms.fft import FourierTransform
from sciml.transforms.given import Given
from sciml.transforms.inits import ByAxis
from sciml.transforms.kinds import transform_class
from sciml.transforms.member import Member
from sciml.transforms.members import DCT, DFT, DST, Hadamard, Hartley, LocalDFT
from sciml.transforms.monarch import MonarchTransform
from sciml.transforms.projection import project_to_monarch
from sciml.transforms.separable import SeparableTransform, separable

__all__ = [
    "DCT",
    "DFT",
    "DST",
    "ByAxis",
    "DenseTransform",
    "FourierTransform",
    "Given",
    "Hadamard",
    "Hartley",
    "LocalDFT",
    "Member",
    "MonarchFactors",
    "MonarchTransform",
    "SeparableTransform",
    "Transform",
    "dft_factors",
    "dft_matrix",
    "factor_parameters",
    "full_rank",
    "initial_factors",
    "project_to_monarch",
    "separable",
    "transform_class",
    "use_backend",
]
