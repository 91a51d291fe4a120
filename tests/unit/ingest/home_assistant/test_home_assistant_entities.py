"""Discovery messages against Home Assistant's own rules, and values in the unit that they name."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from home_assistant_rules import check_discovery
from hypothesis import given
from hypothesis import strategies as st

from ingest.home_assistant import entities
from twin.kpis import Kpi
from twin.readings import ElementType, Kind, Reading, Sensor
from twin.units import Quantity, si_unit

T0 = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def config_of(sensor: Sensor) -> dict[str, object]:
    topic = entities.config_topic("homeassistant", entities.object_of("sensor", sensor.sensor_id))
    return check_discovery(topic, entities.sensor_config(sensor))


@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.parametrize("quantity", list(Quantity))
def test_every_sensor_is_one_that_home_assistant_accepts(quantity: Quantity, kind: Kind) -> None:
    document = config_of(Sensor("S-1", quantity, kind, district="D1"))
    expected = {Kind.INSTANT: "measurement", Kind.TOTAL: "total", Kind.TOTAL_INCREASING: "total_increasing"}
    assert document["state_class"] == expected[kind]


def test_a_water_meter_is_what_the_energy_page_wants() -> None:
    document = config_of(Sensor("M-1", Quantity.VOLUME, Kind.TOTAL_INCREASING))
    assert document["device_class"] == "water"
    assert document["unit_of_measurement"] == "m³"
    assert document["state_class"] == "total_increasing"


# SI value, and what a person reads off the gauge: 10 m of water column are 0.980665 bar, 1 L/s is 3.6 m3/h
@pytest.mark.parametrize(
    ("quantity", "value_si", "shown", "unit"),
    [
        (Quantity.PRESSURE, 10.0, 0.980665, "bar"),
        (Quantity.FLOW, 0.001, 3.6, "m³/h"),
        (Quantity.LEVEL, 3.2, 3.2, "m"),
        (Quantity.TEMPERATURE, 12.5, 12.5, "°C"),
        (Quantity.SPEED, 0.75, 75.0, "%"),
        (Quantity.POWER, 1500.0, 1.5, "kW"),
        (Quantity.CONDUCTIVITY, 0.05, 500.0, "µS/cm"),
        (Quantity.STATUS, 1.0, 1.0, None),
        (Quantity.PH, 7.2, 7.2, None),
    ],
)
def test_a_state_is_in_the_unit_that_its_discovery_names(
    quantity: Quantity, value_si: float, shown: float, unit: str | None
) -> None:
    sensor = Sensor("S-1", quantity)
    reading = Reading("S-1", T0, T0, value_si, si_unit(quantity), value_si, si_unit(quantity))
    state = json.loads(entities.sensor_state(sensor, reading))
    assert state["value"] == pytest.approx(shown)
    assert (state["observed_at"], state["quality"], state["value_si"]) == ("2026-03-01T12:00:00Z", "good", value_si)
    assert config_of(sensor).get("unit_of_measurement") == unit


@given(st.text(min_size=1, max_size=80), st.text(min_size=1, max_size=80))
def test_any_name_can_stand_in_a_topic_and_no_two_meet(one: str, other: str) -> None:
    one, other = (name.encode("utf-8", "replace").decode() for name in (one, other))
    document = config_of(Sensor(one, Quantity.LEVEL))
    assert document["state_topic"] == document["json_attributes_topic"]
    assert (entities.object_of("sensor", one) == entities.object_of("sensor", other)) == (one == other)


def test_households_are_private() -> None:
    meter = Sensor("M", Quantity.VOLUME, Kind.TOTAL_INCREASING)
    assert entities.is_private(replace(meter, connection_id="C-1"))
    assert entities.is_private(replace(meter, element_type=ElementType.NODE, element_id="J1"))
    assert not entities.is_private(replace(meter, element_type=ElementType.LINK, element_id="P1"))
    assert not entities.is_private(Sensor("P", Quantity.PRESSURE, element_type=ElementType.NODE, element_id="J1"))


def test_a_figure_is_an_entity_too() -> None:
    kpi = Kpi("saidi", "Minutes lost", "…", "min", T0, T0, value=3.5, coverage=0.9)
    document = check_discovery(
        entities.config_topic("ha/x", entities.kpi_object(kpi)), entities.kpi_config(kpi), prefix="ha/x"
    )
    assert document["unit_of_measurement"] == "min"
    assert json.loads(entities.kpi_state(kpi))["value"] == 3.5
    assert entities.kpi_object(kpi) != entities.kpi_object(replace(kpi, subject="node:J1"))
