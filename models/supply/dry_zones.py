"""Zones without any source, while a run goes on.

EPANET does not converge on a zone with demand and no source: its heads fall without end, and the whole solution stays
unbalanced, just when the answer matters most. So what such a zone wants is taken out of the equations for as long as
it is cut off, and counted as wanted and not delivered. What is left has no head of its own, and its equations may be
singular: an emitter at one consumer of each zone, from which nothing flows, ties it to the ground.

EPANET also times the emptying of a tank to whole seconds, and may then draw for one more step from what is left for
less than a second. Such a tank is set to its lowest level, from which EPANET draws nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from models.supply.connectivity import Booleans, SourceGraph
from models.supply.epanet import NodeValue, Option, TimeValue
from models.supply.facts import Floats, Integers, ModelFacts, TankFacts
from models.supply.open_supply import Setup

_ROUNDING_S = 2.0
_A_LITTLE_M = 0.01
_NOTHING = "h2twin-nothing"
_TIE = 1e-3


@dataclass(frozen=True, slots=True)
class _Tanks:
    """Where each tank stands among the nodes, and what it is like just above its lowest level."""

    column: Integers
    lowest_level_m: Floats
    lowest_head_m: Floats
    lowest_area_m2: Floats


@lru_cache(maxsize=8)
def _tanks_of(facts: ModelFacts) -> _Tanks:
    """Return the tanks of a model, worked out once."""
    columns = {node_id: column for column, node_id in enumerate(facts.node_ids)}
    tanks = facts.tanks.values()
    lowest = np.array([tank.min_level_m for tank in tanks])
    return _Tanks(
        column=np.array([columns[tank.tank_id] for tank in tanks], dtype=np.int64),
        lowest_level_m=lowest,
        lowest_head_m=lowest + np.array([tank.elevation_m for tank in tanks]),
        lowest_area_m2=np.array([_area_above_m2(tank) for tank in tanks]),
    )


def _area_above_m2(tank: TankFacts) -> float:
    """Return a tank's area just above its lowest level."""
    low_m = tank.min_level_m
    return float(tank.volume_m3(low_m + _A_LITTLE_M) - tank.volume_m3(low_m)) / _A_LITTLE_M


class DryZones:
    """Finds, solution by solution, the consumers without a source, and leaves exactly them out of the equations.

    `left_out` says which nodes these are at present.
    """

    def __init__(self, setup: Setup, graph: SourceGraph) -> None:
        project, facts = setup.project, setup.facts
        self._setup, self._project = setup, project
        self._graph = graph
        self._nothing = 0
        self._tied: set[int] = set()
        self._leaky = project.node_values(NodeValue.EMITTER) > 0
        self._length_m = project.units.length_m
        self._consumers = np.zeros(project.node_count, dtype=np.bool_)
        self._consumers[facts.demands.node[facts.demands.consumes]] = True
        self._consumers[setup.more_consumers] = True
        self.left_out = np.zeros(project.node_count, dtype=np.bool_)
        self._seen: tuple[Booleans, Floats] | None = None
        self._tanks = _tanks_of(facts)
        self._categories: dict[int, list[int]] = {}
        self._patterns: dict[int, Floats] = {}

    def settle(self, status: Floats, head: Floats, demand: Floats, full: Floats) -> bool:
        """Return whether the present solution, given by its values, had to be changed and was solved again."""
        if self._empty_what_is_left(head, demand):
            self._project.solve_again()
            return True
        cut_off = self._cut_off(status, head, full)
        if np.array_equal(cut_off, self.left_out):
            return False
        for node in np.flatnonzero(cut_off & ~self.left_out):
            self._leave_out(int(node))
        for node in np.flatnonzero(self.left_out & ~cut_off):
            self._take_in(int(node))
        self.left_out = cut_off
        self._tie_down(cut_off, status > 0)
        self._project.solve_again()
        return True

    def add_wanted(self, now_s: int, full: Floats) -> None:
        """Write into `full`, as EPANET has it at `now_s`, what the consumers left out want."""
        if not self._categories:
            return
        period = (now_s + self._project.time(TimeValue.PATTERN_START)) // self._project.time(TimeValue.PATTERN_STEP)
        multiplier = self._project.option(Option.DEMAND_MULTIPLIER)
        for node, categories in self._categories.items():
            full[node] = multiplier * sum(
                self._project.base_demand(node + 1, category) * self._pattern_value(pattern, period)
                for category, pattern in enumerate(categories, start=1)
            )

    def take_all_in(self) -> None:
        """Put back into the project what was taken out of it."""
        for node in list(self._categories):
            self._take_in(node)
        self._tie_down(np.zeros_like(self.left_out), np.zeros(self._project.link_count, dtype=np.bool_))

    def _empty_what_is_left(self, head: Floats, demand: Floats) -> bool:
        """Set tanks that will be empty within the engine's rounding of time to empty; return whether there were."""
        tanks = self._tanks
        left_m3 = (head[tanks.column] * self._length_m - tanks.lowest_head_m) * tanks.lowest_area_m2
        drawn_m3 = -demand[tanks.column] * self._project.units.flow_m3s * _ROUNDING_S
        emptied = np.flatnonzero((drawn_m3 > 0) & (left_m3 < drawn_m3))
        for number in emptied:
            level = tanks.lowest_level_m[number] / self._length_m
            self._setup.set_level(int(tanks.column[number]) + 1, level)
        return len(emptied) > 0

    def _cut_off(self, status: Floats, head: Floats, full: Floats) -> Booleans:
        sources = self._graph.sources(head * self._length_m, full < 0)
        if self._seen is not None and all(map(np.array_equal, self._seen, (sources, status))):
            return self.left_out
        self._seen = sources, status.copy()
        cut_off: Booleans = ~self._graph.reached_from(sources, status > 0) & self._consumers
        return cut_off

    def _leave_out(self, node: int) -> None:
        self._nothing = self._nothing or self._setup.add_pattern(_NOTHING, [0.0])
        self._categories[node] = [pattern for _, pattern in self._project.demands(node + 1)]
        for category in range(1, len(self._categories[node]) + 1):
            self._project.set_demand_pattern(node + 1, category, self._nothing)

    def _take_in(self, node: int) -> None:
        for category, pattern in enumerate(self._categories.pop(node), start=1):
            self._project.set_demand_pattern(node + 1, category, pattern)

    def _tie_down(self, cut_off: Booleans, is_open: Booleans) -> None:
        """Have an emitter at the first consumer of each zone that is cut off, and nowhere else."""
        nodes = np.flatnonzero(cut_off & ~self._leaky)
        first = np.unique(self._graph.zones(is_open)[nodes], return_index=True)[1] if len(nodes) else nodes
        wanted = {int(node) for node in nodes[first]}
        for node in self._tied ^ wanted:
            self._project.set_node(node + 1, NodeValue.EMITTER, _TIE if node in wanted else 0.0)
        self._tied = wanted

    def _pattern_value(self, pattern: int, period: int) -> float:
        if not pattern:
            return 1.0
        if pattern not in self._patterns:
            self._patterns[pattern] = self._project.pattern(pattern)
        values = self._patterns[pattern]
        return float(values[period % len(values)])
