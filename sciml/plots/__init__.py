"""Figures of fields, errors, spectra and learned factors. Every function returns a matplotlib Figure."""

from sciml.plots.curves import comparison, error_against_time, spectra
from sciml.plots.factors import factors
from sciml.plots.fields import maps, profiles, rollout

__all__ = ["comparison", "error_against_time", "factors", "maps", "profiles", "rollout", "spectra"]
