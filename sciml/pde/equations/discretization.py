"""How an interval is divided into time steps."""

import math

from sciml.errors import ConfigError

MAX_STEPS = 10**8  # days of computing; what asks for more is a slip of the pen


def equal_steps(duration: float, dt: float) -> int:
    """The fewest equal steps of at most dt, to rounding, that make up the duration."""
    return math.ceil(duration / dt * (1 - 1e-9))


def require_steps(end: float, dt: float) -> None:
    """ConfigError if dt is not finite and positive, or so small that the time `end` takes more than MAX_STEPS."""
    if not (math.isfinite(dt) and dt > 0):
        raise ConfigError(f"dt: {dt}; allowed: finite and > 0")
    if end > MAX_STEPS * dt:
        raise ConfigError(f"dt: {dt}; allowed: >= {end / MAX_STEPS:.2g}, {MAX_STEPS:,} steps to time {end:g}")
