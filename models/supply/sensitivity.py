"""How heads answer to demand: the network's equations, differentiated at a solution instead of solved once more.

At a solution, with g = dh/dq of a link's head loss (Todini and Pilati 1988, as EPANET 2.3's own gradient method):

```
junction           sum of dq leaving it = -dd          dd: more is taken there
link               dq = (dh_start - dh_end) / g        pipe, pump, valve that is merely a loss
reservoir, tank    dh = 0
PRV / PSV at work  dq as needed, dh = 0 behind it / before it;  FCV at work: dq = 0;  PBV: dh_start = dh_end
emitter            takes dq = n q / p dh
```

Statuses stay as they are, and so does demand that pressure drives: what changes either is no small change.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.supply.connectivity import Booleans, source_graph
from models.supply.epanet import HeadLossFormula, LinkType, LinkValue, NodeType, NodeValue, Option, Project, PumpType
from models.supply.facts import Floats, Integers, ModelFacts
from models.supply.open_supply import Setup
from twin.units import FOOT_M

GRAVITY_M_S2 = 9.80665
_HAZEN_WILLIAMS, _QUADRATIC = 1.852, 2.0
_WATER_M2_S = 1.1e-5 * FOOT_M**2  # EPANET's kinematic viscosity of water at 20 degrees
_LAMINAR_BELOW = 2000
_LEAST_SLOPE_S_M2 = 1e-6  # EPANET's RQtol, about: a pipe at rest joins its ends
_AT_WORK_M = 0.01
_AT_WORK_SHARE = 1e-3


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One solution in SI: `head_m` and `demand_m3s` (what leaves) per node, `flow_m3s` and `is_open` per link."""

    head_m: Floats
    demand_m3s: Floats
    flow_m3s: Floats
    is_open: Booleans


def snapshot(setup: Setup) -> Snapshot:
    """Solve the first moment of a project as it is set up, from a cold start.

    Hold `setup.project.solver()` open around several: opening it costs half as much as a solution.

    Raises:
        ModelError: If EPANET fails.
    """
    project = setup.project
    with project.solver():
        project.solve_first()
        return read_snapshot(project)


def read_snapshot(project: Project) -> Snapshot:
    """Read the present solution."""
    units = project.units
    return Snapshot(
        head_m=project.node_values(NodeValue.HEAD) * units.length_m,
        demand_m3s=project.node_values(NodeValue.DEMAND) * units.flow_m3s,
        flow_m3s=project.link_values(LinkValue.FLOW) * units.flow_m3s,
        is_open=project.link_values(LinkValue.STATUS) > 0,
    )


def sensitivities(setup: Setup) -> tuple[Snapshot, Floats]:
    """Solve the first moment; return it, and the change of head at node i by demand at node j (nodes, nodes; s/m2).

    Multiply by a small demand in m3/s to get metres; more demand lowers heads, so the values are negative. Columns of
    reservoirs and tanks are 0, rows and columns of nodes without a source are NaN.

    Raises:
        ModelError: If EPANET fails.
    """
    project, facts = setup.project, setup.facts
    with project.solver():
        project.solve_first()
        solution = read_snapshot(project)
        links = _Links(project, facts, solution)
        emitted = _emitter_slopes_m2_s(project)
    graph = source_graph(facts)
    sourced = graph.with_source(solution.is_open, solution.head_m, solution.demand_m3s < 0)
    return solution, _inverse(facts, links, emitted, sourced)


class _Links:
    """What each link is to small changes: a slope, held by a valve, or shut."""

    def __init__(self, project: Project, facts: ModelFacts, solution: Snapshot) -> None:
        kinds = np.array([int(kind) for kind in facts.link_types])
        drop_m = solution.head_m[facts.link_start] - solution.head_m[facts.link_end]
        self._is_pipe = np.isin(kinds, (LinkType.PIPE, LinkType.CVPIPE))
        is_open = solution.is_open & ~_shut_by_themselves(kinds, solution.flow_m3s)
        self.at_work = {int(n): LinkType(kinds[n]) for n in np.flatnonzero(_at_work(project, facts, solution, is_open))}
        self.passive = is_open.copy()
        self.passive[list(self.at_work)] = False
        self.slope_s_m2 = self._pipe_slopes(project, drop_m, solution.flow_m3s)
        for link in np.flatnonzero(self.passive & (kinds == LinkType.PUMP)):
            self.slope_s_m2[link] = _pump_slope(project, int(link) + 1, drop_m[link], solution.flow_m3s[link])
        for link in np.flatnonzero(self.passive & (kinds == LinkType.GPV)):
            curve = project.curve(int(project.link_value(int(link) + 1, LinkValue.LOSS_CURVE)))
            self.slope_s_m2[link] = _slope_of_curve(project, curve, abs(solution.flow_m3s[link]))
        np.maximum(self.slope_s_m2, _LEAST_SLOPE_S_M2, out=self.slope_s_m2)

    def _pipe_slopes(self, project: Project, drop_m: Floats, flow_m3s: Floats) -> Floats:
        """h = r q^n + m q^2: of the known drop, the part of the minor losses follows from its coefficient."""
        diameter_m = project.link_values(LinkValue.DIAMETER) * project.units.diameter_m
        exponent = _exponents(project, diameter_m, flow_m3s)
        loss = project.link_values(LinkValue.MINOR_LOSS)
        flow = np.maximum(np.abs(flow_m3s), 1e-12)
        with np.errstate(divide="ignore", invalid="ignore"):
            minor_m = np.nan_to_num(8 * loss / (GRAVITY_M_S2 * np.pi**2 * diameter_m**4)) * flow**2
        minor_m = np.where(self._is_pipe, np.minimum(minor_m, np.abs(drop_m)), np.abs(drop_m))
        slopes: Floats = (exponent * (np.abs(drop_m) - minor_m) + 2 * minor_m) / flow
        return slopes


def _exponents(project: Project, diameter_m: Floats, flow_m3s: Floats) -> Floats:
    """Return n of h = r q^n for each pipe at its flow."""
    formula = HeadLossFormula(int(project.option(Option.HEAD_LOSS_FORMULA)))
    if formula is not HeadLossFormula.DARCY_WEISBACH:
        power = _HAZEN_WILLIAMS if formula is HeadLossFormula.HAZEN_WILLIAMS else _QUADRATIC
        return np.full(len(flow_m3s), power)
    viscosity_m2_s = _WATER_M2_S * project.option(Option.RELATIVE_VISCOSITY)
    roughness_m = project.link_values(LinkValue.ROUGHNESS) * project.units.length_m / 1000
    with np.errstate(divide="ignore", invalid="ignore"):
        reynolds = np.maximum(4 * np.abs(flow_m3s) / (np.pi * diameter_m * viscosity_m2_s), 1e-9)
        smooth = 5.74 / reynolds**0.9
        inside = roughness_m / (3.7 * diameter_m) + smooth
        # f = 0.25 / log10(inside)^2 (Swamee and Jain 1976), so d ln f / d ln Re = 1.8 smooth / (inside ln inside)
        exponents: Floats = 2 + 1.8 * smooth / (inside * np.log(inside))
    return np.where(reynolds < _LAMINAR_BELOW, 1.0, np.nan_to_num(exponents, nan=_QUADRATIC))


def _shut_by_themselves(kinds: NDArray[np.int_], flow_m3s: Floats) -> Booleans:
    """Check valves and pumps against which the head stands: open by status, yet nothing passes."""
    return np.isin(kinds, (LinkType.CVPIPE, LinkType.PUMP)) & (np.abs(flow_m3s) < 1e-9)


def _at_work(project: Project, facts: ModelFacts, solution: Snapshot, is_open: Booleans) -> Booleans:
    """Return which valves hold what they are set to. EPANET tells open from closed only, so the solution must say."""
    kinds = np.array([int(kind) for kind in facts.link_types])
    setting = project.link_values(LinkValue.SETTING)
    pressure_m = setting / project.units.engine_pressure(1.0)
    head_m, flow = solution.head_m, solution.flow_m3s
    elevation_m = facts.elevation_m
    behind = np.abs(head_m[facts.link_end] - elevation_m[facts.link_end] - pressure_m) < _AT_WORK_M
    before = np.abs(head_m[facts.link_start] - elevation_m[facts.link_start] - pressure_m) < _AT_WORK_M
    wanted = setting * project.units.flow_m3s
    holds_flow = np.abs(flow - wanted) <= _AT_WORK_SHARE * np.abs(wanted)
    drop = head_m[facts.link_start] - head_m[facts.link_end]
    holds = np.select(
        [kinds == LinkType.PRV, kinds == LinkType.PSV, kinds == LinkType.FCV, kinds == LinkType.PBV],
        [behind & (drop > 0), before & (drop > 0), holds_flow & (drop > 0), np.abs(drop - pressure_m) < _AT_WORK_M],
        default=False,
    )
    found: Booleans = holds.astype(np.bool_) & is_open
    return found


def _pump_slope(project: Project, pump: int, drop_m: float, flow_m3s: float) -> float:
    """Return d(head loss)/dq of a running pump; its head loss is the negative of its gain."""
    kind = project.pump_type(pump)
    if kind is PumpType.CONSTANT_POWER:
        return -drop_m / flow_m3s
    flows, heads = project.curve(int(project.link_value(pump, LinkValue.HEAD_CURVE)))
    speed = project.link_value(pump, LinkValue.SETTING)
    if kind is PumpType.CUSTOM:  # at speed w the curve through (w q, w^2 h)
        return _slope_of_curve(project, (flows * speed, -heads * speed**2), flow_m3s)
    units = project.units
    if len(flows) == 1:  # shut-off head 4/3 of the point's, no head at twice its flow
        shutoff, exponent = 4 / 3 * heads[0], 2.0
        factor = (shutoff - heads[0]) / flows[0] ** 2
    else:
        shutoff = heads[0]
        exponent = float(np.log((shutoff - heads[2]) / (shutoff - heads[1])) / np.log(flows[2] / flows[1]))
        factor = (shutoff - heads[1]) / flows[1] ** exponent
    flow = flow_m3s / units.flow_m3s
    slope = exponent * factor * speed ** (2 - exponent) * flow ** (exponent - 1)
    return float(slope * units.length_m / units.flow_m3s)


def _slope_of_curve(project: Project, curve: tuple[Floats, Floats], flow_m3s: float) -> float:
    flows, heads = curve
    piece = int(np.clip(np.searchsorted(flows, flow_m3s / project.units.flow_m3s) - 1, 0, len(flows) - 2))
    slope = (heads[piece + 1] - heads[piece]) / (flows[piece + 1] - flows[piece])
    return float(slope * project.units.length_m / project.units.flow_m3s)


def _emitter_slopes_m2_s(project: Project) -> Floats:
    """Return by how much more leaves each node's emitter when the head rises: q = C p^n."""
    flow = project.node_values(NodeValue.EMITTER_FLOW) * project.units.flow_m3s
    pressure_m = project.node_values(NodeValue.PRESSURE) / project.units.engine_pressure(1.0)
    power = project.option(Option.EMITTER_EXPONENT)
    slopes: Floats = np.where((flow != 0) & (pressure_m > 0), power * flow / np.maximum(pressure_m, 1e-9), 0.0)
    return slopes


def _inverse(facts: ModelFacts, links: _Links, emitted: Floats, sourced: Booleans) -> Floats:
    """Solve the differentiated equations for demand at every junction."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.linalg import splu

    nodes = len(facts.node_ids)
    fixed = np.array([kind is not NodeType.JUNCTION for kind in facts.node_types]) | ~sourced
    held = [(n, kind) for n, kind in links.at_work.items() if kind is not LinkType.FCV]
    rows: list[Integers] = []
    columns: list[Integers] = []
    values: list[Floats] = []

    def put(row: Integers, column: Integers, value: Floats) -> None:
        rows.append(row)
        columns.append(column)
        values.append(value)

    start, end = facts.link_start[links.passive], facts.link_end[links.passive]
    conductance = 1 / links.slope_s_m2[links.passive]
    put(start, start, conductance)
    put(end, end, conductance)
    put(start, end, -conductance)
    put(end, start, -conductance)
    every = np.arange(nodes)
    put(every, every, emitted)
    for place, (link, kind) in enumerate(held, start=nodes):
        ends = np.array([facts.link_start[link], facts.link_end[link]])
        here = np.array([place, place])
        put(ends, here, np.array([1.0, -1.0]))
        put(here, ends, np.array({LinkType.PRV: [0.0, 1.0], LinkType.PSV: [1.0, 0.0]}.get(kind, [1.0, -1.0])))
    row, column, value = np.concatenate(rows), np.concatenate(columns), np.concatenate(values)
    free = np.append(~fixed, np.ones(len(held), dtype=np.bool_))[row]  # the equation of a fixed node is dh = 0
    row, column, value = row[free], column[free], value[free]
    fixed_nodes = np.flatnonzero(fixed)
    size = nodes + len(held)
    matrix = coo_matrix(
        (
            np.concatenate([value, np.ones(len(fixed_nodes))]),
            (np.concatenate([row, fixed_nodes]), np.concatenate([column, fixed_nodes])),
        ),
        shape=(size, size),
    ).tocsc()
    demands = np.zeros((size, nodes))
    junctions = np.flatnonzero(~fixed)
    demands[junctions, junctions] = -1.0
    answer: Floats = splu(matrix).solve(demands)[:nodes]
    answer[~sourced] = np.nan
    answer[:, ~sourced] = np.nan
    return answer
