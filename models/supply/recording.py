"""Keeping what a run computes, solution by solution, in arrays that grow by doubling.

EPANET hands values out node by node, some 10 ns each, so only what can have changed is read: what consumers want
changes with the pattern's period or by our own hand, and what they get is what leaves their node unless there is
leakage too.
"""

from __future__ import annotations

import numpy as np

from models.supply.connectivity import source_graph
from models.supply.dry_zones import DryZones
from models.supply.epanet import LinkValue, NodeValue, Project, TimeValue
from models.supply.facts import Floats, ModelFacts
from models.supply.open_supply import Setup
from models.supply.results import Results, rows_of_whole_hours

_SPARE_STEPS = 64
_PASSES = 8


class Recording:
    """One run's values in the engine's units, a row a solution and a column a node or link."""

    def __init__(self, setup: Setup, *, with_quality: bool = False) -> None:
        project = setup.project
        self._setup, self._project, self._facts = setup, project, setup.facts
        self._zones = DryZones(setup, source_graph(setup.facts))
        self._pattern = project.time(TimeValue.PATTERN_START), project.time(TimeValue.PATTERN_STEP)
        self._period: tuple[int, int] | None = None
        self._leaks = _leaks(project)
        rows = project.time(TimeValue.DURATION) // max(project.time(TimeValue.HYDRAULIC_STEP), 1) + _SPARE_STEPS
        rows = max(rows, setup.steps_before)
        nodes, links = project.node_count, project.link_count
        self._count = 0
        self._times = np.empty(rows, dtype=np.int64)
        self._head, self._demand, self._full = (np.empty((rows, nodes)) for _ in range(3))
        self._delivered = np.empty((rows if self._leaks else 0, nodes))
        self._with_quality = with_quality
        self._quality = np.empty((rows if with_quality else 0, nodes))
        self._flow, self._status = (np.empty((rows, links)) for _ in range(2))

    def note(self, now_s: int) -> None:
        """Settle zones without a source, then keep the present solution."""
        if self._count == len(self._times):
            self._grow()
        row = self._count
        self._read_full(now_s, row)
        self._read(row)
        for _ in range(_PASSES):
            if not self._zones.settle(self._status[row], self._head[row], self._demand[row], self._full[row]):
                break
            self._read(row)
        self._demand[row, self._zones.left_out] = 0.0
        if self._with_quality:
            self._project.read_node_values(NodeValue.QUALITY, self._quality[row])
        self._times[row] = now_s
        self._count += 1

    def close(self) -> None:
        """Put back into the project what was changed for the run."""
        self._zones.take_all_in()

    def results(self, warnings: tuple[str, ...]) -> Results:
        """Return what was kept, in SI. The recording is then used up: its arrays become those of the results."""
        units, n = self._project.units, self._count
        self._setup.steps_done = n
        head_m = _scaled(self._head[:n], units.length_m)
        demand_m3s, full_m3s = (_scaled(values[:n], units.flow_m3s) for values in (self._demand, self._full))
        left_m3s = _scaled(self._delivered[:n], units.flow_m3s) if self._leaks else demand_m3s
        is_inflow = full_m3s < 0
        np.maximum(full_m3s, 0.0, out=full_m3s)
        return Results(
            times_s=self._times[:n],
            head_m=head_m,
            demand_m3s=demand_m3s,
            full_m3s=full_m3s,
            delivered_m3s=np.clip(left_m3s, 0.0, full_m3s),
            is_inflow=is_inflow,
            flow_m3s=_scaled(self._flow[:n], units.flow_m3s),
            is_open=self._status[:n] > 0,
            tank_volume_m3=_tank_volumes_m3(head_m, self._facts),
            hours=rows_of_whole_hours(self._times[:n]),
            warnings=warnings,
            quality=self._quality[:n] if self._with_quality else None,
        )

    def _read_full(self, now_s: int, row: int) -> None:
        start_s, step_s = self._pattern
        period = (now_s + start_s) // step_s, self._setup.demands_set
        if period == self._period:
            self._full[row] = self._full[row - 1]
            return
        self._project.read_node_values(NodeValue.FULL_DEMAND, self._full[row])
        self._zones.add_wanted(now_s, self._full[row])
        self._period = period

    def _read(self, row: int) -> None:
        project = self._project
        project.read_node_values(NodeValue.HEAD, self._head[row])
        project.read_node_values(NodeValue.DEMAND, self._demand[row])
        if self._leaks:
            project.read_node_values(NodeValue.DELIVERED_DEMAND, self._delivered[row])
        project.read_link_values(LinkValue.FLOW, self._flow[row])
        project.read_link_values(LinkValue.STATUS, self._status[row])
        self._status[row, self._setup.shut_check_valves] = 0

    def _grow(self) -> None:
        for name in ("_times", "_head", "_demand", "_full", "_delivered", "_flow", "_status", "_quality"):
            values = getattr(self, name)
            setattr(self, name, np.concatenate([values, np.empty_like(values)]))


def _leaks(project: Project) -> bool:
    """Whether water leaves at nodes that nobody asked for, by emitters or leaks."""
    return bool(project.node_values(NodeValue.EMITTER).any() or project.link_values(LinkValue.LEAK_AREA).any())


def _scaled(values: Floats, unit: float) -> Floats:
    if unit != 1.0:
        values *= unit
    return values


def _tank_volumes_m3(head_m: Floats, facts: ModelFacts) -> Floats:
    volumes = np.zeros(head_m.shape)
    for tank_id, tank in facts.tanks.items():
        column = facts.node_ids.index(tank_id)
        volumes[:, column] = tank.volume_m3(head_m[:, column] - tank.elevation_m)
    return volumes
