from __future__ import annotations

import random
from dataclasses import fields

import pytest
from contract.registry.records import a_customer, a_sensor, a_valve

from twin.customers import Customer
from twin.errors import InputError
from twin.readings import Sensor
from twin.storage.registry import SqlRegistry
from twin.units import Quantity
from twin.valves import Valve

IDS = ["a", "B", "_", "Z", "é", "10", "9", "á", "a b", "ab", "\U0001f6b0", "ﬁ", "A"]


def test_sensors_come_back_as_they_were(registry: SqlRegistry) -> None:
    plain = Sensor("P-2", Quantity.PRESSURE)
    registry.upsert_sensors([a_sensor(), plain])
    assert registry.sensors() == {"P-1": a_sensor(), "P-2": plain}


def test_customers_come_back_as_they_were(registry: SqlRegistry) -> None:
    plain = Customer("K", "C-2", "J")
    registry.upsert_customers([plain, a_customer()])
    assert registry.customers() == [a_customer(), plain]


def test_valves_come_back_as_they_were_and_are_replaced_by_id(registry: SqlRegistry) -> None:
    plain = Valve("V-2", "P", "J")
    registry.upsert_valves([plain, a_valve()])
    assert registry.valves() == [a_valve(), plain]
    registry.upsert_valves([a_valve(link_id="first"), a_valve(link_id="last")])
    assert registry.valves() == [a_valve(link_id="last"), plain]


def test_a_bad_valve_among_good_ones_changes_nothing(registry: SqlRegistry) -> None:
    with pytest.raises(InputError):
        registry.upsert_valves([a_valve("V-0"), a_valve("V-9", near_node="a\x00")])
    assert registry.valves() == []


def test_nothing_is_there_at_first_and_nothing_can_be_upserted(registry: SqlRegistry) -> None:
    registry.upsert_sensors([])
    registry.upsert_customers([])
    registry.upsert_valves([])
    assert registry.sensors() == {}
    assert registry.valves() == []
    assert registry.customers() == []


def test_order_is_by_code_point_on_every_database(registry: SqlRegistry) -> None:
    shuffled = random.Random(7).sample(IDS, len(IDS))
    registry.upsert_sensors([a_sensor(sensor_id) for sensor_id in shuffled])
    registry.upsert_customers([a_customer(connection_id) for connection_id in shuffled])
    registry.upsert_valves([a_valve(valve_id) for valve_id in shuffled])
    assert list(registry.sensors()) == sorted(IDS)
    assert [customer.connection_id for customer in registry.customers()] == sorted(IDS)
    assert [valve.valve_id for valve in registry.valves()] == sorted(IDS)


def test_an_upsert_replaces_every_field_and_leaves_the_others_alone(registry: SqlRegistry) -> None:
    registry.upsert_sensors([a_sensor("P-1"), a_sensor("P-2")])
    registry.upsert_customers([a_customer("C-1"), a_customer("C-2")])
    registry.upsert_sensors([Sensor("P-1", Quantity.FLOW)])
    registry.upsert_customers([Customer("other", "C-1", "J")])
    assert registry.sensors() == {"P-1": Sensor("P-1", Quantity.FLOW), "P-2": a_sensor("P-2")}
    assert registry.customers() == [Customer("other", "C-1", "J"), a_customer("C-2")]


def test_of_the_same_id_twice_the_last_counts(registry: SqlRegistry) -> None:
    registry.upsert_sensors([a_sensor(district="first"), a_sensor(district="last")])
    registry.upsert_customers([a_customer(street="first"), a_customer(street="last")])
    assert registry.sensors()["P-1"].district == "last"
    assert registry.customers()[0].street == "last"


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param({"low": float("nan")}, id="NaN limit"),
        pytest.param({"high": float("inf")}, id="infinite limit"),
        pytest.param({"unit": "m\x003"}, id="NUL"),
        pytest.param({"district": "\udcff"}, id="lone surrogate"),
    ],
)
def test_a_bad_sensor_among_good_ones_changes_nothing(registry: SqlRegistry, bad: dict[str, object]) -> None:
    registry.upsert_sensors([a_sensor("P-1")])
    with pytest.raises(InputError):
        registry.upsert_sensors([a_sensor("P-0"), a_sensor("P-1", district="new"), a_sensor("P-9", **bad)])
    assert registry.sensors() == {"P-1": a_sensor("P-1")}


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param({"population": 2**63}, id="too many people"),
        pytest.param({"street": "a\x00"}, id="NUL"),
        pytest.param({"channels": ("\udcff",)}, id="lone surrogate in a channel"),
    ],
)
def test_a_bad_customer_among_good_ones_changes_nothing(registry: SqlRegistry, bad: dict[str, object]) -> None:
    with pytest.raises(InputError):
        registry.upsert_customers([a_customer("C-0"), a_customer("C-9", **bad)])
    assert registry.customers() == []


def test_a_whole_town_of_customers(registry: SqlRegistry) -> None:
    town = [a_customer(f"C-{number:06}") for number in range(6_000)]
    registry.upsert_customers(town)
    registry.upsert_customers(town)
    assert registry.customers() == town


@pytest.mark.parametrize("record", [a_sensor(), a_customer()], ids=["sensor", "customer"])
def test_the_records_here_leave_no_field_at_its_default(record: Sensor | Customer) -> None:
    assert [field.name for field in fields(record) if getattr(record, field.name) == field.default] == []
