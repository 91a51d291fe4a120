"""What the twin must know of a supply model to judge its state: plain values in SI, without an engine at hand.

A model's clock: its time 0 is Monday at the INP's START CLOCKTIME, local time. Daily patterns do not mind which day it
is, weekly ones (168 hours) then begin with Monday.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, tzinfo
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from models.supply.epanet import (
    ControlType,
    Count,
    LinkType,
    LinkValue,
    NodeType,
    NodeValue,
    Option,
    Project,
    QualityType,
    TimeValue,
)

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

DAY_S = 86_400
WEEK_S = 7 * DAY_S


@dataclass(frozen=True, slots=True)
class TankFacts:
    """A tank. `curve_level_m` and `curve_volume_m3` give its volume by level (a cylinder has two points)."""

    tank_id: str
    elevation_m: float
    initial_level_m: float
    min_level_m: float
    max_level_m: float
    curve_level_m: tuple[float, ...]
    curve_volume_m3: tuple[float, ...]

    def volume_m3(self, level_m: Floats | float) -> Floats:
        """Return the volume at a level (or at each of an array); beyond its ends the curve is continued."""
        levels, volumes = np.array(self.curve_level_m), np.array(self.curve_volume_m3)
        level = np.asarray(level_m, dtype=np.float64)
        piece = np.clip(np.searchsorted(levels, level) - 1, 0, len(levels) - 2)
        slopes = np.diff(volumes) / np.diff(levels)
        volume: Floats = volumes[piece] + slopes[piece] * (level - levels[piece])
        return volume


class ControlKind(StrEnum):
    """What a simple control looks at."""

    BELOW = "below"
    ABOVE = "above"
    AT_TIME = "at_time"
    AT_CLOCKTIME = "at_clocktime"


@dataclass(frozen=True, slots=True)
class Control:
    """A simple control: it opens or closes `link_id` when `node_id`'s level (m; pressure at a junction) passes
    `level_m`, or at `at_s` seconds of the model's time or of the day. `number` is EPANET's index.
    """

    number: int
    kind: ControlKind
    link_id: str
    opens: bool
    setting: float
    node_id: str = ""
    level_m: float = 0.0
    at_s: int = 0


@dataclass(frozen=True, slots=True)
class Clock:
    """The model's times in seconds: its duration and steps, where its patterns start, its clock at time 0."""

    duration_s: int
    hydraulic_step_s: int
    pattern_step_s: int
    pattern_start_s: int
    start_clock_s: int


@dataclass(frozen=True, slots=True)
class Demands:
    """Every demand category: the junction's position among the nodes, base demand (with the multiplier of the
    options) and pattern (0: none). `patterns[p]` holds the multipliers of pattern p.
    """

    node: Integers
    category: Integers
    base_m3s: Floats
    pattern: Integers
    patterns: Mapping[int, Floats]

    @property
    def consumes(self) -> NDArray[np.bool_]:
        """Which categories are consumers; negative base demands are inflows."""
        return self.base_m3s > 0


@dataclass(frozen=True, slots=True)
class WaterQuality:
    """What of the water the model follows: its age in hours, or a chemical in a unit of the model's own."""

    is_age: bool
    parameter: str
    unit: str


@dataclass(frozen=True, slots=True, eq=False)
class ModelFacts:
    """A supply model in SI, in the engine's order of nodes and links. Equal to itself alone: what is derived from it
    can be kept by it.
    """

    engine: str
    node_ids: tuple[str, ...]
    node_types: tuple[NodeType, ...]
    link_ids: tuple[str, ...]
    link_types: tuple[LinkType, ...]
    link_start: Integers
    link_end: Integers
    initially_open: NDArray[np.bool_]
    elevation_m: Floats
    tanks: Mapping[str, TankFacts]
    controls: tuple[Control, ...]
    ruled_links: frozenset[str]
    clock: Clock
    demands: Demands
    water: WaterQuality | None = None

    def demand_of_patterns_m3s(self, group_of_node: Integers, groups: int, start_s: int, steps: int) -> Floats:
        """Return consumer demand per group of nodes and hour as the model's own patterns have it (groups, steps).

        Hour i is the mean over [start_s + i * 3600, start_s + (i + 1) * 3600), in seconds of model time.
        """
        demand = np.zeros((groups, steps))
        for number in np.unique(self.demands.pattern):
            of_pattern = (self.demands.pattern == number) & self.demands.consumes
            base = np.zeros(groups)
            np.add.at(base, group_of_node[self.demands.node[of_pattern]], self.demands.base_m3s[of_pattern])
            demand += base[:, None] * self.pattern_means(int(number), start_s, steps, 3600)[None, :]
        return demand

    def model_time_s(self, moment: datetime, zone: tzinfo) -> int:
        """Return the model's time at a moment: seconds since Monday at the model's start clock, below one week."""
        local = moment.astimezone(zone)
        of_day = local.hour * 3600 + local.minute * 60 + local.second
        return (local.weekday() * DAY_S + of_day - self.clock.start_clock_s) % WEEK_S

    def pattern_means(self, number: int, start_s: int, steps: int, step_s: int) -> Floats:
        """Return the means of a pattern over steps, from model time `start_s` on."""
        values = self.demands.patterns.get(number, np.ones(1))
        offset, period = start_s + self.clock.pattern_start_s, self.clock.pattern_step_s
        minutes = np.arange(steps * step_s // 60) * 60 + offset
        sampled = values[(minutes // period) % len(values)]
        means: Floats = sampled.reshape(steps, -1).mean(axis=1)
        return means


def read_facts(project: Project, engine: str) -> ModelFacts:
    """Read the facts of an opened project."""
    units = project.units
    node_ids, node_types, link_ids = project.node_ids(), project.node_types(), project.link_ids()
    start, end = project.link_ends()
    link_types = project.link_types()
    rules = range(1, project.count(Count.RULES) + 1)
    return ModelFacts(
        engine=engine,
        node_ids=tuple(node_ids),
        node_types=tuple(node_types),
        link_ids=tuple(link_ids),
        link_types=tuple(link_types),
        link_start=start,
        link_end=end,
        initially_open=project.link_values(LinkValue.INITIAL_STATUS) > 0,
        elevation_m=project.node_values(NodeValue.ELEVATION) * units.length_m,
        tanks={
            node_id: _tank(project, index + 1, node_id)
            for index, (node_id, kind) in enumerate(zip(node_ids, node_types, strict=True))
            if kind is NodeType.TANK
        },
        controls=tuple(
            _control(project, number + 1, node_ids, link_ids) for number in range(project.count(Count.CONTROLS))
        ),
        ruled_links=frozenset(link_ids[link - 1] for rule in rules for link in project.links_of_rule(rule)),
        clock=Clock(
            duration_s=project.time(TimeValue.DURATION),
            hydraulic_step_s=project.time(TimeValue.HYDRAULIC_STEP),
            pattern_step_s=project.time(TimeValue.PATTERN_STEP),
            pattern_start_s=project.time(TimeValue.PATTERN_START),
            start_clock_s=project.time(TimeValue.START_CLOCK),
        ),
        demands=_demands(project, node_types),
        water=_water(project),
    )


def _water(project: Project) -> WaterQuality | None:
    kind, chemical, unit = project.quality()
    if kind is QualityType.AGE:
        return WaterQuality(True, "age", "h")
    return WaterQuality(False, chemical, unit) if kind is QualityType.CHEMICAL else None


def _tank(project: Project, node: int, tank_id: str) -> TankFacts:
    length, volume = project.units.length_m, project.units.volume_m3

    def value(what: NodeValue) -> float:
        return project.node_value(node, what)

    low, high = value(NodeValue.MINIMUM_LEVEL) * length, value(NodeValue.MAXIMUM_LEVEL) * length
    curve = int(value(NodeValue.VOLUME_CURVE))
    if curve:
        levels, volumes = project.curve(curve)
        points = tuple((levels * length).tolist()), tuple((volumes * volume).tolist())
    else:
        area_m2 = np.pi * (value(NodeValue.TANK_DIAMETER) * length) ** 2 / 4
        points = (
            (low, low + 1.0),
            (value(NodeValue.MINIMUM_VOLUME) * volume, value(NodeValue.MINIMUM_VOLUME) * volume + area_m2),
        )
    return TankFacts(
        tank_id=tank_id,
        elevation_m=value(NodeValue.ELEVATION) * length,
        initial_level_m=value(NodeValue.INITIAL_LEVEL) * length,
        min_level_m=low,
        max_level_m=high,
        curve_level_m=tuple(float(x) for x in points[0]),
        curve_volume_m3=tuple(float(x) for x in points[1]),
    )


_KINDS = {
    ControlType.BELOW: ControlKind.BELOW,
    ControlType.ABOVE: ControlKind.ABOVE,
    ControlType.TIMER: ControlKind.AT_TIME,
    ControlType.TIME_OF_DAY: ControlKind.AT_CLOCKTIME,
}


def _control(project: Project, number: int, node_ids: list[str], link_ids: list[str]) -> Control:
    kind, link, setting, node, level = project.control(number)
    looks_at_level = kind in (ControlType.BELOW, ControlType.ABOVE)
    return Control(
        number=number,
        kind=_KINDS[kind],
        link_id=link_ids[link - 1],
        opens=setting > 0,
        setting=setting,
        node_id=node_ids[node - 1] if looks_at_level else "",
        level_m=level * project.units.length_m if looks_at_level else 0.0,
        at_s=0 if looks_at_level else int(level),
    )


def _demands(project: Project, node_types: list[NodeType]) -> Demands:
    rows = [
        (position, category, base, pattern)
        for position, kind in enumerate(node_types)
        if kind is NodeType.JUNCTION
        for category, (base, pattern) in enumerate(project.demands(position + 1), start=1)
    ]
    multiplier = project.option(Option.DEMAND_MULTIPLIER) * project.units.flow_m3s
    pattern = np.array([row[3] for row in rows], dtype=np.int64)
    return Demands(
        node=np.array([row[0] for row in rows], dtype=np.int64),
        category=np.array([row[1] for row in rows], dtype=np.int64),
        base_m3s=np.array([row[2] for row in rows], dtype=np.float64) * multiplier,
        pattern=pattern,
        patterns={int(number): project.pattern(int(number)) for number in np.unique(pattern) if number > 0},
    )
