"""The two orders that many parts ask for: which severity is worse, and when a sensor is silent."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from twin.findings import findings_from_sensors
from twin.incidents import Severity
from twin.readings import Reading, Sensor
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


@pytest.mark.parametrize(
    ("heard", "gateway"),
    [
        pytest.param((), "G1", id="nothing is heard of the gateway"),
        pytest.param(("S1",), "", id="one of its sensors is heard"),
        pytest.param(("S3",), "G1", id="a sensor of another gateway is heard"),
    ],
)
def test_a_silent_gateway_is_named_when_all_of_its_sensors_are(heard: tuple[str, ...], gateway: str) -> None:
    sensors = {
        name: Sensor(name, Quantity.LEVEL, gateway_id=of) for name, of in (("S1", "G1"), ("S2", "G1"), ("S3", "G2"))
    }
    latest = {name: Reading(name, NOW, NOW, 1.0, "m", 1.0, "m") for name in heard}
    findings = findings_from_sensors(sensors, latest, now=NOW, known_since=NOW - timedelta(hours=1))
    assert {f.gateway_id for f in findings if f.sensor_ids == ("S2",)} == {gateway}
    assert {f.gateway_id for f in findings if f.sensor_ids == ("S3",)} <= {""}  # a gateway of one sensor is that sensor
