"""The last rung: what the calendar knows. It knows how wet the month is, and nothing about today.

Each member draws every hour on its own: rain falls with the month's chance, and then an exponential amount. So the
members' mean is the monthly mean, and a storm that lasts is as unlikely as the dice make it: hours are drawn apart,
real rain clusters. A forecast from here is no ground for a warning, and none for an all-clear.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np

from twin.clock import as_utc
from twin.errors import ConfigError
from twin.forecasts import Rung, WeatherEnsemble, WeatherMember

PORTO_MONTHLY_MM = (147.0, 111.0, 96.0, 118.0, 90.0, 40.0, 20.0, 33.0, 72.0, 158.0, 172.0, 181.0)
"""About the mean monthly rain of Porto, January to December (1981-2010, rounded). Give your own station's."""

WET_HOUR_MM = 1.0
"""Mean rain of an hour in which it rains: an assumption; with it, 147 mm in January make 147 wet hours of 744."""

_DAYS = (31, 28.25, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


class Climatology:
    """An ensemble from monthly means, fulfilling `twin.ports.WeatherSource`.

    The same hour has the same rain in the same member whenever it is asked for: forecasts of succeeding hours agree.
    """

    def __init__(
        self,
        monthly_mm: Sequence[float] = PORTO_MONTHLY_MM,
        *,
        wet_hour_mm: float = WET_HOUR_MM,
        members: int = 20,
        horizon_h: int = 48,
        seed: int = 0,
        gage_id: str = "*",
    ) -> None:
        if len(monthly_mm) != 12 or min(monthly_mm) < 0 or not wet_hour_mm > 0:
            raise ConfigError("climatology needs twelve monthly means in mm, none negative, and a positive wet_hour_mm")
        hours = [days * 24 for days in _DAYS]
        self.name = "climatology"
        self._chance = [amount / wet_hour_mm / length for amount, length in zip(monthly_mm, hours, strict=True)]
        if max(self._chance) > 1:
            raise ConfigError(f"no month has enough hours for its rain at {wet_hour_mm} mm an hour; raise wet_hour_mm")
        self._wet_hour_mm = wet_hour_mm
        self._members = members
        self._horizon_h = horizon_h
        self._seed = seed
        self._gage_id = gage_id

    def fetch(self, *, now: datetime) -> WeatherEnsemble:
        """Return the ensemble of the hours from the present one on."""
        start = as_utc(now).replace(minute=0, second=0, microsecond=0)
        hours = [start + timedelta(hours=i) for i in range(self._horizon_h)]
        rain_mm = np.array([self._rain(hour) for hour in hours]).T
        return WeatherEnsemble(
            source=self.name,
            issued_at=start,
            available_at=start,
            gage_id=self._gage_id,
            valid_from=start,
            interval_s=3600,
            members=tuple(WeatherMember(f"{i:02d}", tuple(row.tolist())) for i, row in enumerate(rain_mm)),
            rung=Rung.CLIMATOLOGY,
            attribution="Monthly climatology: knows the season, not the weather",
        )

    def _rain(self, hour: datetime) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        since_epoch = int((hour - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() // 3600)
        draw = np.random.default_rng([self._seed, since_epoch])
        wet = draw.random(self._members) < self._chance[hour.month - 1]
        return np.where(wet, np.round(draw.exponential(self._wet_hour_mm, self._members), 2), 0.0)
