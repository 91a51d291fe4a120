"""What one cycle's forecasts and readings say: findings."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from twin.customers import Customer
from twin.detection import Detector
from twin.findings import (
    ASSUMED_CONFIDENCE,
    PREDICTED_CONFIDENCE,
    Finding,
    findings_from_drainage,
    findings_from_sensors,
    findings_from_supply,
)
from twin.forecasts import (
    DrainageForecast,
    NodeFlood,
    PredictedOutage,
    Provenance,
    RunStatus,
    ShortageKind,
    SupplyForecast,
    TankOutlook,
)
from twin.incidents import Incident, IncidentKind, IncidentState, Severity
from twin.readings import ElementType, Quality, Reading, Sensor
from twin.units import Quantity

T0 = datetime(2026, 1, 10, 6, 0, tzinfo=UTC)


def hours(number: float) -> timedelta:
    return timedelta(hours=number)


def an_outage(node: str, start_h: float, end_h: float | None = None, cause: str = "tank_empty:T7") -> PredictedOutage:
    end = None if end_h is None else T0 + hours(end_h)
    return PredictedOutage(node, T0 + hours(start_h), end, ShortageKind.NO_SOURCE, cause, f"why {cause}", 0.0, 0.0)


def a_tank(level_m: float, empty_h: float | None = None) -> TankOutlook:
    return TankOutlook("T1", level_m, 1.0, 6.0, None if empty_h is None else T0 + hours(empty_h), None)


def a_supply_forecast(outages: tuple[PredictedOutage, ...] = (), tanks: tuple[TankOutlook, ...] = ()) -> SupplyForecast:
    return SupplyForecast("run-1", T0, (T0, T0 + hours(1)), Provenance("ctown", "h", "e"), 10.0, outages, tanks)


def a_node(node: str, probability: float | None, onset_h: float | None = None, volume_m3: float = 0.0) -> NodeFlood:
    onset = None if onset_h is None else T0 + hours(onset_h)
    return NodeFlood(node, probability, onset, 0.0, 0.0, 0.0, volume_m3)


def a_drainage_forecast(*nodes: NodeFlood, status: RunStatus = RunStatus.OK) -> DrainageForecast:
    return DrainageForecast("run-2", T0, T0, T0 + hours(24), status, Provenance("sewer", "h", "e"), nodes)


def a_reading(sensor: Sensor, minutes_ago: float, value: float = 30.0, quality: Quality = Quality.GOOD) -> Reading:
    at = T0 - timedelta(minutes=minutes_ago)
    return Reading(sensor.sensor_id, at, at, value, "m", value, "m", quality)


def only(findings: list[Finding]) -> Finding:
    assert len(findings) == 1
    return findings[0]


# ------------------------------------------------------------------------------------------------------ supply


def test_nodes_of_one_cause_are_one_predicted_outage_with_its_whole_window() -> None:
    outages = (an_outage("B", 5, 8), an_outage("A", 3, 9), an_outage("C", 4, 7))
    finding = only(findings_from_supply(a_supply_forecast(outages), now=T0))
    assert (finding.kind, finding.cause_key) == (IncidentKind.OUTAGE_PREDICTED, "tank_empty:T7")
    assert finding.node_ids == ("A", "B", "C")
    assert (finding.starts_at, finding.expected_end_at) == (T0 + hours(3), T0 + hours(9))
    assert finding.run_id == "run-1"


def test_an_outage_whose_end_lies_beyond_the_horizon_has_no_known_end() -> None:
    outages = (an_outage("A", 3, 9), an_outage("B", 5, None))
    assert only(findings_from_supply(a_supply_forecast(outages), now=T0)).expected_end_at is None


def test_what_holds_at_t0_is_observed_and_what_is_to_come_of_the_same_cause_is_predicted() -> None:
    empty = TankOutlook("T7", 1.0, 1.0, 6.0, T0, None)
    findings = findings_from_supply(a_supply_forecast((an_outage("A", 0), an_outage("B", 2)), (empty,)), now=T0)
    assert {f.kind: f.node_ids for f in findings if f.cause_key == "tank_empty:T7"} == {
        IncidentKind.OUTAGE_OBSERVED: ("A",),
        IncidentKind.OUTAGE_PREDICTED: ("B",),
    }


def test_two_causes_are_two_findings() -> None:
    outages = (an_outage("A", 1, cause="tank_empty:T7"), an_outage("B", 1, cause="tank_empty:T1"))
    keys = [finding.cause_key for finding in findings_from_supply(a_supply_forecast(outages), now=T0)]
    assert sorted(keys) == ["tank_empty:T1", "tank_empty:T7"]


# A tank from 1 m to 6 m: 15 % of its usable 5 m is 1.75 m, 20 % is 2.0 m.
@pytest.mark.parametrize(
    ("level_m", "opens", "sustains"),
    [
        pytest.param(1.74, True, True, id="below 15 %: low"),
        pytest.param(1.76, False, True, id="between 15 % and 20 %: stays low if it was"),
        pytest.param(2.01, False, False, id="above 20 %: clear"),
        pytest.param(0.9, True, True, id="below the minimum level"),
    ],
)
def test_a_tank_is_low_by_its_usable_range(level_m: float, opens: bool, sustains: bool) -> None:
    findings = findings_from_supply(a_supply_forecast(tanks=(a_tank(level_m),)), now=T0)
    assert bool(findings) is sustains
    assert any(finding.opens for finding in findings) is opens


EMPTY_T7 = TankOutlook("T7", 1.0, 1.0, 6.0, T0, None)
GUESSED_T7 = replace(EMPTY_T7, measured=False)


@pytest.mark.parametrize(
    ("cause", "known", "observed"),
    [
        pytest.param("tank_empty:T7", {"tanks": (EMPTY_T7,)}, True, id="the tank is measured empty"),
        pytest.param("tank_empty:T7", {"tanks": (GUESSED_T7,)}, False, id="the tank is empty in the model file"),
        pytest.param("tank_empty:T7", {"tanks": (replace(EMPTY_T7, level_m=1.1),)}, False, id="the tank holds water"),
        pytest.param("tank_empty:T7", {}, False, id="the tank is not spoken of"),
        pytest.param("pump_down:PU4", {"measured": ("PU4",)}, True, id="the pump is measured still"),
        pytest.param("closed:V1", {"measured": ("V1",)}, True, id="the valve is measured closed"),
        pytest.param("pump_down:PU4", {"measured": ("T7",), "assumed": ("PU4",)}, False, id="the pump is unseen"),
        pytest.param("pump_down:PU4", {}, False, id="nothing is measured"),
        pytest.param("low_pressure:D1", {"measured": ("T7",)}, False, id="the pressure is the model's"),
    ],
)
def test_an_outage_at_t0_is_observed_only_where_its_cause_is_measured(
    cause: str, known: dict[str, Any], observed: bool
) -> None:
    forecast = replace(a_supply_forecast((an_outage("A", 0, cause=cause),)), **known)
    kinds = {f.kind for f in findings_from_supply(forecast, now=T0) if f.cause_key == cause}
    assert kinds == {IncidentKind.OUTAGE_OBSERVED if observed else IncidentKind.OUTAGE_PREDICTED}


def test_a_tank_that_is_not_measured_is_neither_low_nor_clear() -> None:
    for level_m in (1.0, 1.8, 6.0):
        tank = replace(a_tank(level_m), measured=False)
        finding = only(findings_from_supply(a_supply_forecast(tanks=(tank,)), now=T0))
        assert (finding.kind, finding.cause_key) == (IncidentKind.TANK_LOW, "tank_low:T1")
        assert finding.unknown
        assert not finding.opens


@pytest.mark.parametrize(
    ("known", "confidence", "has_end"),
    [
        pytest.param({}, PREDICTED_CONFIDENCE, True, id="nothing assumed"),
        pytest.param({"tanks": (GUESSED_T7,)}, ASSUMED_CONFIDENCE, False, id="the tank's level is the model file's"),
        pytest.param({"assumed": ("P1",), "assumed_area": ("A",)}, ASSUMED_CONFIDENCE, False, id="the node's area"),
        pytest.param({"assumed": ("P1",)}, ASSUMED_CONFIDENCE, False, id="nobody knows which area"),
        pytest.param({"assumed": ("P1",), "assumed_area": ("Z",)}, PREDICTED_CONFIDENCE, True, id="another area"),
    ],
)
def test_what_rests_on_an_assumption_is_told_with_less_confidence_and_promises_no_end(
    known: dict[str, Any], confidence: float, has_end: bool
) -> None:
    forecast = replace(a_supply_forecast((an_outage("A", 3, 9),)), **known)
    (finding,) = (f for f in findings_from_supply(forecast, now=T0) if f.opens)
    assert finding.confidence == confidence
    assert (finding.expected_end_at is not None) is has_end


@pytest.mark.parametrize(
    ("probabilities", "known", "confidence"),
    [
        pytest.param((0.5, 0.8), {}, 0.9 * 0.8, id="as sure as the likeliest junction"),
        pytest.param((None, 0.2), {}, 0.9 * 0.2, id="however unlikely"),
        pytest.param((1.0, 1.0), {"assumed": ("P1",)}, ASSUMED_CONFIDENCE, id="never surer than what it rests on"),
        pytest.param((0.1, 0.2), {"assumed": ("P1",)}, 0.9 * 0.2, id="or less"),
    ],
)
def test_the_share_of_the_members_is_how_sure_a_prediction_is(
    probabilities: tuple[float | None, ...], known: dict[str, Any], confidence: float
) -> None:
    outages = [
        replace(an_outage(node, 3, 9), probability=share) for node, share in zip("AB", probabilities, strict=True)
    ]
    forecast = replace(a_supply_forecast(tuple(outages)), **known)
    (finding,) = (f for f in findings_from_supply(forecast, now=T0) if f.opens)
    assert finding.confidence == pytest.approx(confidence)


@pytest.mark.parametrize(
    ("probability", "band"), [pytest.param(0.3, None, id="gone"), pytest.param(0.34, ("A",), id="between")]
)
def test_what_is_merely_possible_opens_nothing(probability: float, band: tuple[str, ...] | None) -> None:
    forecast = replace(a_supply_forecast(()), possible=(replace(an_outage("A", 3, 9), probability=probability),))
    found = findings_from_supply(forecast, now=T0)
    assert [finding.band_ids for finding in found] == ([] if band is None else [band])
    assert not any(finding.opens for finding in found)


def test_an_outage_that_fewer_members_have_now_stays_and_one_that_hardly_any_has_goes() -> None:
    sure, less, hardly = (replace(an_outage("A", 3, 9), probability=share) for share in (0.6, 0.4, 0.1))
    forecasts = {
        "sure": replace(a_supply_forecast((sure,))),
        "less": replace(a_supply_forecast(()), possible=(less,)),
        "hardly": replace(a_supply_forecast(()), possible=(hardly,)),
    }
    detector = Detector()
    open_incidents: list[Incident] = []
    states = []
    for minute, name in enumerate(["less", "sure", "less", "less", "less", "hardly", "hardly", "hardly"]):
        now = T0 + timedelta(minutes=5 * minute)
        findings = findings_from_supply(forecasts[name], now=now)
        changed = detector.judge(findings, open_incidents, frozenset(IncidentKind), [], now=now)
        known = {incident.incident_id: incident for incident in (*open_incidents, *changed)}
        open_incidents = [incident for incident in known.values() if incident.state is not IncidentState.CLOSED]
        states.append(len(open_incidents))
    assert states == [0, 1, 1, 1, 1, 1, 0, 0]


@pytest.mark.parametrize(
    ("empty_h", "severity"),
    [(None, Severity.MINOR), (7.0, Severity.MINOR), (5.0, Severity.MODERATE), (1.5, Severity.SEVERE)],
)
def test_a_low_tank_is_as_severe_as_its_emptying_is_near(empty_h: float | None, severity: Severity) -> None:
    finding = only(findings_from_supply(a_supply_forecast(tanks=(a_tank(1.2, empty_h),)), now=T0))
    assert finding.severity is severity


# ---------------------------------------------------------------------------------------------------- drainage


def test_a_storm_is_one_finding_with_its_highest_probability_and_earliest_onset() -> None:
    forecast = a_drainage_forecast(
        a_node("N1", 0.4, 6), a_node("N2", 0.9, 5, 150.0), a_node("N3", 0.25, 1), a_node("N4", 0.0)
    )
    finding = only(findings_from_drainage(forecast, now=T0))
    assert finding.cause_key == "storm:sewer"
    assert (finding.node_ids, finding.band_ids) == (("N1", "N2"), ("N3",))
    assert (finding.confidence, finding.starts_at) == (0.9, T0 + hours(5))
    assert finding.severity is Severity.MODERATE


def test_a_dry_ensemble_finds_nothing() -> None:
    assert findings_from_drainage(a_drainage_forecast(a_node("N1", 0.0), a_node("N2", 0.1)), now=T0) == []


@pytest.mark.parametrize("status", [RunStatus.INSUFFICIENT, RunStatus.FAILED])
def test_too_few_members_are_unknown_and_no_all_clear(status: RunStatus) -> None:
    finding = only(findings_from_drainage(a_drainage_forecast(a_node("N1", None), status=status), now=T0))
    assert finding.unknown
    assert not finding.opens


def test_a_forecast_that_has_run_out_says_nothing() -> None:
    assert only(findings_from_drainage(a_drainage_forecast(a_node("N1", 0.0)), now=T0 + hours(24))).unknown


# ----------------------------------------------------------------------------------------------------- sensors

LEVEL = Sensor("S1", Quantity.LEVEL, expected_every_s=300)
LONG_AGO = T0 - hours(100)


@pytest.mark.parametrize(
    ("minutes_ago", "is_silent"),
    [pytest.param(15.0, False, id="three intervals"), pytest.param(15.1, True, id="more than three intervals")],
)
def test_a_sensor_is_silent_after_three_of_its_intervals(minutes_ago: float, is_silent: bool) -> None:
    latest = {"S1": a_reading(LEVEL, minutes_ago)}
    findings = findings_from_sensors({"S1": LEVEL}, latest, now=T0, known_since=LONG_AGO)
    assert bool(findings) is is_silent


def test_a_silent_signal_says_nothing_about_its_siblings() -> None:
    sibling = Sensor("S2", Quantity.LEVEL, expected_every_s=3600)
    latest = {"S1": a_reading(LEVEL, 60), "S2": a_reading(sibling, 60)}
    findings = findings_from_sensors({"S1": LEVEL, "S2": sibling}, latest, now=T0, known_since=LONG_AGO)
    assert only(findings).sensor_ids == ("S1",)


@pytest.mark.parametrize(("known_for_min", "opens"), [(14.0, False), (16.0, True)])
def test_a_sensor_never_seen_is_judged_from_when_it_is_known(known_for_min: float, opens: bool) -> None:
    since = T0 - timedelta(minutes=known_for_min)
    finding = only(findings_from_sensors({"S1": LEVEL}, {}, now=T0, known_since=since))
    assert finding.opens is opens
    assert finding.unknown is not opens


def test_old_readings_after_a_restart_are_no_silence_yet() -> None:
    latest = {"S1": a_reading(LEVEL, 600)}
    since = T0 - timedelta(minutes=1)
    assert only(findings_from_sensors({"S1": LEVEL}, latest, now=T0, known_since=since)).unknown


GAUGE = Sensor("P1", Quantity.PRESSURE, element_type=ElementType.NODE, element_id="J1", expected_every_s=300)
AT_J1 = Customer("K1", "C1", "J1")


def low_pressures(reading: Reading | None, customers: tuple[Customer, ...] = (AT_J1,)) -> list[Finding]:
    latest = {} if reading is None else {"P1": reading}
    findings = findings_from_sensors({"P1": GAUGE}, latest, now=T0, known_since=LONG_AGO, customers=customers)
    return [finding for finding in findings if finding.kind is IncidentKind.PRESSURE_LOW]


def test_a_trusted_pressure_below_service_at_customers_is_low() -> None:
    finding = only(low_pressures(a_reading(GAUGE, 1, 9.9)))
    assert finding.opens
    assert (finding.node_ids, finding.sensor_ids) == (("J1",), ("P1",))


@pytest.mark.parametrize(
    ("reading", "known"),
    [
        pytest.param(a_reading(GAUGE, 1, 10.5), True, id="in the band"),
        pytest.param(a_reading(GAUGE, 1, 2.0, Quality.SUSPECT), False, id="not trusted"),
        pytest.param(a_reading(GAUGE, 60, 2.0), False, id="silent"),
        pytest.param(None, False, id="never heard"),
    ],
)
def test_a_pressure_in_the_band_or_unknown_opens_nothing_and_clears_nothing(
    reading: Reading | None, known: bool
) -> None:
    finding = only(low_pressures(reading))
    assert not finding.opens
    assert finding.unknown is not known


def test_good_pressure_is_clear() -> None:
    assert low_pressures(a_reading(GAUGE, 1, 11.0)) == []


def test_a_low_pressure_where_nobody_lives_is_nothing() -> None:
    assert low_pressures(a_reading(GAUGE, 1, 2.0), customers=()) == []
