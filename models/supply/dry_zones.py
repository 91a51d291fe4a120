"""Zones without any source, while a run goes on.

EPANET does not converge on a zone with demand and no source: its heads fall without end, and the whole solution stays
unbalanced, just when the answer matters most. So what such a zone wants is taken out of the equations for as long as
it is cut off, and counted as wanted and not delivered.

EPANET also times the emptying of a tank to whole seconds, and may then draw for one more step from what is left for
less than a second. Such a tank is set to its lowest level, from which EPANET draws nothing.
"""

from __future__ import annotations

import numpy as np

from models.supply.connectivity import Booleans, SourceGraph
from models.supply.epanet import LinkValue, NodeValue, Option, Project, TimeValue
from models.supply.facts import Floats, ModelFacts

_PASSES = 8
_ROUNDING_S = 2.0


class DryZones:
    """Solves each step of a run again until the consumers left out are exactly those without a source."""

    def __init__(self, project: Project, facts: ModelFacts) -> None:
        self._project = project
        self._graph = SourceGraph(facts)
        self._length_m = project.units.length_m
        self._consumers = np.zeros(project.node_count, dtype=np.bool_)
        self._consumers[facts.demands.node[facts.demands.consumes]] = True
        self._left_out = np.zeros(project.node_count, dtype=np.bool_)
        self._lowest = {
            facts.node_ids.index(tank_id): (
                tank.min_level_m / self._length_m,
                float(tank.volume_m3(tank.min_level_m)) / project.units.volume_m3,
            )
            for tank_id, tank in facts.tanks.items()
        }
        self._volume_per_flow_second = project.units.flow_m3s / project.units.volume_m3
        self._bases: dict[int, list[tuple[float, int]]] = {}
        self._patterns: dict[int, Floats] = {}

    def settle(self) -> None:
        """Solve the present step again as often as the left out and the cut off differ."""
        if self._empty_what_is_left():
            self._project.solve_again()
        for _ in range(_PASSES):
            cut_off = self._cut_off()
            if np.array_equal(cut_off, self._left_out):
                return
            for node in np.flatnonzero(cut_off & ~self._left_out):
                self._leave_out(int(node))
            for node in np.flatnonzero(self._left_out & ~cut_off):
                self._take_in(int(node))
            self._left_out = cut_off
            self._project.solve_again()

    def wanted(self, now_s: int, full: Floats) -> Floats:
        """Return what consumers want, those left out included, in the engine's units."""
        if not self._left_out.any():
            return full
        step_s = self._project.time(TimeValue.PATTERN_STEP)
        period = (now_s + self._project.time(TimeValue.PATTERN_START)) // step_s
        multiplier = self._project.option(Option.DEMAND_MULTIPLIER)
        wanted = full.copy()
        for node in np.flatnonzero(self._left_out):
            wanted[node] = multiplier * sum(
                base * self._pattern_value(pattern, period) for base, pattern in self._bases[int(node)]
            )
        return wanted

    def _empty_what_is_left(self) -> bool:
        """Set tanks that will be empty within the engine's rounding of time to empty; return whether there were."""
        volume, inflow = (self._project.node_values(what) for what in (NodeValue.TANK_VOLUME, NodeValue.DEMAND))
        found = False
        for node, (lowest_level, lowest_volume) in self._lowest.items():
            drawn = -inflow[node] * self._volume_per_flow_second * _ROUNDING_S
            if drawn > 0 and volume[node] - lowest_volume < drawn:
                self._project.set_node(node + 1, NodeValue.INITIAL_LEVEL, lowest_level)
                found = True
        return found

    def _cut_off(self) -> Booleans:
        is_open = self._project.link_values(LinkValue.STATUS) > 0
        head_m = self._project.node_values(NodeValue.HEAD) * self._length_m
        is_inflow = self._project.node_values(NodeValue.FULL_DEMAND) < 0
        cut_off: Booleans = ~self._graph.with_source(is_open, head_m, is_inflow) & self._consumers
        return cut_off

    def _leave_out(self, node: int) -> None:
        self._bases[node] = self._project.demands(node + 1)
        for category in range(1, len(self._bases[node]) + 1):
            self._project.set_base_demand(node + 1, category, 0.0)

    def _take_in(self, node: int) -> None:
        for category, (base, _) in enumerate(self._bases.pop(node), start=1):
            self._project.set_base_demand(node + 1, category, base)

    def _pattern_value(self, pattern: int, period: int) -> float:
        if not pattern:
            return 1.0
        if pattern not in self._patterns:
            self._patterns[pattern] = self._project.pattern(pattern)
        values = self._patterns[pattern]
        return float(values[period % len(values)])
