"""Distances on the ground, in metres, whatever the layers' coordinates are.

Three kinds of coordinates: a projection in metres, longitude and latitude in degrees (WGS 84), and a drawing that has
no scale (`schematic`), where nothing is measured.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from models.supply.gis.features import Point
from twin.errors import InputError

SCHEMATIC = "schematic"
_DEGREES = ("EPSG:4326", "OGC:CRS84", "EPSG:4258")
_SEMI_MAJOR_M = 6_378_137.0
_FLATTENING = 1 / 298.257223563
_SEMI_MINOR_M = _SEMI_MAJOR_M * (1 - _FLATTENING)
_CONVERGED = 1e-12
_MOST_ROUNDS = 200


@dataclass(frozen=True, slots=True)
class Ground:
    """How coordinates become metres. `middle` is the point around which degrees are laid flat."""

    crs: str
    middle: Point = (0.0, 0.0)

    @property
    def is_measured(self) -> bool:
        """Whether distances mean anything."""
        return self.crs != SCHEMATIC

    @property
    def is_degrees(self) -> bool:
        """Whether the coordinates are longitude and latitude."""
        return self.crs in _DEGREES

    def flat_m(self, point: Point) -> Point:
        """Return a point on a plane in metres: exact for projections, good to 0.1 % within 50 km for degrees."""
        if not self.is_degrees:
            return point
        latitude = math.radians(self.middle[1])
        eccentricity2 = _FLATTENING * (2 - _FLATTENING)
        bulge = 1 - eccentricity2 * math.sin(latitude) ** 2
        east = _SEMI_MAJOR_M / math.sqrt(bulge) * math.cos(latitude)
        north = _SEMI_MAJOR_M * (1 - eccentricity2) / bulge**1.5
        return math.radians(point[0] - self.middle[0]) * east, math.radians(point[1] - self.middle[1]) * north

    def length_m(self, line: Sequence[Point]) -> float:
        """Return the length of a line."""
        if self.is_degrees:
            return sum(geodesic_m(a, b) for a, b in pairwise(line))
        return sum(math.dist(a, b) for a, b in pairwise(line))


def ground_of(crs: str, points: Sequence[Point]) -> Ground:
    """Return the ground of a reference system, for these points.

    Raises:
        InputError: If the points cannot be in it, like degrees in a projection.
    """
    if crs == SCHEMATIC or not points:
        return Ground(crs)
    longitudes, latitudes = [point[0] for point in points], [point[1] for point in points]
    looks_like_degrees = max(map(abs, longitudes)) <= 180 and max(map(abs, latitudes)) <= 90
    ground = Ground(crs, (sum(longitudes) / len(points), sum(latitudes) / len(points)))
    if ground.is_degrees and not looks_like_degrees:
        raise InputError(f"the layers are not in {crs}: longitude and latitude go to 180 and 90 degrees")
    if not ground.is_degrees and looks_like_degrees and len(points) > 1:
        raise InputError(f"the layers look like degrees, not like metres of {crs}; is their crs EPSG:4326?")
    return ground


def geodesic_m(start: Point, end: Point) -> float:
    """Return the distance of two points (longitude, latitude in degrees) on the WGS 84 ellipsoid.

    Source: T. Vincenty, Direct and inverse solutions of geodesics on the ellipsoid with application of nested
    equations, Survey Review 23 (176), 1975, inverse formula. Good to a millimetre.

    Raises:
        InputError: If the points lie on opposite sides of the earth, where the formula has no answer.
    """
    if start == end:
        return 0.0
    reduced = [math.atan((1 - _FLATTENING) * math.tan(math.radians(latitude))) for _, latitude in (start, end)]
    (sin1, cos1), (sin2, cos2) = ((math.sin(value), math.cos(value)) for value in reduced)
    difference = longitude = math.radians(end[0] - start[0])
    for _ in range(_MOST_ROUNDS):
        sin_l, cos_l = math.sin(longitude), math.cos(longitude)
        sin_s = math.hypot(cos2 * sin_l, cos1 * sin2 - sin1 * cos2 * cos_l)
        if sin_s == 0.0:
            return 0.0
        cos_s = sin1 * sin2 + cos1 * cos2 * cos_l
        sigma = math.atan2(sin_s, cos_s)
        sin_a = cos1 * cos2 * sin_l / sin_s
        cos2_a = 1 - sin_a**2
        cos_2m = cos_s - 2 * sin1 * sin2 / cos2_a if cos2_a else 0.0
        c = _FLATTENING / 16 * cos2_a * (4 + _FLATTENING * (4 - 3 * cos2_a))
        before, inner = longitude, cos_2m + c * cos_s * (2 * cos_2m**2 - 1)
        longitude = difference + (1 - c) * _FLATTENING * sin_a * (sigma + c * sin_s * inner)
        if abs(longitude - before) < _CONVERGED:
            break
    else:
        raise InputError(f"the points {start} and {end} lie on opposite sides of the earth")
    u2 = cos2_a * (_SEMI_MAJOR_M**2 - _SEMI_MINOR_M**2) / _SEMI_MINOR_M**2
    a = 1 + u2 / 16384 * (4096 + u2 * (-768 + u2 * (320 - 175 * u2)))
    b = u2 / 1024 * (256 + u2 * (-128 + u2 * (74 - 47 * u2)))
    inner = cos_s * (2 * cos_2m**2 - 1) - b / 6 * cos_2m * (4 * sin_s**2 - 3) * (4 * cos_2m**2 - 3)
    return _SEMI_MINOR_M * a * (sigma - b * sin_s * (cos_2m + b / 4 * inner))
