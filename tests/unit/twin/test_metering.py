"""District demand from meters: sums, coverage, and what is not told."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from fakes import MemoryReadings
from reading_builders import NOON

from twin.consumption import Interval
from twin.metering import LEAST_COVERAGE, DistrictDemand, consumption_of, demand_of_district, meters_of, register_around
from twin.readings import Kind, Quality, Reading, Sensor
from twin.units import Quantity


def meter(number: int, district: str = "D1") -> Sensor:
    return Sensor(
        f"W-{number}",
        Quantity.VOLUME,
        Kind.TOTAL_INCREASING,
        district=district,
        expected_every_s=3600,
        connection_id=f"C-{number}",
    )


METERS = [meter(number) for number in range(4)]


def shows(number: int, hours: float, register_m3: float, quality: Quality = Quality.GOOD, *reasons: str) -> Reading:
    at = NOON + timedelta(hours=hours)
    return Reading(f"W-{number}", at, at, register_m3, "m3", register_m3, "m3", quality, reasons)


def store_of(*readings: Reading) -> MemoryReadings:
    store = MemoryReadings()
    store.append(readings)
    return store


def demanded(
    store: MemoryReadings,
    connections: int | None = None,
    least: float = LEAST_COVERAGE,
    known_at: datetime | None = None,
) -> list[DistrictDemand]:
    return demand_of_district(
        store,
        METERS,
        connections=connections,
        start=NOON,
        end=NOON + timedelta(hours=2),
        interval=Interval.HOUR,
        least_coverage=least,
        known_at=known_at,
    )


def test_all_meters_of_all_connections_add_up() -> None:
    store = store_of(*(shows(n, hour, 100 + n * hour) for n in range(4) for hour in range(3)))
    first, second = demanded(store)
    assert first.metered_m3 == pytest.approx(0 + 1 + 2 + 3)
    assert (first.reporting, first.connections, first.coverage, first.estimated_share) == (4, 4, 1, 0)
    assert second.scaled_m3 == second.metered_m3


def test_three_of_four_are_just_enough_and_scaling_is_another_figure() -> None:
    store = store_of(*(shows(n, hour, 100 + hour) for n in range(3) for hour in range(3)))
    first, _ = demanded(store)
    assert (first.metered_m3, first.coverage, first.scaled_m3) == (3, 0.75, 4)


def test_too_few_are_no_small_number() -> None:
    store = store_of(*(shows(n, hour, 100 + hour) for n in range(3) for hour in range(3)))
    first, _ = demanded(store, connections=5)
    assert (first.metered_m3, first.scaled_m3, first.is_sufficient) == (None, None, False)
    assert (first.coverage, first.reporting, first.connections) == (0.6, 3, 5)
    assert demanded(store, connections=5, least=0.6)[0].metered_m3 == 3


def test_an_hour_that_is_not_over_for_a_meter_does_not_count_it() -> None:
    store = store_of(*(shows(n, hour, 100 + hour) for n in range(4) for hour in range(3)))
    store.kept.pop(("W-0", NOON + timedelta(hours=2)))
    first, second = demanded(store)
    assert (first.reporting, second.reporting) == (4, 3)


def test_the_estimated_share_is_that_of_the_volume() -> None:
    direct = [shows(n, hour, 100 + hour) for n in range(3) for hour in range(3)]
    first, _ = demanded(store_of(*direct, shows(3, 0, 100), shows(3, 2, 100.5)))
    assert first.metered_m3 == pytest.approx(3.25)
    assert first.estimated_share == pytest.approx(0.25 / 3.25)


def test_nothing_used_is_a_figure_without_a_share() -> None:
    first, _ = demanded(store_of(*(shows(n, hour, 100) for n in range(4) for hour in range(3))))
    assert (first.metered_m3, first.estimated_share) == (0, None)


def test_only_meters_of_connections_belong_to_a_districts_demand() -> None:
    inflow = Sensor("B", Quantity.VOLUME, Kind.TOTAL_INCREASING, district="D1")
    pressure = Sensor("P", Quantity.PRESSURE, district="D1", connection_id="C-1")
    assert meters_of([*METERS, inflow, pressure, meter(9, "D2")], "D1") == METERS


def test_a_district_without_meters_has_no_demand() -> None:
    args = {"start": NOON, "end": NOON + timedelta(hours=1), "interval": Interval.HOUR}
    assert demand_of_district(MemoryReadings(), [], connections=10, **args) == []  # type: ignore[arg-type]


def test_readings_far_outside_the_window_fill_a_long_gap() -> None:
    store = store_of(*(shows(0, hours, 100 + hours / 100) for hours in (-501, -500, 700, 701)))
    (hour,) = consumption_of(store, METERS[0], start=NOON, end=NOON + timedelta(hours=1), interval=Interval.HOUR)
    assert hour.volume_m3 == pytest.approx(0.01)
    assert (hour.quality, hour.interpolated) == (Quality.ESTIMATED, 1)


def test_a_misread_value_at_the_edge_of_the_window_does_no_harm() -> None:
    good = [shows(0, hours, 100 + hours) for hours in (-30, -29, 0, 1, 2, 3)]
    misread = shows(0, -1, 0.0, Quality.BAD, "out_of_range")
    (hour,) = consumption_of(
        store_of(*good, misread), METERS[0], start=NOON, end=NOON + timedelta(hours=1), interval=Interval.HOUR
    )
    assert hour.volume_m3 == 1


def test_the_look_around_never_reads_twice_and_keeps_the_order() -> None:
    store = store_of(*(shows(0, hours, 100 + hours) for hours in range(-80, 80, 7)))
    found = register_around(store, METERS[0], NOON, NOON + timedelta(hours=1))
    times = [reading.observed_at for reading in found]
    assert times == sorted(set(times))
    assert times[0] <= NOON - timedelta(hours=10)
    assert times[-1] >= NOON + timedelta(hours=8)


def test_as_known_then_a_late_reading_is_not_there_yet() -> None:
    late = shows(0, 1, 100.9)
    late = Reading(**{**{f: getattr(late, f) for f in late.__slots__}, "available_at": NOON + timedelta(hours=9)})
    store = store_of(shows(0, 0, 100), shows(0, 2, 101), late)
    args = {"start": NOON, "end": NOON + timedelta(hours=1), "interval": Interval.HOUR}
    (now,) = consumption_of(store, METERS[0], **args)  # type: ignore[arg-type]
    (then,) = consumption_of(store, METERS[0], **args, known_at=NOON + timedelta(hours=8))  # type: ignore[arg-type]
    assert (now.volume_m3, then.volume_m3) == (pytest.approx(0.9), pytest.approx(0.5))
