"""Ridge regression [1] of each hour ahead on its own: what follows most of what is known of an hour is nearly linear.

An hour ahead learns from the same hour ahead of the past origins and from the same hour of the day before and after
it. Features are standardised (mean 0, standard deviation 1 in what was learned from, held within 6), an unknown one is
taken at its median. The penalty is that of PENALTIES which foretells each sample best from all the others [2].

[1] Hoerl and Kennard (1970), Ridge regression, Technometrics 12(1).
[2] Allen (1974), The relationship between variable selection and data augmentation and a method for prediction,
    Technometrics 16(1).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.demand.surroundings import Floats, Integers

PENALTIES = (0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)

_DAY_H = 24
_FARTHEST = 6.0


@dataclass(frozen=True, slots=True, eq=False)
class Standard:
    """How features are made comparable: what stands in for an unknown one, mean and standard deviation (features)."""

    usual: Floats
    mean: Floats
    deviation: Floats

    @classmethod
    def of(cls, features: Floats) -> Standard:
        """Take the measure of what is learned from (samples, features)."""
        known = np.isfinite(features).any(axis=0)
        usual = np.where(known, np.nanmedian(np.where(known, features, 0.0), axis=0), 0.0)
        filled = np.where(np.isfinite(features), features, usual)
        return cls(usual, filled.mean(axis=0), filled.std(axis=0))

    def __call__(self, features: Floats) -> Floats:
        """Return features (samples, features) in standard deviations from the mean."""
        filled = np.where(np.isfinite(features), features, self.usual)
        apart = np.divide(filled - self.mean, self.deviation, out=np.zeros_like(filled), where=self.deviation > 0)
        return np.clip(apart, -_FARTHEST, _FARTHEST)


def predict_by_hour(features: Floats, target: Floats, hour: Integers, ahead: Floats) -> Floats:
    """Return what is to be expected of each hour ahead (hours).

    Args:
        features: What was known (samples, features).
        target: What came (samples); all known.
        hour: How many hours ahead each sample lies (samples).
        ahead: What is known of the hours ahead, in order (hours, features).
    """
    standard = Standard.of(features)
    known, asked = standard(features), standard(ahead)
    day, of_day = np.divmod(hour, _DAY_H)
    expected = np.zeros(len(ahead))
    for h in range(len(ahead)):
        alike = (of_day == h % _DAY_H) & (np.abs(day - h // _DAY_H) <= 1)
        if alike.any():
            expected[h] = _ridge(known[alike], target[alike], asked[h])
    return expected


def _ridge(known: Floats, target: Floats, asked: Floats) -> float:
    centre, level = known.mean(axis=0), float(target.mean())
    apart, above = known - centre, target - level
    strengths, axes = np.linalg.eigh(apart.T @ apart)
    strengths = np.maximum(strengths, 0.0)
    turned = apart @ axes
    along, squared = turned.T @ above, turned**2
    best, least = np.zeros_like(along), np.inf
    for penalty in PENALTIES:
        weights = along / (strengths + penalty)
        own_share = squared @ (1 / (strengths + penalty)) + 1 / len(target)
        left_out = (above - turned @ weights) / np.maximum(1 - own_share, np.finfo(float).eps)
        if (error := float(np.square(left_out).sum())) < least:
            best, least = weights, error
    return level + float((asked - centre) @ axes @ best)
