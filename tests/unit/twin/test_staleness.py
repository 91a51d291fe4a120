"""A sender that says it is gone: its sensors are silent at once and their values serve nobody as now."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from cycle_parts import T0, Town, a_gauge, a_level, a_town, hour, level
from hypothesis import given
from hypothesis import strategies as st

from twin.customers import Customer
from twin.findings import findings_from_sensors
from twin.incidents import IncidentKind
from twin.readings import ElementType, Reading, Reason, Sensor
from twin.staleness import outlives, stale_since, without
from twin.units import Quantity

# available_at of readings (*) and the death (+):   * * + * --> only the last reading outlives the death
CASES = {
    "known before the death": (level(-1, known=-1), False),
    "known at the same moment": (level(-1, known=0), False),
    "known after it": (level(-1, known=0.01), True),
    "measured and known after it": (level(0.5, known=0.5), True),
    "kept by the sender from before": (replace(level(-1, known=0.5), reasons=(Reason.HISTORICAL,)), False),
    "kept by the sender, measured after it": (replace(level(0.2, known=0.5), reasons=(Reason.HISTORICAL,)), True),
    "late on its way": (replace(level(-1, known=0.5), reasons=(Reason.LATE,)), True),
}


@pytest.mark.parametrize("name", CASES)
def test_what_shows_that_a_sender_lives_again(name: str) -> None:
    reading, lives = CASES[name]
    assert outlives(reading, T0) is lives
    gone = stale_since({"L1": T0}, {"L1": reading}, now=hour(1))
    assert gone == ({} if lives else {"L1": T0})
    assert without({"L1": reading, "L2": reading}, gone).keys() == ({"L1", "L2"} if lives else {"L2"})


def test_a_sensor_that_never_spoke_can_be_gone_and_nobody_is_gone_before_it_is_said() -> None:
    assert stale_since({"L1": T0}, {}, now=T0) == {"L1": T0}
    assert stale_since({"L1": hour(1)}, {}, now=T0) == {}


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=6), st.floats(-5, 5))
def test_the_newest_arrival_decides(arrivals: list[float], death: float) -> None:
    newest = level(0, known=max(arrivals))
    gone = stale_since({"L1": hour(death)}, {"L1": newest}, now=hour(6))
    assert ("L1" in gone) == all(hour(arrival) <= hour(death) for arrival in arrivals)


# --------------------------------------------------------------------------------------------------- the cycle


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Town]:
    with a_town(tmp_path, a_gauge(every_s=360000), a_level()) as one:
        one.readings.append([level(-1), Reading("R1", hour(-1), hour(-1), 0.0, "mm", 0.0, "mm")])
        yield one


def silent(town: Town) -> list[str]:
    found = [one for one in town.registry.open_incidents() if one.kind is IncidentKind.SENSOR_SILENT]
    return [incident.cause for incident in found]


def test_a_dead_sender_takes_its_value_out_of_the_state_and_opens_an_incident_at_once(town: Town) -> None:
    town.turn(0.1)
    assert "L1" in town.supply.requests[-1].latest
    town.registry.mark_stale({"L1": hour(0.15)})
    town.turn(0.2)  # the level is expected once a day: by its cadence alone it would be well for three days
    request = town.supply.requests[-1]
    assert "L1" not in request.latest
    assert [reading.value for reading in request.history["L1"]] == [3.0]  # it was true then
    [cause] = silent(town)
    assert "L1 is silent: last reading 2026-03-01 11:00 UTC, its sender said at 2026-03-01 12:09 UTC" in cause
    town.readings.append([level(0.25, 3.5)])
    town.turn(0.3)
    assert town.supply.requests[-1].latest["L1"].value == 3.5
    town.turn(0.4)
    assert silent(town) == []


def test_a_suspect_value_ends_the_silence_but_revives_no_older_one(town: Town) -> None:
    town.registry.mark_stale({"L1": hour(0.15)})
    town.readings.append([replace(level(0.2, 99.0), quality="suspect")])
    town.turn(0.3)
    assert "L1" not in town.supply.requests[-1].latest
    assert silent(town) == []


def test_a_replayed_turn_knows_no_later_death(town: Town) -> None:
    town.registry.mark_stale({"L1": hour(0.5)})
    town.turn(0.2)
    assert "L1" in town.supply.requests[-1].latest
    assert silent(town) == []


def test_the_pressure_of_a_dead_sensor_is_unknown_and_holds_what_is_open() -> None:
    gauge = Sensor("P1", Quantity.PRESSURE, element_type=ElementType.NODE, element_id="J1", expected_every_s=3600)
    reading = Reading("P1", hour(-0.1), hour(-0.1), 30.0, "m", 30.0, "m")
    facts = {
        "now": T0,
        "known_since": T0 - timedelta(days=9),
        "customers": [Customer("C1", "K1", "J1")],
    }
    assert findings_from_sensors({"P1": gauge}, {"P1": reading}, **facts) == []  # type: ignore[arg-type]
    found = findings_from_sensors({"P1": gauge}, {"P1": reading}, **facts, stale={"P1": hour(-0.05)})  # type: ignore[arg-type]
    kinds = {finding.kind: finding for finding in found}
    assert kinds.keys() == {IncidentKind.SENSOR_SILENT, IncidentKind.PRESSURE_LOW}
    assert not kinds[IncidentKind.SENSOR_SILENT].unknown
    assert kinds[IncidentKind.PRESSURE_LOW].unknown
    assert not kinds[IncidentKind.PRESSURE_LOW].opens
