"""Days counted once, kept, and counted anew; the worst sensors first."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from fakes import MemoryReadings

from twin.kpis import Period
from twin.readings import Kind, Quality, Reading, Sensor
from twin.storage.registry import SqlRegistry, open_registry
from twin.trust_report import TrustReport, keep_trust, last_closed_day, sensors_worst_first, trust_kpis, trust_report
from twin.units import Quantity
from twin.windows import Window

FIRST = date(2026, 3, 1)
MIDNIGHT = datetime(2026, 3, 1, tzinfo=UTC)
NOW = MIDNIGHT + timedelta(days=3, hours=2)
SENSORS = [
    Sensor("P-1", Quantity.PRESSURE, expected_every_s=3600),
    Sensor("P-2", Quantity.PRESSURE, expected_every_s=3600, redundant_with="P-1"),
    Sensor("Q-9", Quantity.CHLORINE, expected_every_s=3600),
]


@pytest.fixture(scope="module")
def registry_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("trust") / "registry.sqlite"
    open_registry(f"sqlite:///{path}").close()
    return path


@pytest.fixture
def registry(registry_file: Path, tmp_path: Path) -> SqlRegistry:
    copy = tmp_path / "registry.sqlite"
    copy.write_bytes(registry_file.read_bytes())
    opened = open_registry(f"sqlite:///{copy}")
    opened.upsert_sensors(SENSORS)
    yield opened
    opened.close()


class CountingReadings(MemoryReadings):
    """Tells how often a whole day was read."""

    days_read = 0

    def between(self, sensor_id: str, start: datetime, end: datetime, **more: object) -> list[Reading]:  # type: ignore[override]
        self.days_read += end - start == timedelta(days=1)
        return super().between(sensor_id, start, end, **more)  # type: ignore[arg-type]


def said(sensor_id: str, hours: float, value: float = 30.0, quality: Quality = Quality.GOOD, *reasons: str) -> Reading:
    at = MIDNIGHT + timedelta(hours=hours)
    return Reading(sensor_id, at, at, value, "m", value, "m", quality, reasons)


@pytest.fixture
def store() -> CountingReadings:
    kept = CountingReadings()
    kept.append([said("P-1", hour) for hour in range(72)])
    kept.append([said("P-2", hour, 30.5 if hour < 24 else 40.0) for hour in range(72) if hour not in (50, 51)])
    return kept


@pytest.fixture
def report(store: CountingReadings, registry: SqlRegistry) -> Callable[..., TrustReport]:
    def ask(first: date = FIRST, last: date = FIRST + timedelta(days=9), **more: object) -> TrustReport:
        return trust_report(store, registry, first=first, last=last, now=NOW, **more)  # type: ignore[arg-type]

    return ask


def test_a_day_is_over_an_hour_after_its_end() -> None:
    assert last_closed_day(MIDNIGHT + timedelta(minutes=59)) == date(2026, 2, 27)
    assert last_closed_day(MIDNIGHT + timedelta(minutes=60)) == date(2026, 2, 28)


def test_every_closed_day_of_every_sensor_that_was_ever_heard(report: Callable[..., TrustReport]) -> None:
    found = report()
    assert [(one.day.day, one.sensor_id) for one in found.days] == [(d, s) for d in (1, 2, 3) for s in ("P-1", "P-2")]
    by_key = {(one.day.day, one.sensor_id): one for one in found.days}
    assert by_key[1, "P-1"].accuracy == by_key[1, "P-2"].accuracy == 1
    assert by_key[2, "P-1"].accuracy == by_key[2, "P-2"].accuracy == 0
    assert by_key[2, "P-1"].estimate == "redundant:P-2"
    assert by_key[3, "P-2"].availability == 22 / 24


def test_kept_days_are_not_read_again(report: Callable[..., TrustReport], store: CountingReadings) -> None:
    first, read = report(), store.days_read
    assert report() == first
    assert store.days_read == read
    assert report(afresh=True) == first
    assert store.days_read == 2 * read


def test_a_late_reading_opens_its_day_for_the_sensor_and_its_witness(
    report: Callable[..., TrustReport], store: CountingReadings, registry: SqlRegistry
) -> None:
    report()
    late = said("P-2", 50, 30.0)
    window = Window("P-2", late.observed_at, late.observed_at)
    registry.reopen([window])
    store.append([late])
    read = store.days_read
    waiting = {(one.sensor_id, one.day.day): one for one in report().days}
    assert waiting["P-2", 3].heard == 23
    assert store.days_read - read == 2  # of the two witnesses, the one day
    registry.settle(registry.reopened())
    settled = {(one.sensor_id, one.day.day): one for one in report().days}
    assert settled == waiting
    assert settled["P-1", 3].compared == 23
    read = store.days_read
    report()
    assert store.days_read == read


def test_days_that_wait_for_a_window_are_not_kept(report: Callable[..., TrustReport], registry: SqlRegistry) -> None:
    at = MIDNIGHT + timedelta(hours=30)
    registry.reopen([Window("P-1", at, at)])
    assert len(report().days) == 6
    kept = {(one.sensor_id, one.day.day) for one in registry.trust_days(FIRST, FIRST + timedelta(days=9))}
    assert kept == {("P-1", 1), ("P-1", 3), ("P-2", 1), ("P-2", 2), ("P-2", 3)}


def test_nobody_pays_for_more_than_was_asked_for(report: Callable[..., TrustReport]) -> None:
    nothing = report(at_most=0)
    assert (nothing.days, nothing.missing) == ((), 6)
    some = report(at_most=60)
    assert [(one.day.day, one.sensor_id) for one in some.days] == [(3, "P-1"), (3, "P-2")]
    assert some.missing == 4
    assert len(report().days) == 6


def test_portion_by_portion_everything_is_kept_whoever_was_never_heard(
    store: CountingReadings, registry: SqlRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("twin.trust_report.READINGS_A_TURN", 30)
    registry.upsert_sensors([Sensor(f"A-{n}", Quantity.PRESSURE, expected_every_s=3600) for n in range(9)])
    for turn in range(1, 9):
        keep_trust(store, registry, now=NOW)
        kept = registry.trust_days(FIRST, FIRST + timedelta(days=9))
        assert len(kept) == min(2 * turn, 6)  # a sensor and its witness go together


def test_a_turn_spends_nothing_on_days_that_cannot_be_kept(store: CountingReadings, registry: SqlRegistry) -> None:
    at = MIDNIGHT + timedelta(hours=30)
    keep_trust(store, registry, now=NOW)
    registry.reopen([Window("P-1", at, at)])
    read = store.days_read
    keep_trust(store, registry, now=NOW)
    assert store.days_read == read


def test_one_sensor_alone(report: Callable[..., TrustReport]) -> None:
    assert {one.sensor_id for one in report(sensor_id="P-2").days} == {"P-2"}


def test_the_worst_first_and_why(
    report: Callable[..., TrustReport], store: CountingReadings, registry: SqlRegistry
) -> None:
    store.append([said("Q-9", hour, 0.4, Quality.SUSPECT, "flat_line") for hour in range(24)])
    registry.upsert_sensors([Sensor("S-0", Quantity.STATUS), Sensor("W-1", Quantity.VOLUME, Kind.TOTAL_INCREASING)])
    store.append([said("W-1", 73.9)])
    sensors = registry.sensors()
    latest = store.latest(list(sensors), at=NOW, trusted_only=False)
    lines = sensors_worst_first(report(), sensors, latest, now=NOW)
    assert [line.sensor.sensor_id for line in lines] == ["Q-9", "S-0", "P-2", "P-1", "W-1"]
    flat, never, _, fine, new = lines
    assert flat.why == "silent now, validity 0%, availability 33%, flat_line 24x"
    assert never.why == "never heard"
    assert (fine.is_silent, fine.total.estimate, fine.days) == (False, "redundant:P-2", 3)
    assert (new.total.trust, new.is_silent, new.why) == (None, False, "")


def test_an_empty_store_has_no_days_and_every_sensor_was_never_heard(registry: SqlRegistry) -> None:
    empty = trust_report(MemoryReadings(), registry, first=FIRST, last=FIRST, now=NOW)
    assert empty == TrustReport((), 0)
    lines = sensors_worst_first(empty, registry.sensors(), {}, now=NOW)
    assert [line.why for line in lines] == ["never heard"] * 3
    assert trust_kpis(empty.days, Period(MIDNIGHT, NOW))[0].value is None


def test_the_figure_of_the_network_says_how_much_it_rests_on(report: Callable[..., TrustReport]) -> None:
    kpis = trust_kpis(report(first=FIRST, last=FIRST).days, Period(MIDNIGHT, NOW), remark="and more")
    assert {kpi.kpi_id: kpi.value for kpi in kpis} == {
        "data_trust": 100,
        "data_heard": 100,
        "data_good": 100,
        "data_accuracy": 100,
    }
    assert [kpi.coverage for kpi in kpis] == [1, 1, 1, 1]
    assert kpis[0].remark == "2 of 2 sensors against an independent estimate; and more"
