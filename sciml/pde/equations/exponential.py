"""The time step of the Navier-Stokes solver, for w_t = N − νk²w, a Fourier coefficient each.

With the tendency N = f − u·∇w, z = νk²h, E = e^{−z} and φ(z) = (1 − E)/z, third-order Adams-Bashforth behind the
exact integrating factor, one evaluation a step:

    w' = E w + h(23/12 E N₀ − 16/12 E² N₁ + 5/12 E³ N₂) + h d (3N₀ − 3N₁ + N₂),

d being such that all weights sum to hφ: what does not change is integrated exactly, and a steady state,
νk² w = N, is one of the scheme too, for every step. (Without d it is wrong by a factor that falls to 0 for large
z.) d = O(z³) keeps the third order; its factor is N extrapolated to the end of the step. Each interval between
output times starts with two exponential Runge-Kutta steps of second order (Cox, Matthews 2002), whose local error
h³ keeps the third. The step is stable for every viscosity ≥ 0; the advection limits it by the Courant number,
h·max(|kx u| + |ky v|) ≤ 0.72, the third-order scheme's reach on the imaginary axis, which d does not change.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

COURANT_LIMIT = 0.72


class ExponentialStep:
    """A step of length h, for coefficients that decay at `rate` = νk², in the precision and on the device of `like`."""

    def __init__(self, rate: Tensor, h: float, like: Tensor) -> None:
        z = h * rate
        self.decay = torch.expm1(-z).to(like)
        self.starting = [weight.to(like) for weight in _starting_weights(z, h)]
        self.later = [weight.to(like) for weight in _later_weights(z, h)]

    def start(self, state: Tensor, now: Tensor, tendency: Callable[[Tensor], Tensor]) -> Tensor:
        """The next state, by the Runge-Kutta step, from the present tendency `now` and the function that gives it."""
        change = state * self.decay
        predicted = state + change.addcmul_(self.starting[0], now)
        return predicted.addcmul(self.starting[1], tendency(predicted) - now)

    def go_on(self, state: Tensor, history: Sequence[Tensor]) -> None:
        """Advance the state in place, from its tendency and the two before, newest first."""
        state.addcmul_(self.decay, state)
        for weight, tendency in zip(self.later, history, strict=True):
            state.addcmul_(weight, tendency)


def _phi(z: Tensor) -> Tensor:
    """(1 − e^{−z})/z, 1 at z = 0."""
    return torch.where(z > 0, -torch.expm1(-z) / z.where(z > 0, 1.0), 1.0)


def _starting_weights(z: Tensor, h: float) -> list[Tensor]:
    """hφ and h(1 − φ)/z → h/2: of the tendency, and of its change over the predicted step."""
    # Of two terms that nearly cancel for small z, the series; its error there is below 1e-16.
    series = 1 / 2 - z / 6 * (1 - z / 4 * (1 - z / 5 * (1 - z / 6)))
    second = torch.where(z < 1e-2, series, (1 - _phi(z)) / z.where(z > 0, 1.0))
    return [h * _phi(z), h * second]


def _later_weights(z: Tensor, h: float) -> list[Tensor]:
    """Of the tendencies N₀, N₁, N₂ of this step and of the two before."""
    weights = [c * torch.exp(-power * z) for power, c in ((1, 23 / 12), (2, -16 / 12), (3, 5 / 12))]
    rest = _phi(z) - sum(weights)
    return [h * (weight + c * rest) for weight, c in zip(weights, (3, -3, 1), strict=True)]
