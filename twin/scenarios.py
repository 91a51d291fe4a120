"""What-if: what could be done to the supply network, or happen to it, in the hours ahead.

A scenario is a list of actions, each from one moment to another, so that sequences in time need nothing else. What is
closed by one action stays closed whatever another would open.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from twin.errors import InputError

LONGEST_H = 24 * 14
MOST_ACTIONS = 100
_MINUTE_S = 60
_HOUR_S = 3600


class ActionKind(StrEnum):
    """What an action does to its elements."""

    CLOSE = "close"
    OPEN = "open"
    PUMP_TRIP = "pump_trip"
    POWER_CUT = "power_cut"
    TANK_OUT = "tank_out"
    FIRE_FLOW = "fire_flow"
    DEMAND_SURGE = "demand_surge"
    BURST = "burst"


@dataclass(frozen=True, slots=True)
class Action:
    """One thing that is done, or happens, from `from_s` to `until_s` (None: to the end) of the scenario's time.

    `elements` are links (close, open), pumps (pump_trip), one pump of a station (power_cut), tanks (tank_out), a node
    (fire_flow, burst) or nodes (demand_surge; none: all). `amount` is a flow in m3/s (fire_flow), a factor
    (demand_surge) or an area in m2 (burst).
    """

    kind: ActionKind
    elements: tuple[str, ...]
    from_s: int = 0
    until_s: int | None = None
    amount: float = 0.0


@dataclass(frozen=True, slots=True)
class Scenario:
    """Actions and for how long to look; consumers get all they want from `required_pressure_m` on."""

    name: str
    actions: tuple[Action, ...]
    duration_s: int = 24 * _HOUR_S
    required_pressure_m: float = 10.0

    @property
    def base(self) -> Scenario:
        """The run to compare with: the same without any action."""
        return Scenario("base", (), self.duration_s, self.required_pressure_m)


_LIST_OF = {
    ActionKind.CLOSE: "links",
    ActionKind.OPEN: "links",
    ActionKind.PUMP_TRIP: "pumps",
    ActionKind.TANK_OUT: "tanks",
}
_ONE = {ActionKind.POWER_CUT: "station", ActionKind.FIRE_FLOW: "node", ActionKind.BURST: "node"}
_TIMES = ("kind", "from_h", "until_h")


def parse_scenario(words: Any) -> Scenario:
    """Read a scenario as people and programs write it: `{name, actions: [{kind, ...}], hours, required_pressure_m}`.

    Raises:
        InputError: Naming the place of what is not understood.
    """
    fields = _Fields("scenario", words)
    fields.only("name", "actions", "hours", "required_pressure_m")
    hours = fields.number("hours", 24.0, least=1 / 60, most=LONGEST_H)
    scenario_s = _seconds("scenario.hours", hours)
    actions = fields.words.get("actions", [])
    if not isinstance(actions, list) or len(actions) > MOST_ACTIONS:
        raise InputError(f"scenario.actions must be a list of at most {MOST_ACTIONS} actions")
    return Scenario(
        fields.text("name"),
        tuple(_action(f"actions[{k}]", words, scenario_s) for k, words in enumerate(actions)),
        scenario_s,
        fields.number("required_pressure_m", 10.0, least=0.1, most=1000.0),
    )


def _action(place: str, words: Any, scenario_s: int) -> Action:
    fields = _Fields(place, words)
    try:
        kind = ActionKind(fields.text("kind"))
    except ValueError:
        raise InputError(f"{place}.kind must be one of {', '.join(ActionKind)}") from None
    from_s = _seconds(f"{place}.from_h", fields.number("from_h", 0.0, least=0.0, most=LONGEST_H))
    until_h = fields.number("until_h", math.nan, least=0.0, most=LONGEST_H)
    until_s = None if math.isnan(until_h) else _seconds(f"{place}.until_h", until_h)
    if from_s >= (scenario_s if until_s is None else min(until_s, scenario_s)):
        raise InputError(f"{place} must begin before it ends, and before the scenario does")
    if kind in _LIST_OF:
        fields.only(*_TIMES, _LIST_OF[kind])
        return Action(kind, fields.names(_LIST_OF[kind]), from_s, until_s)
    if kind is ActionKind.DEMAND_SURGE:
        fields.only(*_TIMES, "factor", "nodes")
        nodes = fields.names("nodes") if "nodes" in fields.words else ()
        return Action(kind, nodes, from_s, until_s, fields.number("factor", None, least=0.0, most=100.0))
    elements = (fields.text(_ONE[kind]),)
    if kind is ActionKind.POWER_CUT:
        fields.only(*_TIMES, "station")
        return Action(kind, elements, from_s, until_s)
    if kind is ActionKind.FIRE_FLOW:
        fields.only(*_TIMES, "node", "flow_m3s")
        return Action(kind, elements, from_s, until_s, fields.number("flow_m3s", None, least=0.0, most=10.0))
    fields.only(*_TIMES, "node", "diameter_mm", "area_m2")
    return Action(kind, elements, from_s, until_s, _hole_m2(fields))


def _hole_m2(fields: _Fields) -> float:
    if ("diameter_mm" in fields.words) == ("area_m2" in fields.words):
        raise InputError(f"{fields.place}: give the size of the burst either as diameter_mm or as area_m2")
    if "area_m2" in fields.words:
        return fields.number("area_m2", None, least=0.0, most=10.0)
    return math.pi / 4 * (fields.number("diameter_mm", None, least=0.0, most=3000.0) / 1000) ** 2


def _seconds(place: str, hours: float) -> int:
    minutes = hours * 60
    if abs(minutes - round(minutes)) > 1e-6:
        raise InputError(f"{place} must be whole minutes, in hours; {hours:g} h is not")
    return round(minutes) * _MINUTE_S


@dataclass(frozen=True, slots=True)
class _Fields:
    """The fields of one object, with its place for complaints."""

    place: str
    words: Mapping[str, Any]

    def __post_init__(self) -> None:
        if not isinstance(self.words, Mapping):
            raise InputError(f"{self.place} must be an object")

    def only(self, *known: str) -> None:
        if unknown := [name for name in self.words if name not in known]:
            raise InputError(f"{self.place} has an unknown field {unknown[0]!r}; known are {', '.join(known)}")

    def text(self, name: str) -> str:
        value = self.words.get(name)
        if not isinstance(value, str) or not value.strip() or len(value) > 200:
            raise InputError(f"{self.place}.{name} must be a text of at most 200 characters")
        return value.strip()

    def names(self, name: str) -> tuple[str, ...]:
        value = self.words.get(name)
        if not isinstance(value, list) or not value or not all(isinstance(v, str) and v.strip() for v in value):
            raise InputError(f"{self.place}.{name} must be a list of ids")
        return tuple(dict.fromkeys(v.strip() for v in value))

    def number(self, name: str, default: float | None, *, least: float, most: float) -> float:
        value = self.words.get(name, default)
        if value is None and default is not None:
            return default
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise InputError(f"{self.place}.{name} must be a number")
        if not math.isnan(value) and not least <= value <= most:
            raise InputError(f"{self.place}.{name} must be from {least:g} to {most:g}, not {value:g}")
        if math.isnan(value) and name in self.words:
            raise InputError(f"{self.place}.{name} must be a number")
        return float(value)
