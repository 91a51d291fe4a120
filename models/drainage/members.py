"""All members of a weather ensemble through the engine, from one moment and one state, and what they say together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import median
from typing import TYPE_CHECKING

from models.drainage.engine import EngineRun, run_engine
from models.drainage.ensemble import MemberRain, enough, member_rain, node_floods
from models.drainage.model_file import DrainageModelFile
from models.drainage.runs import RunPlan, believed
from models.rainfall import rain_by_gage
from twin.errors import ModelError
from twin.forecasts import FailedMember, NodeFlood, WeatherEnsemble

if TYPE_CHECKING:
    from models.pool import EnginePool


@dataclass(frozen=True, slots=True)
class MembersPlan:
    """What every member starts from: the model, the window (whole seconds), and the state (None: cold)."""

    model: DrainageModelFile
    start: datetime
    end: datetime
    hotstart: bytes | None
    threshold_m3: float
    time_limit_s: float | None = None


@dataclass(frozen=True, slots=True)
class MembersOutcome:
    """What came of the members. `nodes` is empty and the rain 0 where none is done.

    `continuity_error_pct` is the worst of the done runs, signed.
    """

    done: tuple[str, ...]
    failed: tuple[FailedMember, ...]
    sufficient: bool
    nodes: tuple[NodeFlood, ...]
    rain_p50_mm: float
    rain_max_mm: float
    continuity_error_pct: float | None
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Done:
    run: EngineRun
    rain_mm: float
    warnings: tuple[str, ...]


def run_members(plan: MembersPlan, ensemble: WeatherEnsemble, pool: EnginePool) -> MembersOutcome:
    """Run every member that has all its rain, each distinct rain once, and put the answers together.

    Raises:
        InputError: If the ensemble begins after the window, has no rain for a gage, or repeats a member's id.
    """
    rain = member_rain(ensemble, plan.start, plan.end)
    runs = _run_each(plan, rain, pool)
    of_member = {member: runs[index] for member, index in zip(rain.members, rain.rain_of, strict=True)}
    done = {member: run for member, run in of_member.items() if isinstance(run, _Done)}
    failed = {member: run for member, run in of_member.items() if isinstance(run, ModelError)}
    sufficient = enough(len(done), len(ensemble.members))
    return MembersOutcome(
        done=tuple(done),
        failed=(*rain.failed, *(FailedMember(member, str(error)) for member, error in failed.items())),
        sufficient=sufficient,
        nodes=_nodes(plan, list(done.values()), sufficient),
        rain_p50_mm=median([run.rain_mm for run in done.values()] or [0.0]),
        rain_max_mm=max((run.rain_mm for run in done.values()), default=0.0),
        continuity_error_pct=max((run.run.continuity_error_pct for run in done.values()), key=abs, default=None),
        warnings=_warnings(plan, rain, list(done.values())),
    )


def _run_each(plan: MembersPlan, rain: MemberRain, pool: EnginePool) -> list[_Done | ModelError]:
    gages = plan.model.gage_ids
    plans = [
        RunPlan(plan.model, plan.start, plan.end, rain_by_gage(gages, [series]), plan.hotstart)
        for series in rain.distinct
    ]
    runs = pool.map(run_engine, [one.job() for one in plans], time_limit_s=plan.time_limit_s)
    return [_judged(one, run) for one, run in zip(plans, runs, strict=True)]


def _judged(plan: RunPlan, run: EngineRun | ModelError) -> _Done | ModelError:
    if isinstance(run, ModelError):
        return run
    try:
        return _Done(run, plan.rain_mm, believed(plan, run))
    except ModelError as error:
        return error


def _nodes(plan: MembersPlan, done: Sequence[_Done], sufficient: bool) -> tuple[NodeFlood, ...]:
    if not done:
        return ()
    return node_floods(
        list(plan.model.network.nodes),
        [one.run for one in done],
        plan.start,
        threshold_m3=plan.threshold_m3,
        state_probability=sufficient,
    )


def _warnings(plan: MembersPlan, rain: MemberRain, done: Sequence[_Done]) -> tuple[str, ...]:
    warnings = [*plan.model.notes]
    if plan.hotstart is not None:
        warnings += plan.model.restart_weaknesses()
    if len(rain.distinct) < len(rain.members):
        warnings.append(
            f"{len(rain.members)} members have {len(rain.distinct)} distinct rains from T0 on: each was run once, "
            "and its answer counts for every member that has it"
        )
    warnings += [warning for one in done for warning in one.warnings]
    return tuple(dict.fromkeys(warnings))
