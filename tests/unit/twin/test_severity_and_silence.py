"""The two orders that many parts ask for: which severity is worse, and when a sensor is silent."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from twin.incidents import Severity
from twin.readings import Sensor
from twin.units import Quantity

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_worse_ranks_higher() -> None:
    shuffled = [Severity.SEVERE, Severity.MINOR, Severity.EXTREME, Severity.MODERATE]
    ranked = sorted(shuffled, key=lambda severity: severity.rank)
    assert ranked == [Severity.MINOR, Severity.MODERATE, Severity.SEVERE, Severity.EXTREME]


def test_a_sensor_is_silent_after_more_than_three_of_its_intervals() -> None:
    sensor = Sensor("L1", Quantity.LEVEL, expected_every_s=600.0)
    assert not sensor.is_silent(NOW - timedelta(seconds=1800), now=NOW)
    assert sensor.is_silent(NOW - timedelta(seconds=1801), now=NOW)
