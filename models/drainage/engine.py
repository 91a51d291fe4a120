"""The SWMM engine, one run at a time. This runs in a worker process only: a second open project replaces the first.

Numbers leave here in SI. Statistics are the engine's own (its routing steps, no strides, no report to parse).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from models.drainage.engine_units import units_of
from twin.errors import ModelError

_INP, _RPT, _OUT = "run.inp", "run.rpt", "run.out"
_HOT_IN, _HOT_OUT = "before.hsf", "after.hsf"
_DAY_S = 86400.0
_SHOWN_ERRORS = 3


@dataclass(frozen=True, slots=True)
class EngineJob:
    """One run. `node_ids` are all nodes in the file's order; `ponded_nodes` may keep water above their rim."""

    inp_text: str
    flow_units: str
    duration_s: float
    node_ids: tuple[str, ...]
    has_links: bool
    ponded_nodes: frozenset[str] = frozenset()
    hotstart: bytes | None = None
    save_state: bool = False


@dataclass(frozen=True, slots=True)
class NodeRun:
    """What one run did at one node. `first_flooded_s` counts from the start of the run; None if it never flooded."""

    max_depth_m: float
    final_depth_m: float
    flooded_m3: float
    flooded_h: float
    max_ponded_m3: float
    first_flooded_s: float | None


@dataclass(frozen=True, slots=True)
class EngineRun:
    """What one run gave. Continuity errors are the engine's own after the end of the run, in per cent, signed."""

    nodes: tuple[NodeRun, ...]
    rain_delivered_mm: float
    continuity_error_pct: float
    runoff_continuity_error_pct: float
    state: bytes | None


@functools.cache
def engine_version() -> str:
    """Return the name and versions of the engine, without loading it."""
    return f"SWMM 5.2.4 (swmm-toolkit {version('swmm-toolkit')})"


def load_engine() -> None:
    """Import the engine, so that a worker's first run does not pay for it."""
    import swmm.toolkit.solver  # noqa: F401


def run_engine(job: EngineJob) -> EngineRun:
    """Run the engine in the current folder and return what it did.

    Raises:
        ModelError: If the model has nodes but no links (the engine keeps no node statistics then, and crashes when
            asked for them), or the engine gives up; the message holds its own words.
    """
    if not job.has_links:
        raise ModelError("the model has nodes but no links: add its conduits, pumps, orifices, weirs or outlets")
    from swmm.toolkit import solver

    Path(_INP).write_text(job.inp_text, encoding="utf-8")
    try:
        with _started(job):
            first_flooded_s = _step_through(job)
            nodes = tuple(_node_run(job, index, first_flooded_s.get(index)) for index in range(len(job.node_ids)))
            rain = _rain_delivered_mm(job)
            state = _saved_state() if job.save_state else None
            solver.swmm_end()
            runoff_error, flow_error, _ = solver.swmm_get_mass_balance()
    except ModelError:
        raise
    except Exception as error:  # the toolkit raises bare Exceptions
        raise ModelError(f"SWMM stopped: {_engine_words() or error}") from error
    return EngineRun(nodes, rain, flow_error, runoff_error, state)


@contextmanager
def _started(job: EngineJob) -> Iterator[None]:
    from swmm.toolkit import solver
    from swmm.toolkit.shared_enum import HotstartFile, ObjectType

    try:
        solver.swmm_open(_INP, _RPT, _OUT)
        count = solver.project_get_count(ObjectType.NODE)
        if tuple(solver.project_get_id(ObjectType.NODE, index) for index in range(count)) != job.node_ids:
            raise ModelError(f"the engine numbers its {count} nodes otherwise than the file's {len(job.node_ids)}")
        if job.hotstart is not None:
            Path(_HOT_IN).write_bytes(job.hotstart)
            solver.swmm_hotstart(HotstartFile.USE, _HOT_IN)
        solver.swmm_start(0)
        yield
    finally:
        solver.swmm_close()


def _step_through(job: EngineJob) -> dict[int, float]:
    """Run to the end on the engine's own routing steps; return when each flooded node first overflowed (s).

    Nodes are asked only where one can have begun to overflow: after the system's flood loss grew, and those that
    may pond (their water is no loss to the system).
    """
    from swmm.toolkit import solver
    from swmm.toolkit.shared_enum import NodeResult

    overflow = NodeResult.FLOOD
    ponding = {index for index, node_id in enumerate(job.node_ids) if node_id in job.ponded_nodes}
    others = set(range(len(job.node_ids))) - ponding
    first: dict[int, float] = {}
    lost = 0.0
    running = True
    while running:
        elapsed_days = solver.swmm_step()
        running = elapsed_days > 0
        lost_before, lost = lost, solver.system_get_routing_totals().flooding
        watched = ponding | others if lost > lost_before else ponding
        for index in [index for index in watched if solver.node_get_result(index, overflow) > 0]:
            first[index] = elapsed_days * _DAY_S if running else job.duration_s
            ponding.discard(index)
            others.discard(index)
    return first


def _node_run(job: EngineJob, index: int, first_flooded_s: float | None) -> NodeRun:
    from swmm.toolkit import solver
    from swmm.toolkit.shared_enum import NodeResult

    units = units_of(job.flow_units)
    stats = solver.node_get_stats(index)
    return NodeRun(
        max_depth_m=stats.maxDepth * units.length_m,
        final_depth_m=solver.node_get_result(index, NodeResult.DEPTH) * units.length_m,
        flooded_m3=stats.volFlooded * units.volume_m3,
        flooded_h=stats.timeFlooded,
        max_ponded_m3=stats.maxPondedVol * units.volume_m3,
        first_flooded_s=first_flooded_s,
    )


def _rain_delivered_mm(job: EngineJob) -> float:
    from swmm.toolkit import solver

    depth: float = solver.system_get_runoff_totals().rainfall * units_of(job.flow_units).rain_mm
    return 0.0 if math.isnan(depth) else depth  # a model without subcatchments: nothing over no area


def _saved_state() -> bytes:
    from swmm.toolkit import solver
    from swmm.toolkit.shared_enum import HotstartFile

    solver.swmm_hotstart(HotstartFile.SAVE, _HOT_OUT)
    return Path(_HOT_OUT).read_bytes()


def _engine_words() -> str:
    report = Path(_RPT)
    if not report.exists():
        return ""
    lines = report.read_text(encoding="utf-8", errors="replace").splitlines()
    errors = [line.strip() for line in lines if line.strip().startswith("ERROR")]
    return "; ".join(errors[:_SHOWN_ERRORS])
