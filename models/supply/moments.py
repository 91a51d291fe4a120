"""A model held ready to be solved at one measured moment after the other, with a link flipped or a leak somewhere.

Solutions are driven by demand (what flows in is drawn somewhere), cold, and converged to 1e-4. Links whose status is
measured follow the measurement; the others are left to their controls.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from models.supply.connectivity import source_graph
from models.supply.epanet import DemandModel, LinkType, LinkValue, NodeType, NodeValue, Option, Project, TimeValue
from models.supply.facts import Floats, ModelFacts
from models.supply.open_supply import OpenSupply, Setup
from models.supply.units import EngineUnits
from models.supply.watch import Watch, pattern_at

_ACCURACY = 1e-4
_LEAST_TRIALS = 200
_EXTRA_TRIALS = 10
_ROOT = 0.5
_PIPES = (LinkType.PIPE, LinkType.CVPIPE)


@dataclass(frozen=True, slots=True)
class Leak:
    """Water lost at a node (its position): `per_root_m` times the root of the pressure there (m3/s per m^0.5)."""

    node: int
    per_root_m: float


NOTHING: Mapping[int, bool] = {}


class Moments:
    """Solves a watch's moments. Make one with `moments_of`; `facts` are the model's."""

    def __init__(self, setup: Setup, watched: Watch) -> None:
        self.facts: ModelFacts = setup.facts
        self.watched = watched
        self._setup, self._project = setup, setup.project
        self._settings = setup.project.link_values(LinkValue.INITIAL_SETTING)
        self._roughness = setup.project.link_values(LinkValue.ROUGHNESS)
        self._tanks = [(facts_position + 1, tank) for facts_position, tank in _tanks(setup.facts)]
        self._scale = watched.scale
        self._emitters = setup.project.node_values(NodeValue.EMITTER)
        self._made: list[tuple[int, int, int]] = []
        self._base: dict[int, Floats] = {}
        self._factor = np.ones(len(setup.facts.link_ids))
        self._share = np.ones(watched.demand_m3s.shape[1])
        self._prepare()

    def _prepare(self) -> None:
        setup, demands = self._setup, self.facts.demands
        if self._project.demand_model().is_pressure_driven:
            setup.is_spent = True
            self._project.set_demand_model(DemandModel(False, 0.0, 0.1, 0.5))
        setup.set_option(Option.UNBALANCED_TRIALS, _EXTRA_TRIALS)
        setup.set_option(Option.TRIALS, max(self._project.option(Option.TRIALS), _LEAST_TRIALS))
        setup.set_option(Option.ACCURACY, min(self._project.option(Option.ACCURACY), _ACCURACY))
        if not self._emitters.any():  # a leak is an orifice; the model's own emitters may not be
            setup.set_option(Option.EMITTER_EXPONENT, _ROOT)
        setup.set_time(TimeValue.DURATION, 0)
        setup.set_time(TimeValue.PATTERN_START, 0)
        made: dict[tuple[int, int], int] = {}
        for row in np.flatnonzero(demands.consumes):
            node, pattern = int(demands.node[row]), int(demands.pattern[row])
            pair = (int(self.watched.group_of_node[node]), pattern)
            if pair not in made:
                made[pair] = setup.add_pattern(f"h2twin-{len(made)}", [1.0])
            setup.set_demand_pattern(node + 1, int(demands.category[row]), made[pair])
        self._made = [(group, pattern, index) for (group, pattern), index in made.items()]
        for link in self.watched.is_open:
            setup.release(link + 1)

    @property
    def project(self) -> Project:
        """The project that is solved."""
        return self._project

    @property
    def units(self) -> EngineUnits:
        """The units of the project."""
        return self._project.units

    def set_factors(self, roughness: Floats, demand: Floats) -> None:
        """Multiply the roughness of each pipe, and the demand of each district, from the next solution on."""
        self._setup.is_spent = True
        self._share = demand
        self._base.clear()
        for link in np.flatnonzero(roughness != self._factor):
            if self.facts.link_types[link] in _PIPES:
                self._project.set_link(int(link) + 1, LinkValue.ROUGHNESS, self._roughness[link] * roughness[link])
        self._factor = roughness.copy()

    def solve(self, row: int, *, flipped: Mapping[int, bool] = NOTHING, leak: Leak | None = None) -> Floats:
        """Return what sensors should say at a moment (columns as in the watch): m, then m3/s.

        `flipped` says which links (positions) are open or closed whatever the model says. A leak in a balanced
        district is drawn in the place of its consumers' water, since what flows in is known.
        """
        self._solve(row, flipped, leak)
        return self._values()

    def leak_m3s(self, leak: Leak, row: int) -> float:
        """Return what a leak loses at a moment, by the pressure that its node has without it."""
        if row not in self._base:
            self._solve(row, NOTHING, None)
            head_m = self._project.node_values(NodeValue.HEAD) * self._project.units.length_m
            self._base[row] = np.maximum(head_m - self.facts.elevation_m, 0.0)
        return leak.per_root_m * float(np.sqrt(self._base[row][leak.node]))

    def flows_m3s(self, row: int) -> Floats:
        """Return the flow in every link at a moment."""
        self._solve(row, NOTHING, None)
        return self._project.link_values(LinkValue.FLOW) * self._project.units.flow_m3s

    def cuts_off(self, row: int, link: int) -> bool:
        """Whether closing a link leaves a consumer, or a sensor's node, without any source at a moment."""
        self._solve(row, NOTHING, None)
        project, facts = self._project, self.facts
        is_open = project.link_values(LinkValue.STATUS) > 0
        head_m = project.node_values(NodeValue.HEAD) * project.units.length_m
        inflow = project.node_values(NodeValue.DEMAND) < 0
        graph = source_graph(facts)
        before = graph.with_source(is_open, head_m, inflow)
        is_open[link] = False
        lost = before & ~graph.with_source(is_open, head_m, inflow)
        matters = np.zeros(len(lost), dtype=np.bool_)
        matters[facts.demands.node[facts.demands.consumes]] = True
        matters[self.watched.pressure_nodes] = True
        return bool((lost & matters).any())

    # ------------------------------------------------------------------------------------------------ one solution

    def _solve(self, row: int, flipped: Mapping[int, bool], leak: Leak | None) -> None:
        project, watched = self._project, self.watched
        clock_s = watched.model_time_s[row : row + 1]
        scale = self._scale[row] * self._share
        scale = scale if leak is None else self._without(scale, leak, row)
        for group, pattern, index in self._made:
            project.set_pattern(index, pattern_at(self.facts, pattern, clock_s) * scale[group])
        project.set_time(TimeValue.PATTERN_START, int(clock_s[0]) + self.facts.clock.pattern_start_s)
        for node, tank in self._tanks:
            self._setup_level(node, float(watched.tank_level_m[tank][row]))
        statuses = {link: bool(known[row]) for link, known in watched.is_open.items() if np.isfinite(known[row])}
        wanted = {**statuses, **flipped}
        for link, is_open in wanted.items():
            self._set_status(link, is_open=is_open)
        if leak is not None:
            self._set_leak(leak)
        try:
            project.solve_first()
        finally:
            if leak is not None:
                project.set_node(leak.node + 1, NodeValue.EMITTER, self._emitters[leak.node])
            for link in wanted:
                self._put_back(link)

    def _values(self) -> Floats:
        project, watched = self._project, self.watched
        head_m = project.node_values(NodeValue.HEAD)[watched.pressure_nodes] * project.units.length_m
        flow_m3s = project.link_values(LinkValue.FLOW)[watched.flow_links] * project.units.flow_m3s
        return np.concatenate([head_m - self.facts.elevation_m[watched.pressure_nodes], flow_m3s])

    def _without(self, scale: Floats, leak: Leak, row: int) -> Floats:
        """Return the districts' scales with the leak's water taken from the consumers of its district."""
        group = int(self.watched.group_of_node[leak.node])
        modelled = float(self.watched.modelled_m3s[row, group])
        if not self.watched.balanced[group] or modelled <= 0:
            return scale
        left = scale.copy()
        left[group] = max(scale[group] - self.leak_m3s(leak, row) / modelled, 0.0)
        return left

    def _set_leak(self, leak: Leak) -> None:
        units = self._project.units
        per_root = leak.per_root_m / units.flow_m3s / units.engine_pressure(1.0) ** _ROOT
        self._project.set_node(leak.node + 1, NodeValue.EMITTER, self._emitters[leak.node] + per_root)

    def _setup_level(self, node: int, level_m: float) -> None:
        project = self._project
        low, high = (project.node_value(node, end) for end in (NodeValue.MINIMUM_LEVEL, NodeValue.MAXIMUM_LEVEL))
        project.set_node(node, NodeValue.INITIAL_LEVEL, min(max(level_m / project.units.length_m, low), high))

    def _set_status(self, link: int, *, is_open: bool) -> None:
        if self.facts.link_types[link] is not LinkType.CVPIPE:  # a check valve's status is its own
            self._project.set_initial_status(link + 1, is_open=is_open)

    def _put_back(self, link: int) -> None:
        kind = self.facts.link_types[link]
        was_open = bool(self.facts.initially_open[link])
        if kind is LinkType.CVPIPE:
            return
        if kind is LinkType.PIPE or not was_open:
            self._project.set_link(link + 1, LinkValue.INITIAL_STATUS, float(was_open))
        else:
            self._setup.is_spent = True
            self._project.set_link(link + 1, LinkValue.INITIAL_SETTING, self._settings[link])


@contextmanager
def moments_of(supply: OpenSupply, watched: Watch) -> Iterator[Moments]:
    """Hold a model ready to solve a watch's moments, for the length of the block."""
    with supply.setup() as setup:
        moments = Moments(setup, watched)
        setup.is_spent = True
        with setup.project.solver():
            yield moments


def _tanks(facts: ModelFacts) -> list[tuple[int, str]]:
    return [
        (position, node_id)
        for position, (node_id, kind) in enumerate(zip(facts.node_ids, facts.node_types, strict=True))
        if kind is NodeType.TANK
    ]
