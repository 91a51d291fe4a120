"""One turn after another on real stores: what models are given, what their failure costs, and where rain goes."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from cycle_parts import T0, Town, a_gauge, a_level, a_town, an_outage, hour, level, rain
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from twin.errors import InputError, ModelError, UnavailableError
from twin.forecasts import DrainageState, Rung, RunKind, RunStatus
from twin.incidents import IncidentKind
from twin.readings import Kind, Quality, Reading


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Town]:
    with a_town(tmp_path, a_gauge(), a_level()) as one:
        one.readings.append([level(-1)])
        yield one


# ------------------------------------------------------------------------------------------------ failures


@pytest.mark.parametrize(
    "failure",
    [
        pytest.param(ModelError("the engine did not converge"), id="model error"),
        pytest.param(InputError("line 7: no such junction"), id="input error"),
        pytest.param(ZeroDivisionError("division by zero"), id="a defect in an adapter"),
    ],
)
@pytest.mark.parametrize("kind", list(RunKind))
def test_a_failed_model_leaves_its_cause_and_the_last_good_forecast(
    town: Town, kind: RunKind, failure: Exception
) -> None:
    town.turn(0)
    good = town.registry.latest_run(kind, good_only=True)
    model = town.supply if kind is RunKind.SUPPLY else town.drainage
    model.failure = failure
    outcome = town.turn(1)
    (failed,) = [run for run in outcome.runs if run.kind is kind]
    (other,) = [run for run in outcome.runs if run.kind is not kind]
    assert (failed.status, other.status) == (RunStatus.FAILED, RunStatus.OK)
    assert str(failure) in failed.cause
    assert not outcome.ok
    assert town.registry.latest_run(kind, good_only=True) == good
    newest = town.registry.latest_run(kind, good_only=False)
    assert newest is not None
    assert newest.run_id == failed.run_id
    beat = town.registry.beats()["cycle"]
    assert not beat.ok
    assert str(failure) in beat.detail


def test_incidents_of_a_failed_supply_model_neither_open_nor_close(town: Town) -> None:
    town.supply.outages = (an_outage(),)
    town.turn(0)
    (opened,) = [i for i in town.registry.open_incidents() if i.kind is IncidentKind.OUTAGE_PREDICTED]
    town.supply.failure, town.supply.outages = ModelError("away"), ()
    for turn in range(1, 6):
        town.turn(turn / 12)
    assert opened in town.registry.open_incidents()
    town.supply.failure = None
    for turn in range(6, 12):
        town.turn(turn / 12)
    assert opened.incident_id not in {i.incident_id for i in town.registry.open_incidents()}


@pytest.mark.parametrize("status", [RunStatus.FAILED, RunStatus.INSUFFICIENT])
def test_incidents_of_a_drainage_model_without_an_answer_stay_as_they_are(town: Town, status: RunStatus) -> None:
    town.drainage.probability = 0.9
    town.turn(0)
    (opened,) = [i for i in town.registry.open_incidents() if i.kind is IncidentKind.FLOOD_PREDICTED]
    town.drainage.probability = 0.0
    if status is RunStatus.FAILED:
        town.drainage.failure = ModelError("away")
    else:
        town.drainage.status = status
    for turn in range(1, 6):
        town.turn(turn / 12)
    assert [i for i in town.registry.open_incidents() if i.kind is IncidentKind.FLOOD_PREDICTED] == [opened]


def test_climatology_neither_opens_nor_closes_a_flood(town: Town) -> None:
    town.drainage.probability, town.drainage.rung = 0.9, Rung.CLIMATOLOGY
    for turn in range(3):
        town.turn(turn / 12)
    assert town.registry.count_incidents().get("flood_predicted", 0) == 0
    town.drainage.rung = Rung.ENSEMBLE
    town.turn(0.5)
    town.drainage.probability, town.drainage.rung = 0.0, Rung.CLIMATOLOGY
    for turn in range(7, 12):
        town.turn(turn / 12)
    assert [i.kind for i in town.registry.open_incidents()] == [IncidentKind.FLOOD_PREDICTED]


def test_a_forecast_that_cannot_be_kept_is_a_failed_run_and_opens_nothing(town: Town) -> None:
    town.supply.demand_m3, town.supply.outages = float("nan"), (an_outage(),)
    outcome = town.turn(0)
    assert {run.kind: run.status for run in outcome.runs}[RunKind.SUPPLY] is RunStatus.FAILED
    assert town.registry.count_incidents() == {}
    assert town.registry.latest_run(RunKind.SUPPLY, good_only=True) is None
    assert not town.registry.beats()["cycle"].ok


def test_a_model_that_is_not_imported_has_no_run(town: Town) -> None:
    town.models.supply_model = town.models.drainage_model = None
    outcome = town.turn(0)
    assert outcome.runs == ()
    assert outcome.ok
    assert town.registry.count_runs() == {}


@pytest.mark.parametrize("away", ["readings", "registry"])
def test_nothing_is_decided_while_a_store_is_away(tmp_path: Path, away: str) -> None:
    with a_town(tmp_path, a_gauge(), a_level()) as town:
        town.supply.outages = (an_outage(),)
        town.turn(0)
        getattr(town, away).close()
        town.clock.advance_to(hour(1))
        with pytest.raises(UnavailableError):
            town.cycle.turn()
    with a_town(tmp_path) as after:
        assert [run.issued_at for run in after.registry.runs(RunKind.SUPPLY).items] == [T0]
        assert all(incident.updated_at == T0 for incident in after.registry.incidents().items)


def test_a_registry_that_goes_away_in_a_turn_costs_that_turn_and_nothing_more(tmp_path: Path) -> None:
    with a_town(tmp_path, a_level()) as town:
        town.supply.outages, town.supply.meanwhile = (an_outage(),), town.registry.close
        with pytest.raises(UnavailableError):
            town.turn(0)
    with a_town(tmp_path) as again:
        assert again.registry.count_incidents() == {}
        again.supply.outages = (an_outage(),)
        again.turn(0.5)
        assert again.registry.count_incidents()["outage_predicted"] == 1
        assert len(again.registry.notices().items) == 1


def test_a_notice_that_cannot_be_written_is_told_and_written_when_it_can(town: Town) -> None:
    town.supply.outages = (an_outage(),)
    town.writer.failure = InputError("the headline is empty")
    outcome = town.turn(0)
    assert not outcome.ok
    assert "the headline is empty" in town.registry.beats()["cycle"].detail
    assert town.registry.count_incidents()["outage_predicted"] == 1, "the incident stands all the same"
    town.writer.failure = None
    assert town.turn(1).ok
    assert len(town.registry.notices().items) == 1


def test_a_weather_source_that_is_away_costs_the_drainage_run_only(town: Town) -> None:
    town.weather.failure = UnavailableError("no answer within 10 s")
    outcome = town.turn(0)
    assert {run.kind: run.status for run in outcome.runs} == {
        RunKind.SUPPLY: RunStatus.OK, RunKind.DRAINAGE: RunStatus.FAILED,
    }  # fmt: skip
    assert "no answer within 10 s" in town.registry.beats()["cycle"].detail


def test_why_better_weather_was_not_used_stands_in_the_forecast(town: Town) -> None:
    town.weather.causes = ("ensemble (open_meteo): 503",)
    (run,) = [run for run in town.turn(0).runs if run.drainage is not None]
    assert run.drainage is not None
    assert "weather: ensemble (open_meteo): 503" in run.drainage.provenance.warnings


# ---------------------------------------------------------------------------------- what a supply run is given


@settings(max_examples=30)
@given(
    rows=st.lists(
        st.tuples(st.integers(-400, 5), st.integers(-400, 5), st.sampled_from(list(Quality))),
        unique_by=lambda row: row[0],
        max_size=12,
    )
)
def test_a_supply_run_is_given_nothing_untrusted_and_nothing_from_the_future(
    rows: list[tuple[int, int, Quality]],
) -> None:
    with tempfile.TemporaryDirectory() as folder, a_town(Path(folder), a_level()) as town:
        readings = [level(at, at, known=max(at, known), quality=quality) for at, known, quality in rows]
        town.readings.append(readings)
        town.turn(0)
        (request,) = town.supply.requests
    usable = [r for r in readings if r.is_trusted and r.available_at <= T0 and r.observed_at <= T0]
    two_weeks = [r for r in usable if r.observed_at >= T0 - timedelta(days=14)]
    assert list(request.history["L1"]) == sorted(two_weeks, key=lambda r: r.observed_at)
    assert request.latest == ({"L1": max(usable, key=lambda r: r.observed_at)} if usable else {})


def test_a_reading_from_a_clock_ahead_of_ours_is_not_the_state_of_now(town: Town) -> None:
    town.readings.append([replace(level(2), available_at=T0)])
    town.turn(0)
    assert town.supply.requests[0].latest["L1"].observed_at == hour(-1)


# -------------------------------------------------------------------------------------------- observed rain


def test_the_state_is_carried_to_the_end_of_the_observed_rain_and_kept(town: Town) -> None:
    town.readings.append([rain(-1, 1.0), rain(0, 2.0)])
    town.turn(0.5)
    state, _ = town.drainage.forecasts[0]
    assert state.valid_at == hour(0)
    kept = town.registry.latest_state("sewers", "key-1", by=hour(9))
    assert kept is not None
    assert kept.content == state.content
    town.readings.append([rain(1, 4.0)])
    town.turn(1.2)
    cold, second = town.drainage.last_chain()
    assert (cold.start, cold.end, cold.mm) == (hour(-24), hour(0), 3.0)
    assert (second.start, second.end, second.mm) == (hour(0), hour(1), 4.0)
    assert cold.rain[0].missing == 22


def test_rain_without_news_is_not_applied_again(town: Town) -> None:
    town.readings.append([rain(0, 2.0)])
    for turn in (0.1, 0.2, 0.3):
        town.turn(turn)
    assert len(town.drainage.chains) == 1


def test_late_rain_reopens_the_window_that_it_falls_into_and_no_more(town: Town) -> None:
    for at in (0, 1, 2, 3):
        town.readings.append([rain(at, 1.0)])
        town.turn(at + 0.1)
    late = rain(1.5, 9.0, known=3.2)  # between two readings: its hour began at 0.5
    town.readings.append([late])
    town.turn(3.3)
    assert [(step.start, step.end) for step in town.drainage.last_chain()] == [
        (hour(-24), hour(0)), (hour(0), hour(3)),
    ]  # fmt: skip
    assert sum(step.mm for step in town.drainage.last_chain()) == pytest.approx(4 * 1.0 + 9.0)


def test_rain_stamped_before_a_turn_and_stored_after_it_is_not_lost(town: Town) -> None:
    """The ingester stamps a message when it comes; the store may have it only after the turn has looked.

      stamp      turn      stored     turn
    ----|----------|----------|---------|---->
    """
    town.registry.upsert_sensors([a_gauge(1), a_gauge(2)])
    town.readings.append([rain(0, 1.0), rain(0, 1.0, gauge="R2"), rain(4, 1.0, gauge="R2")])
    town.turn(4.0)  # R1 has been silent for three hours and is no longer waited for
    town.readings.append([rain(1, 7.0, known=3.99)])
    town.turn(4.1)
    assert sum(step.mm for step in town.drainage.last_chain()) == pytest.approx(9.0)


def test_states_of_another_key_are_not_used(town: Town) -> None:
    town.readings.append([rain(0, 2.0)])
    town.registry.save_state(DrainageState("sewers", "another key", hour(0), b"?", available_at=hour(0)))
    town.turn(0.5)
    assert [step.before for step in town.drainage.last_chain()] == [None]


def test_a_state_older_than_the_warm_up_is_begun_anew(town: Town) -> None:
    town.readings.append([rain(0, 2.0)])
    town.turn(0.1)
    town.readings.append([rain(200, 1.0)])
    town.turn(200.1)
    (cold,) = town.drainage.last_chain()
    assert (cold.start, cold.end, cold.before) == (hour(176), hour(200), None)


def test_a_forecast_that_begins_later_is_bridged_and_the_bridge_is_not_kept(town: Town) -> None:
    town.registry.upsert_sensors([a_gauge(1), a_gauge(2)])
    town.readings.append([rain(0, 1.0), rain(0, 1.0, gauge="R2"), rain(1, 5.0, gauge="R2")])
    town.weather.begins_in = timedelta(0)
    town.turn(1.5)
    state, _ = town.drainage.forecasts[0]
    assert state.valid_at == hour(1.5)
    assert town.drainage.last_chain()[-1].mm == pytest.approx(5.0), "rain known so far is in the bridge"
    kept = town.registry.latest_state("sewers", "key-1", by=hour(9))
    assert kept is not None
    assert kept.valid_at == hour(0)
    town.readings.append([rain(1, 3.0)])
    town.turn(1.6)
    assert [(step.start, step.end) for step in town.drainage.last_chain()] == [
        (hour(-24), hour(0)), (hour(0), hour(1)), (hour(1), hour(1.6)),
    ]  # fmt: skip


def test_rain_taken_for_dry_is_told_in_the_forecast(town: Town) -> None:
    town.readings.append([rain(h, 1.0) for h in range(-23, 1) if h != -5])
    (run,) = [run for run in town.turn(0.1).runs if run.drainage]
    assert run.drainage is not None
    (warning,) = [text for text in run.drainage.provenance.warnings if "R1" in text]
    assert "1 of 24" in warning


def test_a_gauge_that_counts_up_is_refused_by_name_and_not_taken_for_rain_per_interval(town: Town) -> None:
    town.registry.upsert_sensors([replace(a_gauge(), kind=Kind.TOTAL_INCREASING)])
    town.readings.append([rain(0, 4321.0)])
    (run,) = [run for run in town.turn(0.1).runs if run.kind is RunKind.DRAINAGE]
    assert run.status is RunStatus.FAILED
    assert "R1" in run.cause


def test_negative_rain_is_missing_rain_and_no_end_of_all_forecasts(town: Town) -> None:
    town.readings.append([rain(-1, 2.0), rain(0, -0.1)])
    (run,) = [run for run in town.turn(0.1).runs if run.kind is RunKind.DRAINAGE]
    assert run.status is RunStatus.OK
    assert sum(step.mm for step in town.drainage.last_chain()) == 2.0


@st.composite
def _arrivals(draw: st.DrawFn) -> list[tuple[float, float, float]]:
    """Return (observed hour, known hour, mm) of a gauge's readings, in any order, some late, some a little off."""
    hours = draw(st.lists(st.integers(-6, 12), unique=True, min_size=1, max_size=14))
    off = st.sampled_from([0.0, 0.0, 0.0, 30 / 3600, -45 / 3600, 0.5 / 3600])
    return [
        (at, max(at, 0) + draw(st.sampled_from([0.05, 0.4, 1.7, 6.0, 10.0])), float(draw(st.integers(0, 9))))
        for at in (h + draw(off) for h in hours)
    ]


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(
    first=_arrivals(),
    second=_arrivals(),
    turns=st.sets(st.integers(1, 50), min_size=2, max_size=14),
    stored_after=st.sampled_from([0.0, 0.1, 0.7]),
)
def test_every_known_rain_is_applied_exactly_once_whatever_its_order(
    first: list[tuple[float, float, float]],
    second: list[tuple[float, float, float]],
    turns: set[int],
    stored_after: float,
) -> None:
    """The chain of updates under the last forecast, against the rain that lies in its span, counted by hand."""
    readings = [
        replace(rain(at, mm, known=known), sensor_id=gauge)
        for gauge, rows in (("R1", first), ("R2", second))
        for at, known, mm in rows
    ]
    by_arrival = sorted(readings, key=lambda r: r.available_at)
    with tempfile.TemporaryDirectory() as folder, a_town(Path(folder), a_gauge(1), a_gauge(2)) as town:
        for turn in sorted(turns):
            stored = [r for r in by_arrival if r.available_at <= hour(turn / 2 - stored_after)]
            town.readings.append(stored)
            town.turn(turn / 2)
    chain = town.drainage.last_chain()
    for before, after in pairwise(chain):
        assert before.end == after.start
    start, end = chain[0].start, chain[-1].end
    assert sum(step.mm for step in chain) == pytest.approx(sum(_share(r, start, end) for r in stored), abs=1e-9)
    assert end <= town.clock.now()


def _share(reading: Reading, start: object, end: object) -> float:
    """Return how much of an hour's rain lies in [start, end]."""
    begins = reading.observed_at - timedelta(hours=1)
    overlap = min(reading.observed_at, end) - max(begins, start)  # type: ignore[operator, type-var]
    return reading.value * max(0.0, overlap / timedelta(hours=1))
