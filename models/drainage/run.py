"""Flood runs without the service: what `h2twin flood run` and `h2twin flood forecast` answer, as plain JSON values."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from models.drainage.engine import EngineRun, NodeRun, engine_version, run_engine
from models.drainage.members import MembersOutcome, MembersPlan, run_members
from models.drainage.model_file import DrainageModelFile, read_model
from models.drainage.rain_csv import RainGap, read_rain_csv
from models.drainage.runfile import whole_second
from models.drainage.runs import RunPlan, believed
from models.drainage.state import SavedState, seal, unseal
from models.rainfall import EVERY_GAGE, RainSeries, rain_by_gage
from twin.clock import as_utc, format_time
from twin.errors import InputError, ModelError
from twin.forecasts import NodeFlood, RunStatus, WeatherEnsemble

if TYPE_CHECKING:
    from models.pool import EnginePool

Answer = dict[str, Any]


def flood_run(
    model: bytes, rain_csv: bytes, *, state_in: bytes | None, start: datetime | None, pool: EnginePool
) -> tuple[Answer, bytes]:
    """Run observed rain through a model; return the answer and the state at its end (for the next run's `state_in`).

    The run starts at `start`, else at the state's time, else at the beginning of the earliest interval, and ends at
    the end of the latest. Without a state it is cold, from the file's initial depths.

    Raises:
        InputError: If the model, the rain, the state or the start does not fit.
        ModelError: If the engine fails or its result cannot be believed.
    """
    drainage = read_model(model)
    key = drainage.state_key(engine_version())
    series, gaps = read_rain_csv(rain_csv)
    rain = rain_by_gage(drainage.gage_ids, series)
    used = list(rain.values()) or series
    state = unseal(state_in, key) if state_in is not None else None
    begin = _begin(start, state, used)
    plan = RunPlan(
        drainage, begin, max(one.valid_to for one in used), rain, state.hotstart if state else None, save_state=True
    )
    if plan.end <= begin:
        raise InputError(f"the rain ends at {format_time(plan.end)}, not after the start at {format_time(begin)}")
    run = pool.run(run_engine, plan.job())
    weaknesses = drainage.restart_weaknesses() if state else ()
    warnings = (*drainage.notes, *_unused_gages(drainage, series), *weaknesses, *believed(plan, run))
    if run.state is None:
        raise ModelError("the engine saved no state")
    answer = _run_answer(plan, run, warnings, gaps)
    return answer, seal(SavedState(key, plan.end, run.state))


def flood_forecast(
    model: bytes, ensemble: WeatherEnsemble, *, state_in: bytes | None, flood_threshold_m3: float, pool: EnginePool
) -> Answer:
    """Run every member of an ensemble through a model; return what they say together.

    The horizon is `valid_from` to the end of the last interval; with a state it begins at the state's time, which
    must lie in it. Without a state each member runs cold from the file's initial depths. With too few done members
    the status is "insufficient" and no node is stated.

    Raises:
        InputError: If the model, the ensemble or the state does not fit.
    """
    drainage = read_model(model)
    state = unseal(state_in, drainage.state_key(engine_version())) if state_in is not None else None
    start = state.valid_at if state else whole_second(ensemble.valid_from)
    end = as_utc(ensemble.valid_to)
    if end <= start:
        raise InputError(
            f"the weather forecast ends at {format_time(end)}, not after the start at {format_time(start)}"
        )
    plan = MembersPlan(drainage, start, end, state.hotstart if state else None, flood_threshold_m3)
    return _forecast_answer(plan, ensemble, run_members(plan, ensemble, pool))


def _begin(start: datetime | None, state: SavedState | None, rain: Sequence[RainSeries]) -> datetime:
    if start is not None and start != whole_second(start):
        raise InputError(f"the start {format_time(start)} is not on a whole second, the engine's resolution")
    if state is None:
        return whole_second(start or min(series.valid_from for series in rain))
    if start is not None and whole_second(start) != state.valid_at:
        raise InputError(
            f"the start is {format_time(start)}, the state is of {format_time(state.valid_at)}: they must be equal"
        )
    return state.valid_at


def _unused_gages(model: DrainageModelFile, series: Sequence[RainSeries]) -> list[str]:
    known = {gage_id.casefold() for gage_id in (*model.gage_ids, EVERY_GAGE)}
    return [
        f"gage {one.gage_id} of the rain CSV is not in the model"
        for one in series
        if one.gage_id.casefold() not in known
    ]


def _run_answer(plan: RunPlan, run: EngineRun, warnings: Sequence[str], gaps: Sequence[RainGap]) -> Answer:
    node_ids = plan.model.network.nodes
    return {
        "start": format_time(plan.start),
        "end": format_time(plan.end),
        "state": _state_word(plan.hotstart),
        "engine": engine_version(),
        "model_hash": plan.model.sha256,
        "ponding": plan.model.allow_ponding,
        "rain_in_mm": plan.rain_mm,
        "rain_delivered_mm": run.rain_delivered_mm,
        "rain_gaps": [
            {"gage_id": gap.gage_id, "observed_at": format_time(gap.observed_at), "interval_s": gap.interval_s}
            for gap in gaps
        ],
        "continuity_error_pct": run.continuity_error_pct,
        "runoff_continuity_error_pct": run.runoff_continuity_error_pct,
        "warnings": list(dict.fromkeys(warnings)),
        "nodes": {n: _node_answer(plan, n, node) for n, node in zip(node_ids, run.nodes, strict=True)},
    }


def _node_answer(plan: RunPlan, node_id: str, node: NodeRun) -> Answer:
    first = node.first_flooded_s
    return {
        "max_depth_m": node.max_depth_m,
        "final_depth_m": node.final_depth_m,
        "flooded_m3": node.flooded_m3,
        "flooded_h": node.flooded_h,
        "max_ponded_m3": node.max_ponded_m3,
        "ponding": node_id in plan.model.ponded_nodes,
        "first_flooded_at": None if first is None else _whole_time(plan.start + timedelta(seconds=first)),
    }


def _forecast_answer(plan: MembersPlan, ensemble: WeatherEnsemble, outcome: MembersOutcome) -> Answer:
    return {
        "status": str(RunStatus.OK if outcome.sufficient else RunStatus.INSUFFICIENT),
        "valid_from": format_time(plan.start),
        "valid_to": format_time(plan.end),
        "state": _state_word(plan.hotstart),
        "engine": engine_version(),
        "model_hash": plan.model.sha256,
        "weather_source": ensemble.source,
        "flood_threshold_m3": plan.threshold_m3,
        "members": {
            "done": list(outcome.done),
            "failed": [{"member": one.member, "reason": one.reason} for one in outcome.failed],
        },
        "rain_p50_mm": outcome.rain_p50_mm,
        "rain_max_mm": outcome.rain_max_mm,
        "continuity_error_pct": outcome.continuity_error_pct,
        "warnings": list(outcome.warnings),
        "nodes": {node.node_id: _node_forecast(node, plan.start) for node in outcome.nodes}
        if outcome.sufficient
        else {},
    }


def _node_forecast(node: NodeFlood, start: datetime) -> Answer:
    """Return one node's statement; `p50` and `p90` are percentiles of the flooded volume in m3.

    `lead_time_s` counts from the start of the run.
    """
    return {
        "probability": node.probability,
        "onset_median": None if node.onset_median is None else format_time(node.onset_median),
        "lead_time_s": node.lead_time_s(start),
        "p50": node.volume_p50_m3,
        "p90": node.volume_p90_m3,
        "volume_p50_m3": node.volume_p50_m3,
        "volume_p90_m3": node.volume_p90_m3,
        "depth_p50_m": node.depth_p50_m,
        "depth_p90_m": node.depth_p90_m,
    }


def _whole_time(moment: datetime) -> str:
    return format_time(whole_second(moment))


def _state_word(hotstart: bytes | None) -> str:
    return "cold" if hotstart is None else "warm"
