"""How wrong rain forecasts are, by lead time: the one error model of everything here that makes members up.

At lead time h hours a forecast is late by z * sigma_s(h) hours and its amounts are off by a factor:

    sigma_s(h) = min(6, 0.3 + 0.08 h)            timing, hours
    sigma_a(h) = min(0.9, 0.15 + 0.02 h)         amount; factor exp(y * sigma_a - sigma_a^2 / 2), of mean 1

with z and y standard normal. The figures are conventions, not calibrated to a service or a place.
"""

from __future__ import annotations

import numpy as np

Floats = np.ndarray[tuple[int], np.dtype[np.float64]]


def delay_h(timing: float, lead_h: Floats) -> Floats:
    """Return how many hours late (negative: early) each step is, for the standard normal draw `timing`."""
    return np.asarray(timing * np.minimum(6.0, 0.3 + 0.08 * lead_h), dtype=np.float64)


def amount_factor(quantity: float, lead_h: Floats) -> Floats:
    """Return the factor on each step's amount, for the standard normal draw `quantity`; its mean is 1."""
    sigma = np.minimum(0.9, 0.15 + 0.02 * lead_h)
    return np.asarray(np.exp(quantity * sigma - sigma**2 / 2), dtype=np.float64)
