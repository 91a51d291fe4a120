"""Residuals of a cycle, and which sensors lie off."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from twin.forecasts import ForecastSeries, Provenance, SupplyForecast
from twin.readings import ElementType, Reading, Sensor
from twin.residuals import Residual, ResidualWatch, residuals_of
from twin.units import Quantity

T0 = datetime(2026, 3, 1, 12, tzinfo=UTC)
P1 = Sensor("P1", Quantity.PRESSURE, element_type=ElementType.NODE, element_id="J1", expected_every_s=300)
F1 = Sensor("F1", Quantity.FLOW, element_type=ElementType.LINK, element_id="L1", expected_every_s=300)
METER = Sensor("M1", Quantity.DEMAND, element_type=ElementType.NODE, element_id="J1", expected_every_s=300)
SENSORS = {sensor.sensor_id: sensor for sensor in (P1, F1, METER)}


def a_forecast(**changes: object) -> SupplyForecast:
    series = (
        ForecastSeries("node", "J1", "pressure", (40.0, 41.0)),
        ForecastSeries("link", "L1", "flow", (0.02, 0.03)),
        ForecastSeries("node", "J1", "demand", (0.001, 0.001)),
    )
    parts = {"series": series, **changes}
    return SupplyForecast("run", T0, (T0, T0 + timedelta(hours=1)), Provenance("m", "h", "e"), 10.0, **parts)  # type: ignore[arg-type]


def a_reading(sensor: Sensor, value: float, minutes_ago: float = 0.0) -> Reading:
    at = T0 - timedelta(minutes=minutes_ago)
    return Reading(sensor.sensor_id, at, at, value, "m", value, "m")


def test_a_residual_is_observed_minus_the_state_at_t0() -> None:
    latest = {"P1": a_reading(P1, 38.5, 4), "F1": a_reading(F1, 0.025), "M1": a_reading(METER, 0.002)}
    flow, pressure = residuals_of(a_forecast(), SENSORS, latest)
    assert (pressure.sensor_id, pressure.value) == ("P1", pytest.approx(-1.5))
    assert (pressure.observed_at, pressure.known_at) == (T0 - timedelta(minutes=4), T0)
    assert (flow.sensor_id, flow.value) == ("F1", pytest.approx(0.005))


@pytest.mark.parametrize(
    ("sensor_id", "minutes_ago"), [("P1", 6), ("P1", -1), ("M1", 0), ("gone", 0)],
    ids=["older than its interval", "from the future", "a household's meter", "an unknown sensor"],
)  # fmt: skip
def test_what_has_no_residual(sensor_id: str, minutes_ago: float) -> None:
    reading = a_reading(SENSORS.get(sensor_id, P1), 38.5, minutes_ago)
    assert residuals_of(a_forecast(), SENSORS, {sensor_id: reading}) == []


def test_what_rests_on_an_assumption_says_so() -> None:
    forecast = a_forecast(assumed=("T1",), assumed_area=("J1",))
    (residual,) = residuals_of(forecast, SENSORS, {"P1": a_reading(P1, 38.5)})
    assert residual.assumed


# usual residuals every hour for two days: 0.1 m, give or take 0.05; then the last six hours
#   ---- usual -----------------------------|--- 6 h ---| T0


def watching(recent_m: float, **changes: bool) -> ResidualWatch:
    watch = ResidualWatch()
    for hours in range(48, -1, -1):
        value = recent_m if hours < 6 else 0.1 + 0.05 * (hours % 3 - 1)
        at = T0 - timedelta(hours=hours)
        watch.note([Residual("P1", at, at, "run", 40.0 + value, 40.0, **changes)])
    return watch


@pytest.mark.parametrize(("recent_m", "is_off"), [(0.1, False), (0.3, False), (0.7, True), (-0.5, True)])
def test_a_sensor_is_off_beyond_three_deviations_of_the_usual(recent_m: float, is_off: bool) -> None:
    # 1.4826 * 0.05 and the floor 0.1 / 3 make a deviation of 0.081 m: off beyond 0.1 +- 0.244 m
    off = watching(recent_m).off(SENSORS, now=T0)
    assert off is not None
    assert ("P1" in off) is is_off
    if is_off:
        assert off["P1"] == pytest.approx((recent_m - 0.1) / 0.0813, rel=0.01)


def test_nobody_is_judged_while_too_little_is_known_or_all_rests_on_assumptions() -> None:
    assert ResidualWatch().off(SENSORS, now=T0) is None
    assert watching(5.0, assumed=True).off(SENSORS, now=T0) is None
    forgetful = watching(5.0)
    forgetful.forget(T0 - timedelta(hours=20))
    assert forgetful.off(SENSORS, now=T0) is None


def test_what_is_usual_may_end_before_the_change() -> None:
    changed = ResidualWatch()
    for hours in range(48, -1, -1):
        at = T0 - timedelta(hours=hours)
        changed.note([Residual("P1", at, at, "run", 40.0 if hours > 18 else 38.0, 40.0)])
    assert changed.off(SENSORS, now=T0, usual_to=T0 - timedelta(hours=18)) == {"P1": pytest.approx(-60.0)}
