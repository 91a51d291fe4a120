"""The state of the supply network at T0, from what is measured; where nothing is, from the model, and said so.

Pumps and valves: a link that is measured closed although its own control calls for it to be open has failed, and is
held closed in the look-ahead. A link that is closed while its control calls for nothing is merely at rest.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta, tzinfo

import numpy as np

from models.demand.ladder import (
    HIGHEST_SCALE,
    LOWEST_SCALE,
    DemandBasis,
    DemandForecast,
    forecast_demand,
    observed_scale,
)
from models.demand.spread import Spread, spread_of
from models.supply.balance import STALE_AFTER_PERIODS, ObservedDemand, observe_demand, sensors_at, series_of
from models.supply.conditioning import brought_up_to_date
from models.supply.controls import Call, level_call, time_call, timer_cycle_s
from models.supply.epanet import LinkType
from models.supply.facts import Control, Floats, Integers, ModelFacts, TankFacts
from twin.clock import format_time
from twin.forecasts import StateRest, StateRung
from twin.network import Network
from twin.ports import SupplyRequest
from twin.readings import ElementType, Reading, Sensor
from twin.units import Quantity

NO_FLOW_M3S = 1e-4
"""A pump that moves less than this stands still."""

TIME_TO_FOLLOW = timedelta(minutes=20)
"""A pump or valve that has not followed its level control for this long has failed."""

HELD_FOR = timedelta(hours=2)
"""A tank's last measured level is held so long, as an assumption; after that the model's own is taken."""

_TELL_LEVEL = (Quantity.LEVEL, Quantity.PRESSURE, Quantity.HEAD)
"""What tells a tank's level, best first."""

_BEYOND_TANK = 0.1  # a level this share of the tank's range outside of it is not believed


@dataclass(frozen=True, slots=True)
class HeldClosed:
    """A link that stays closed through the look-ahead, with the name of the cause and its words."""

    link_id: str
    cause_key: str
    words: str


@dataclass(frozen=True, slots=True)
class SupplyState:
    """The network at T0. `model_time_s` is T0 on the model's clock; `group_of_node` numbers the districts,
    `spreads` says how far their demand may lie off (empty if nobody asked).

    `measured` names the tanks and links whose state is measured, `assumed` those that have a sensor for it which says
    nothing now, and the links that stand still while the tank they follow is unseen (at rest, or failed?).
    """

    model_time_s: int
    tank_level_m: Mapping[str, float]
    initially_open: Mapping[str, bool]
    held_closed: tuple[HeldClosed, ...]
    districts: tuple[str, ...]
    group_of_node: Integers
    multipliers: Floats
    demand: tuple[DemandForecast, ...]
    spreads: tuple[Spread, ...]
    basis: tuple[str, ...]
    measured: tuple[str, ...] = ()
    assumed: tuple[str, ...] = ()
    rests: tuple[StateRest, ...] = ()


def state_at(request: SupplyRequest, network: Network, facts: ModelFacts, zone: tzinfo) -> SupplyState:
    """Derive the state at T0 (`request.issued_at`) from the request's readings."""
    reader = _Reader(request)
    measured, tank_level_m = {}, {}
    unseen_tanks = []
    rests = []
    for tank_id, tank in facts.tanks.items():
        level_m = _measured_level(reader, tank)
        rung = StateRung.MEASURED
        if level_m is not None:
            measured[tank_id] = level_m
        else:
            level_m = _held_level(reader, tank)
            rung = StateRung.MODEL if level_m is None else StateRung.HELD
            if level_m is None:
                level_m = tank.initial_level_m
                reader.basis.append(f"tank {tank_id}: no level known, the model's {level_m:.2f} m is taken")
            if any(reader.has_sensor(ElementType.NODE, tank_id, quantity) for quantity in _TELL_LEVEL):
                unseen_tanks.append(tank_id)
        tank_level_m[tank_id] = level_m
        rests.append(StateRest("level", tank_id, rung))
    model_time_s = facts.model_time_s(request.issued_at, zone)
    judge = _LinkJudge(request, facts, measured, model_time_s, frozenset(unseen_tanks))
    for position, link_id in enumerate(facts.link_ids):
        judge.judge(reader, position, link_id)
    districts, group_of_node = _groups(network, facts)
    demand, spreads = _forecast(request, network, facts, districts, group_of_node, model_time_s)
    return SupplyState(
        model_time_s=model_time_s,
        tank_level_m=tank_level_m,
        initially_open=judge.initially_open,
        held_closed=tuple(judge.held_closed),
        districts=districts,
        group_of_node=group_of_node,
        multipliers=np.array([forecast.multiplier for forecast in demand]),
        demand=demand,
        spreads=spreads,
        basis=(*reader.basis, *judge.basis, *_demand_words(demand)),
        measured=(*measured, *judge.measured),
        assumed=(*unseen_tanks, *judge.assumed),
        rests=(*rests, *judge.rests, *_demand_rests(demand)),
    )


class _Reader:
    """Finds the newest usable reading of an element, and notes what was too old."""

    def __init__(self, request: SupplyRequest) -> None:
        self._request = request
        self._sensors: dict[tuple[ElementType, str, Quantity], list[Sensor]] = defaultdict(list)
        for sensor_id in sorted(request.sensors):
            sensor = request.sensors[sensor_id]
            self._sensors[sensor.element_type, sensor.element_id, sensor.quantity].append(sensor)
        self.basis: list[str] = []

    def has_sensor(self, kind: ElementType, element_id: str, quantity: Quantity) -> bool:
        """Whether a sensor measures a quantity of an element, whatever it says."""
        return (kind, element_id, quantity) in self._sensors

    def last(self, kind: ElementType, element_id: str, quantity: Quantity) -> Reading | None:
        """Return the newest reading that is not from the future, however old."""
        readings = [
            self._request.latest.get(one.sensor_id) for one in self._sensors.get((kind, element_id, quantity), [])
        ]
        past = [one for one in readings if one is not None and one.observed_at <= self._request.issued_at]
        return max(past, key=lambda reading: reading.observed_at, default=None)

    def age(self, reading: Reading) -> timedelta:
        """Return how old a reading is at T0."""
        return self._request.issued_at - reading.observed_at

    def has_fresh(self, kind: ElementType, element_id: str, quantity: Quantity) -> bool:
        """Whether there is a usable reading."""
        sensors = self._sensors.get((kind, element_id, quantity), [])
        latest = ((sensor, self._request.latest.get(sensor.sensor_id)) for sensor in sensors)
        return any(reading is not None and self._is_fresh(sensor, reading) for sensor, reading in latest)

    def newest(self, kind: ElementType, element_id: str, quantity: Quantity) -> Reading | None:
        """Return the newest reading that is not stale and not from the future."""
        usable = []
        for sensor in self._sensors.get((kind, element_id, quantity), []):
            reading = self._request.latest.get(sensor.sensor_id)
            if reading is None:
                continue
            if self._is_fresh(sensor, reading):
                usable.append(reading)
            else:
                self.basis.append(
                    f"{quantity} of {element_id} ({sensor.sensor_id}): not used, its last value is of "
                    f"{format_time(reading.observed_at)}"
                )
        return max(usable, key=lambda reading: reading.observed_at, default=None)

    def _is_fresh(self, sensor: Sensor, reading: Reading) -> bool:
        age = self._request.issued_at - reading.observed_at
        return timedelta(0) <= age <= timedelta(seconds=STALE_AFTER_PERIODS * sensor.expected_every_s)


def _measured_level(reader: _Reader, tank: TankFacts) -> float | None:
    for quantity in _TELL_LEVEL:
        offset_m = tank.elevation_m if quantity is Quantity.HEAD else 0.0
        reading = reader.newest(ElementType.NODE, tank.tank_id, quantity)
        if reading is None:
            continue
        level_m, slack_m = reading.value - offset_m, _BEYOND_TANK * (tank.max_level_m - tank.min_level_m)
        when = format_time(reading.observed_at)
        if not tank.min_level_m - slack_m <= level_m <= tank.max_level_m + slack_m:
            reader.basis.append(f"tank {tank.tank_id}: {level_m:.2f} m of {when} lies outside the tank, not used")
            continue
        inside_m = min(max(level_m, tank.min_level_m), tank.max_level_m)
        clipped = "" if inside_m == level_m else f" (measured {level_m:.2f} m, held within the tank)"
        reader.basis.append(f"tank {tank.tank_id}: level {inside_m:.2f} m observed {when}{clipped}")
        return inside_m
    return None


def _held_level(reader: _Reader, tank: TankFacts) -> float | None:
    """Return the last measured level if it is not older than `HELD_FOR`: nearer to the truth than the model's file."""
    for quantity in _TELL_LEVEL:
        reading = reader.last(ElementType.NODE, tank.tank_id, quantity)
        if reading is None or reader.age(reading) > HELD_FOR:
            continue
        level_m = reading.value - (tank.elevation_m if quantity is Quantity.HEAD else 0.0)
        if tank.min_level_m <= level_m <= tank.max_level_m:
            when = format_time(reading.observed_at)
            reader.basis.append(f"tank {tank.tank_id}: no fresh level, {level_m:.2f} m of {when} is held (assumed)")
            return level_m
    return None


def _level_before(readings: Sequence[Reading], before: timedelta) -> float:
    """Return the level so long before the newest reading, on the straight line between the readings around it."""
    moments = [(reading.observed_at - readings[-1].observed_at).total_seconds() for reading in readings]
    return float(np.interp(-before.total_seconds(), moments, [reading.value for reading in readings]))


class _LinkJudge:
    """Decides for each measured link whether it starts open, starts closed, or has failed."""

    def __init__(
        self,
        request: SupplyRequest,
        facts: ModelFacts,
        measured_level_m: Mapping[str, float],
        model_time_s: int,
        unseen_tanks: frozenset[str],
    ) -> None:
        self._request = request
        self._facts = facts
        self._level_m = measured_level_m
        self._time_s = model_time_s
        self._unseen_tanks = unseen_tanks
        self._controls: dict[str, list[Control]] = defaultdict(list)
        for control in facts.controls:
            self._controls[control.link_id].append(control)
        self._cycle_s = timer_cycle_s(facts.controls)
        self.initially_open: dict[str, bool] = {}
        self.held_closed: list[HeldClosed] = []
        self.measured: list[str] = []
        self.assumed: list[str] = []
        self.rests: list[StateRest] = []
        self.basis: list[str] = []

    def judge(self, reader: _Reader, position: int, link_id: str) -> None:
        """Note what becomes of one link, and what that rests on."""
        measured = len(self.measured)
        self._judge(reader, position, link_id)
        follows = bool(self._controls[link_id]) or link_id in self._facts.ruled_links
        is_pipe = self._facts.link_types[position] in (LinkType.PIPE, LinkType.CVPIPE)
        if len(self.measured) > measured:
            self.rests.append(StateRest("status", link_id, StateRung.MEASURED))
        elif follows or not is_pipe:
            self.rests.append(StateRest("status", link_id, StateRung.CONTROL if follows else StateRung.MODEL))

    def _judge(self, reader: _Reader, position: int, link_id: str) -> None:
        is_pump = self._facts.link_types[position] is LinkType.PUMP
        is_open = self._measured_open(reader, link_id, is_pump)
        timed = time_call(self._controls[link_id], self._time_s, self._facts.clock.start_clock_s, self._cycle_s)
        kind = "pump" if is_pump else "link"
        if is_open is None:
            if self._is_unseen(reader, position, link_id):
                self.assumed.append(link_id)
                self.basis.append(f"{kind} {link_id}: its sensors say nothing now, left to its control (assumed)")
            if timed is not None:
                self.initially_open[link_id] = timed.opens
            return
        self.measured.append(link_id)
        self.basis.append(f"{kind} {link_id}: measured {'open' if is_open else 'closed'}")
        call = self._call(link_id, timed, position)
        if is_open:
            if call is not None and not call.opens:
                self.basis.append(f"{kind} {link_id} is open although {call.because}: left to its control")
            self.initially_open[link_id] = True
        elif call is not None and call.opens and self._has_lasted(call, link_id):
            self._hold(link_id, is_pump, call)
        else:
            self.initially_open[link_id] = False
            if link_id in self._facts.ruled_links:
                self.basis.append(f"{kind} {link_id} is closed; its rules may open it (rules are not judged)")
            unseen = sorted({control.node_id for control in self._controls[link_id]} & self._unseen_tanks)
            if unseen:
                self.assumed.append(link_id)
                self.basis.append(
                    f"{kind} {link_id}: at rest or failed? {', '.join(unseen)} is unseen (assumed at rest)"
                )

    def _is_unseen(self, reader: _Reader, position: int, link_id: str) -> bool:
        """Whether a link without a known state has a sensor that ought to tell it: of status, or of a pump's or
        valve's flow while that is silent too.
        """
        if reader.has_sensor(ElementType.LINK, link_id, Quantity.STATUS):
            return True
        is_pipe = self._facts.link_types[position] in (LinkType.PIPE, LinkType.CVPIPE)
        metered = reader.has_sensor(ElementType.LINK, link_id, Quantity.FLOW)
        return metered and not is_pipe and not reader.has_fresh(ElementType.LINK, link_id, Quantity.FLOW)

    def _call(self, link_id: str, timed: Call | None, position: int) -> Call | None:
        controls = self._controls[link_id]
        call = level_call(controls, self._level_m) or timed
        if call is None and not controls and link_id not in self._facts.ruled_links:
            opens = bool(self._facts.initially_open[position])
            return Call(opens, f"the model has it {'open' if opens else 'closed'} without any control")
        return call

    def _has_lasted(self, call: Call, link_id: str) -> bool:
        """Whether the level has called for as long as a pump may take to follow (levels drawn straight between)."""
        if not call.tank_id:
            return True
        for sensor in sensors_at(self._request, ElementType.NODE, call.tank_id, Quantity.LEVEL):
            readings = series_of(self._request, sensor.sensor_id)
            if len(readings) >= 2:
                before = level_call(self._controls[link_id], {call.tank_id: _level_before(readings, TIME_TO_FOLLOW)})
                return before is not None and before.opens
        return True

    def _hold(self, link_id: str, is_pump: bool, call: Call) -> None:
        if is_pump:
            held = HeldClosed(link_id, f"pump_down:{link_id}", f"pump {link_id} stands still although {call.because}")
        else:
            held = HeldClosed(link_id, f"closed:{link_id}", f"{link_id} is closed although {call.because}")
        self.held_closed.append(held)
        self.basis.append(f"{held.words}: held closed in the look-ahead")

    def _measured_open(self, reader: _Reader, link_id: str, is_pump: bool) -> bool | None:
        status = reader.newest(ElementType.LINK, link_id, Quantity.STATUS)
        flow = reader.newest(ElementType.LINK, link_id, Quantity.FLOW)
        if status is None:
            return abs(flow.value) > NO_FLOW_M3S if is_pump and flow is not None else None
        if flow is not None and status.value < 0.5 and abs(flow.value) > NO_FLOW_M3S:
            self.basis.append(
                f"{link_id}: status says closed, but {abs(flow.value) * 1000:.1f} L/s flow: taken as open"
            )
            return True
        if flow is not None and is_pump and status.value >= 0.5 and abs(flow.value) <= NO_FLOW_M3S:
            self.basis.append(f"pump {link_id}: status says running, but nothing flows")
        return status.value >= 0.5


def _groups(network: Network, facts: ModelFacts) -> tuple[tuple[str, ...], Integers]:
    districts = tuple(dict.fromkeys(network.district_of_node[node_id] for node_id in facts.node_ids))
    number = {district: position for position, district in enumerate(districts)}
    groups = np.array([number[network.district_of_node[node_id]] for node_id in facts.node_ids], dtype=np.int64)
    return districts, groups


def _forecast(
    request: SupplyRequest,
    network: Network,
    facts: ModelFacts,
    districts: tuple[str, ...],
    group_of_node: Integers,
    model_time_s: int,
) -> tuple[tuple[DemandForecast, ...], tuple[Spread, ...]]:
    """Return each district's demand, and how far that may lie off if members are asked for."""
    observed = observe_demand(request, network, facts)
    hours = -(-request.horizon_s // 3600) + 1
    begin_s = model_time_s - observed.hours * 3600
    modelled = facts.demand_of_patterns_m3s(group_of_node, len(districts), begin_s, observed.hours + hours)
    past, ahead = modelled[:, : observed.hours], modelled[:, observed.hours :]
    network_scale = _network_scale(observed, districts, past)
    unknown = np.full(observed.hours, np.nan)
    with_tanks = {network.district_of_node[tank_id] for tank_id in facts.tanks}
    forecasts, spreads = [], []
    for position, district in enumerate(districts):
        seen = observed.by_district.get(district, unknown)
        series = seen, past[position], ahead[position]
        forecast = forecast_demand(district, *series, network_scale=network_scale)
        if request.members:
            spreads.append(spread_of(forecast, seen, past[position], network_scale=network_scale))
        if district not in with_tanks:
            forecast = brought_up_to_date(forecast, *series, network_scale=network_scale)
        forecasts.append(forecast)
    return tuple(forecasts), tuple(spreads)


def _network_scale(observed: ObservedDemand, districts: tuple[str, ...], past: Floats) -> float | None:
    balanced = np.array([district in observed.network_districts for district in districts])
    modelled: Floats = past[balanced].sum(axis=0)
    return observed_scale(observed.network_m3s, modelled)


_WORDS = {
    DemandBasis.WEEKLY: "forecast from the same hours of past weeks",
    DemandBasis.DAILY: "forecast from yesterday and the model's patterns",
    DemandBasis.SCALED: "the model's patterns at the observed scale",
    DemandBasis.NETWORK: "the model's patterns at the scale of the whole network",
    DemandBasis.MODEL: "the model's patterns as they are (no balance could be made)",
}


_RUNGS = {
    DemandBasis.WEEKLY: StateRung.HISTORY,
    DemandBasis.DAILY: StateRung.HISTORY,
    DemandBasis.SCALED: StateRung.SCALED,
    DemandBasis.NETWORK: StateRung.NETWORK,
    DemandBasis.MODEL: StateRung.MODEL,
}


def _demand_rests(demand: tuple[DemandForecast, ...]) -> list[StateRest]:
    return [StateRest("demand", one.district, _RUNGS[one.basis]) for one in demand if one.demand_m3s.any()]


def _demand_words(demand: tuple[DemandForecast, ...]) -> list[str]:
    words = []
    for forecast in demand:
        if not forecast.demand_m3s.any():
            continue
        clipped = f", {forecast.clipped_hours} h held within limits" if forecast.clipped_hours else ""
        if forecast.scale in (LOWEST_SCALE, HIGHEST_SCALE):
            clipped += ", the observed scale is held at its limit"
        mean = float(forecast.multiplier.mean())
        words.append(f"demand of {forecast.district}: {_WORDS[forecast.basis]} ({mean:.2f} of the model's{clipped})")
    return words
