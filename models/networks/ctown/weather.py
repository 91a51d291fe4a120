"""Real hourly weather, moved by whole weeks so that it falls on the days of the SCADA record.

The weather of 2022 was moved back by 313 weeks, which keeps the calendar date and the day of the week.
"""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import NamedTuple

from models.networks.ctown import WEATHER_CSV
from twin.clock import parse_time

SHIFT = timedelta(weeks=313)
"""True time of the weather minus its time in the demo."""

ATTRIBUTION = "Weather: Alvisi et al. 2025 (Battle of Water Demand Forecasting), CC BY 4.0, moved by 313 weeks"


class WeatherHour(NamedTuple):
    """The hour that ends at `observed_at`: its rain, and the air temperature."""

    observed_at: datetime
    rain_mm: float
    temperature_c: float


def weather_hours(start: datetime | None = None, end: datetime | None = None) -> Iterator[WeatherHour]:
    """Yield the hours with start <= observed_at < end in order of time."""
    with gzip.open(WEATHER_CSV, "rt", encoding="ascii", newline="") as file:
        for record in csv.DictReader(file):
            observed_at = parse_time(record["observed_at"])
            if (start is None or observed_at >= start) and (end is None or observed_at < end):
                yield WeatherHour(observed_at, float(record["rain_mm"]), float(record["temperature_c"]))
