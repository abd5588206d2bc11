"""Figures of fields, errors, spectra, reconstructions, learned factors. Each function returns a matplotlib Figure."""

from sciml.mri.figures import reconstruction
from sciml.pde.curves import comparison, error_against_time, spectra
from sciml.pde.figures import maps, profiles, rollout
from sciml.transforms.figures import factors

__all__ = ["comparison", "error_against_time", "factors", "maps", "profiles", "reconstruction", "rollout", "spectra"]
