"""Figures of fields, errors, spectra, reconstructions, learned factors. Each function returns a matplotlib Figure."""

from sciml.plots.curves import comparison, error_against_time, spectra
from sciml.plots.factors import factors
from sciml.plots.fields import maps, profiles, rollout
from sciml.plots.reconstructions import reconstruction

__all__ = ["comparison", "error_against_time", "factors", "maps", "profiles", "reconstruction", "rollout", "spectra"]
