"""SWMM as the twin's drainage model: observed rain carries the state forward, ensembles say what may come of it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from models.drainage.engine import engine_version, run_engine
from models.drainage.members import MembersOutcome, MembersPlan, run_members
from models.drainage.model_file import read_model
from models.drainage.runfile import whole_second
from models.drainage.runs import RunPlan, believed
from models.drainage.state import SavedState, seal, unseal
from models.rainfall import RainSeries, rain_by_gage
from twin.clock import as_utc, format_time
from twin.errors import InputError, ModelError
from twin.forecasts import (
    DrainageForecast,
    DrainageState,
    Provenance,
    RunStatus,
    WeatherEnsemble,
)
from twin.network import Network
from twin.ports import ObservedRain

if TYPE_CHECKING:
    from models.pool import EnginePool


class SwmmDrainage:
    """A SWMM model behind `twin.ports.DrainageModel`. The engine runs in the pool's worker processes only.

    Args:
        inp: The model's input file.
        pool: Where the engine runs.
        model_id: The model's name.
        flood_threshold_m3: A member floods a node with at least this volume over its rim.
        time_limit_s: Wall time for one run of the engine.

    Raises:
        InputError: If the input file is malformed or rests on files that are not here.
    """

    def __init__(
        self,
        inp: bytes,
        pool: EnginePool,
        *,
        model_id: str,
        flood_threshold_m3: float = 1.0,
        time_limit_s: float = 60.0,
    ) -> None:
        self._model = read_model(inp)
        self._pool = pool
        self._model_id = model_id
        self._threshold_m3 = flood_threshold_m3
        self._time_limit_s = time_limit_s
        self._state_key = self._model.state_key(engine_version())

    @property
    def network(self) -> Network:
        """The network's nodes and links."""
        return self._model.network

    @property
    def model_id(self) -> str:
        """The model's name."""
        return self._model_id

    @property
    def state_key(self) -> str:
        """The key that a saved state must carry to be used with this model."""
        return self._state_key

    def update(
        self, state: DrainageState | None, *, start: datetime, end: datetime, rain: Sequence[ObservedRain]
    ) -> DrainageState:
        """Run observed rain from `start` (the state's time; cold without a state) to `end`.

        Times are cut to whole seconds, the engine's resolution; the state says which moment it is valid at. Rain
        before and after a gage's series counts as none: the series says which intervals were observed. Less than a
        second ahead of `state` is no run: the state itself is returned.

        Raises:
            ModelError: If the state does not fit, rain for a gage is missing, or the run cannot be believed.
        """
        start, end = whole_second(start), whole_second(end)
        hotstart = self._hotstart(state, start) if state is not None else None
        if state is not None and start == end:
            return state
        try:
            series = [RainSeries(r.gage_id, as_utc(r.valid_from), r.interval_s, r.rain_mm) for r in rain]
            by_gage = rain_by_gage(self._model.gage_ids, series)
            plan = RunPlan(self._model, start, end, by_gage, hotstart, save_state=True)
            run = self._pool.run(run_engine, plan.job(), time_limit_s=self._time_limit_s)
        except InputError as error:
            raise ModelError(f"the drainage model cannot be brought up to date: {error}") from error
        believed(plan, run)
        if run.state is None:
            raise ModelError("the engine saved no state")
        return DrainageState(
            model_id=self._model_id,
            key=self._state_key,
            valid_at=end,
            content=seal(SavedState(self._state_key, end, run.state)),
            continuity_error_pct=run.continuity_error_pct,
            rain_mm=plan.rain_mm,
            cold=state is None,
            flooded_m3={n: node.flooded_m3 for n, node in zip(self.network.nodes, run.nodes, strict=True)},
        )

    def forecast(
        self, state: DrainageState, ensemble: WeatherEnsemble, *, run_id: str, horizon_s: int
    ) -> DrainageForecast:
        """Run every member from the state's time on, to `horizon_s` or the end of the ensemble, whichever is first.

        Members that cannot be run or believed are listed and in no denominator.

        Raises:
            ModelError: If the state or the ensemble does not fit, or no member gives an answer.
        """
        start = whole_second(state.valid_at)
        end = whole_second(min(start + timedelta(seconds=horizon_s), as_utc(ensemble.valid_to)))
        if end <= start:
            raise ModelError(f"the weather forecast ended at {format_time(ensemble.valid_to)}: nothing left to run")
        plan = MembersPlan(
            self._model, start, end, self._hotstart(state, start), self._threshold_m3, self._time_limit_s
        )
        try:
            outcome = run_members(plan, ensemble, self._pool)
        except InputError as error:
            raise ModelError(f"the weather forecast does not fit the drainage model: {error}") from error
        if not outcome.done:
            reasons = "; ".join(f"member {f.member}: {f.reason}" for f in outcome.failed[:3])
            raise ModelError(f"no member of the weather ensemble could be run ({reasons or 'it has none'})")
        return DrainageForecast(
            run_id=run_id,
            issued_at=start,
            valid_from=start,
            valid_to=end,
            status=RunStatus.OK if outcome.sufficient else RunStatus.INSUFFICIENT,
            provenance=self._provenance(state, ensemble, plan, outcome),
            nodes=outcome.nodes,
            members_done=outcome.done,
            members_failed=outcome.failed,
            rain_p50_mm=outcome.rain_p50_mm,
            rain_max_mm=outcome.rain_max_mm,
        )

    def _hotstart(self, state: DrainageState, start: datetime) -> bytes:
        if state.key != self._state_key:
            raise ModelError(
                f"the saved state of {format_time(state.valid_at)} belongs to another model, another order of its "
                "objects, other options or another engine; start cold"
            )
        try:
            saved = unseal(state.content, self._state_key)
        except InputError as error:
            raise ModelError(str(error)) from error
        if saved.valid_at != start:
            raise ModelError(
                f"the saved state is of {format_time(saved.valid_at)}, the run starts at {format_time(start)}"
            )
        return saved.hotstart

    def _provenance(
        self, state: DrainageState, ensemble: WeatherEnsemble, plan: MembersPlan, outcome: MembersOutcome
    ) -> Provenance:
        inputs = repr(
            (state.key, hashlib.sha256(state.content).hexdigest(), ensemble, format_time(plan.end), self._threshold_m3)
        )
        return Provenance(
            model_id=self._model_id,
            model_hash=self._model.sha256,
            engine=engine_version(),
            state_at=state.valid_at,
            state_basis=_state_basis(state),
            weather_source=ensemble.source,
            weather_rung=ensemble.rung,
            weather_issued_at=ensemble.issued_at,
            weather_available_at=ensemble.available_at,
            continuity_error_pct=outcome.continuity_error_pct,
            inputs_hash=hashlib.sha256(inputs.encode()).hexdigest(),
            warnings=outcome.warnings,
            synthetic=ensemble.synthetic,
        )


def _state_basis(state: DrainageState) -> tuple[str, ...]:
    begun = "begun cold with" if state.cold else "carried on by"
    basis = [f"engine state of {format_time(state.valid_at)}, {begun} {state.rain_mm:.1f} mm of observed rain"]
    if state.continuity_error_pct is not None:
        basis.append(f"flow routing continuity error of that run {state.continuity_error_pct:.1f} %")
    return tuple(basis)
