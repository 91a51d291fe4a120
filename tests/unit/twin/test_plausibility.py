"""Implausible is only what a witness contradicts; whatever else the model did not foresee may have happened.

The town: a tank T of 100 m2 filled by pipe IN, emptied by pipe OUT, both metered; two gauges on its level (L, L2).
Junctions A, B, C in a row of pipes with pressure gauges. One forecast an hour; every reading is hourly.
```
hour      0 .. 29                30 31 32 ...
L         as forecast            1 m off             flagged from the third on, with the two before, if a witness
witness   as forecast            as forecast         stays with the forecast
```
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from models.networks.ctown.scada import scada_rows
from twin.forecasts import ForecastSeries, Provenance, SupplyForecast
from twin.network import Link, LinkKind, Network, NetworkKind, Node, NodeKind
from twin.plausibility import Plausibility, doubted, level_by_balance
from twin.readings import ElementType, Quality, Reading, Sensor
from twin.units import Quantity, to_si

T0 = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
NODE, LINK = ElementType.NODE, ElementType.LINK
NETWORK = Network(
    NetworkKind.SUPPLY,
    {
        "T": Node("T", NodeKind.TANK, 50.0, area_m2=100.0),
        **{name: Node(name, NodeKind.JUNCTION, 10.0) for name in "ABC"},
    },
    {
        "IN": Link("IN", LinkKind.PIPE, "A", "T"),
        "OUT": Link("OUT", LinkKind.PIPE, "T", "C"),
        "AB": Link("AB", LinkKind.PIPE, "A", "B"),
        "BC": Link("BC", LinkKind.PIPE, "B", "C"),
    },
)


def a_sensor(sensor_id: str, quantity: Quantity, on: ElementType, element: str) -> Sensor:
    return Sensor(sensor_id, quantity, element_type=on, element_id=element, expected_every_s=3600.0)


LEVEL = a_sensor("L", Quantity.LEVEL, NODE, "T")
TWIN = a_sensor("L2", Quantity.LEVEL, NODE, "T")
METERS = (a_sensor("QI", Quantity.FLOW, LINK, "IN"), a_sensor("QO", Quantity.FLOW, LINK, "OUT"))
GAUGES = tuple(a_sensor(f"P{name}", Quantity.PRESSURE, NODE, name) for name in "ABC")

Values = Mapping[str, float]


def foreseen(hour: int) -> dict[str, float]:
    """What is forecast: the tank stands at 3 m, as much flows in as out."""
    return {"L": 3.0, "L2": 3.0, "QI": 0.02, "QO": 0.02, "PA": 40.0, "PB": 38.0, "PC": 36.0}


def a_forecast(sensors: Sequence[Sensor], hour: int, said: Callable[[int], Values] = foreseen) -> SupplyForecast:
    series = tuple(
        ForecastSeries(
            str(s.element_type), s.element_id, str(s.quantity), tuple(said(hour + k)[s.sensor_id] for k in range(12))
        )
        for s in sensors
    )
    moments = tuple(T0 + (hour + k) * HOUR for k in range(12))
    return SupplyForecast(f"run-{hour}", T0 + hour * HOUR, moments, Provenance("m", "h", "e"), 10.0, series=series)


def a_reading(sensor: Sensor, hour: int, value: float) -> Reading:
    at = T0 + hour * HOUR
    return Reading(sensor.sensor_id, at, at, value, "m", value, "m")


def relive(
    sensors: Sequence[Sensor],
    happened: Callable[[int], Values],
    hours: int,
    forecast: Callable[[int], SupplyForecast | None] | None = None,
) -> dict[str, list[int]]:
    """Turn by turn: the forecast of the hour before, the readings of this one. Return which hours were doubted."""
    judge = Plausibility()
    table = {sensor.sensor_id: sensor for sensor in sensors}
    dice = random.Random(1)
    found: dict[str, list[int]] = {}
    for hour in range(1, hours):
        said = forecast(hour - 1) if forecast else a_forecast(sensors, hour - 1)
        now = happened(hour)
        readings = {
            s.sensor_id: [
                a_reading(s, hour, now[s.sensor_id] + dice.gauss(0, 1e-4 if s.quantity is Quantity.FLOW else 0.005))
            ]
            for s in sensors
            if s.sensor_id in now
        }
        for doubt in judge.judge(said, NETWORK, table, readings):
            found.setdefault(doubt.sensor_id, []).append(round((doubt.observed_at - T0) / HOUR))
    return found


def off_from(hour: int, **off: float) -> Callable[[int], Values]:
    return lambda now: {k: v + (off.get(k, 0.0) if now >= hour else 0.0) for k, v in foreseen(now).items()}


def test_a_gauge_that_its_twin_and_the_forecast_contradict_is_implausible() -> None:
    assert relive([LEVEL, TWIN], off_from(30, L=1.0), 34) == {"L": [30, 31, 32, 33]}


def test_the_flows_around_a_tank_are_a_witness() -> None:
    assert relive([LEVEL, *METERS], off_from(30, L=1.0), 34) == {"L": [30, 31, 32, 33]}


def test_two_neighbours_that_keep_to_the_forecast_are_witnesses() -> None:
    assert relive(GAUGES, off_from(30, PB=-20.0), 34) == {"PB": [30, 31, 32, 33]}


#   the inflow stops: the level falls by 0.02 m3/s * 3600 s / 100 m2 = 0.72 m an hour
def emptying(now: int) -> Values:
    hours = max(0, now - 30)
    return foreseen(now) | {"L": 3.0 - 0.72 * hours, "L2": 3.0 - 0.72 * hours, "QI": 0.02 if now < 31 else 0.0}


@pytest.mark.parametrize(
    ("sensors", "happened"),
    [
        pytest.param([LEVEL, TWIN, *METERS], emptying, id="a tank that empties because its inflow stopped"),
        pytest.param([LEVEL], off_from(30, L=-2.0), id="a level nobody else measures"),
        pytest.param(GAUGES, off_from(30, PA=-30.0, PB=-30.0, PC=-30.0), id="an outage: all pressures fall"),
        pytest.param(GAUGES, off_from(30, PB=-30.0, PC=-30.0), id="a burst: one neighbour falls too"),
        pytest.param(GAUGES[:2], off_from(30, PB=-30.0), id="one neighbour is no proof"),
        pytest.param([LEVEL, METERS[0]], off_from(30, L=1.0), id="an outflow that nobody measures"),
        pytest.param([LEVEL, TWIN], off_from(30, L=0.1), id="less than matters"),
        pytest.param([LEVEL, TWIN], off_from(10, L=1.0), id="before anything is learned"),
    ],
)
def test_what_may_have_happened_is_believed(sensors: Sequence[Sensor], happened: Callable[[int], Values]) -> None:
    assert relive(sensors, happened, 40) == {}


def test_two_readings_off_are_not_yet_a_row() -> None:
    def glitch(now: int) -> Values:
        return off_from(30, L=1.0)(now) if now < 32 else foreseen(now)

    assert relive([LEVEL, TWIN], glitch, 40) == {}


def test_a_failed_forecast_judges_nothing() -> None:
    def forecast(hour: int) -> SupplyForecast | None:
        return None if hour >= 30 else a_forecast([LEVEL, TWIN], hour)

    assert relive([LEVEL, TWIN], off_from(30, L=1.0), 40, forecast) == {}


def test_a_forecast_that_rests_on_an_assumption_judges_nothing() -> None:
    def forecast(hour: int) -> SupplyForecast:
        made = a_forecast([LEVEL, TWIN], hour)
        return replace(made, assumed=("T",)) if hour >= 29 else made

    assert relive([LEVEL, TWIN], off_from(30, L=1.0), 40, forecast) == {}


def test_a_level_that_the_model_has_taken_over_is_still_found() -> None:
    """The model begins each forecast at the wrong level it was told; the row is set against the one before."""

    def forecast(hour: int) -> SupplyForecast:
        said = off_from(0, L=1.0, L2=1.0) if hour >= 30 else foreseen
        return a_forecast([LEVEL, TWIN], hour, said)

    assert relive([LEVEL, TWIN], off_from(30, L=1.0), 36, forecast) == {"L": [30, 31, 32, 33, 34, 35]}


def test_level_by_balance_is_what_a_hand_calculation_says() -> None:
    # 0.01 m3/s for an hour, then falling to 0 within the next: 36 + 18 m3 on 100 m2
    flows = [(T0, 0.01), (T0 + HOUR, 0.01), (T0 + 2 * HOUR, 0.0)]
    levels = [level for _, level in level_by_balance(2.0, 100.0, flows)]
    assert levels == pytest.approx([2.0, 2.36, 2.54])


def test_doubt_is_a_flag_and_keeps_the_value() -> None:
    doubt = doubted(replace(a_reading(LEVEL, 1, 4.0), reasons=("late",)))
    assert (doubt.quality, doubt.reasons, doubt.value) == (Quality.SUSPECT, ("late", "implausible"), 4.0)


# ------------------------------------------------------------------------------------------- the published record


def a_town_s_summer() -> tuple[list[Sensor], list[dict[str, float]]]:
    """The published record of C-Town: levels, with a second gauge on each that differs by some centimetres."""
    rows = list(scada_rows(end=datetime(2016, 8, 8, tzinfo=UTC)))
    names = [name for name in rows[0].values if name[0] in "LFP"]
    quantity = {"L": Quantity.LEVEL, "F": Quantity.FLOW, "P": Quantity.PRESSURE}
    sensors = [a_sensor(n, quantity[n[0]], LINK if n[0] == "F" else NODE, n.split("_")[1]) for n in names]
    sensors += [a_sensor(f"{n}_2", Quantity.LEVEL, NODE, n.split("_")[1]) for n in names if n[0] == "L"]
    dice = random.Random(2)
    hours = []
    for row in rows:
        values = {n: to_si(*row.values[n], quantity[n[0]]) for n in names}
        values |= {f"{n}_2": values[n] + dice.gauss(0, 0.03) for n in names if n[0] == "L"}
        hours.append(values)
    return sensors, hours


@pytest.mark.parametrize(
    ("fault", "forecast_error"),
    [
        pytest.param(0.0, None, id="nothing, the forecast being the day before"),
        pytest.param(0.0, 0.05, id="nothing, the forecast being good"),
        pytest.param(2.5, 0.05, id="a level that is 2.5 m off for half a day"),
    ],
)
def test_on_the_published_record_only_injected_faults_are_doubted(fault: float, forecast_error: float | None) -> None:
    """With the day before as a forecast nearly all that differs from it is real; the record holds attacks, too."""
    sensors, hours = a_town_s_summer()
    dice = random.Random(3)
    begins, ends = len(hours) - 48, len(hours) - 36

    def happened(hour: int) -> Values:
        values = dict(hours[hour])
        if begins <= hour < ends:
            values["L_T1"] += fault * math.copysign(1, 3 - values["L_T1"])
        return values

    def forecast(hour: int) -> SupplyForecast | None:
        if forecast_error is None:
            return a_forecast(sensors, hour, lambda at: hours[at - 24]) if hour >= 24 else None
        wrong = 1 + dice.gauss(0, forecast_error)
        return a_forecast(sensors, hour, lambda at: {name: value * wrong for name, value in hours[at].items()})

    found = relive(sensors, happened, len(hours) - 12, forecast)
    assert {name: len(doubted_at) for name, doubted_at in found.items() if name != "L_T1"} == {}
    assert bool(found.get("L_T1")) is bool(fault)
