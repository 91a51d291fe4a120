"""One turn of the twin: readings and weather in, state, forecasts, incidents and notices out.

The cycle calls ports only, and runs on the `Clock`, so replay runs the same code as live operation. A model that
fails leaves a failed run with its cause; the last good forecast stays where it is and grows old in sight. What a
failed model would have told is unknown, so incidents that rest on it are neither opened nor closed.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol

from twin.clock import Clock
from twin.detection import Detector
from twin.errors import InputError, ModelError, UnavailableError
from twin.findings import Finding, findings_from_drainage, findings_from_sensors, findings_from_supply
from twin.forecasts import DrainageState, Run, Rung, RunKind, RunStatus, SupplyForecast, WeatherEnsemble
from twin.incidents import Incident, IncidentKind
from twin.noticeboard import Noticeboard
from twin.plausibility import Plausibility, doubted
from twin.ports import (
    Beat,
    DrainageModel,
    ObservedRain,
    ReadingStore,
    Registry,
    SupplyModel,
    SupplyRequest,
    WeatherSource,
)
from twin.rain import covered_until, interval_of, is_rain, observed_rain, rain_gauges
from twin.readings import Reading, Sensor
from twin.staleness import stale_since, without
from twin.suspicion import Suspected, Suspicion
from twin.units import Quantity

_LOG = logging.getLogger(__name__)

SUPPLY_KINDS = frozenset({IncidentKind.OUTAGE_PREDICTED, IncidentKind.OUTAGE_OBSERVED, IncidentKind.TANK_LOW})
DRAINAGE_KINDS = frozenset({IncidentKind.FLOOD_PREDICTED})
SENSOR_KINDS = frozenset({IncidentKind.SENSOR_SILENT, IncidentKind.PRESSURE_LOW})
_BALANCE_QUANTITIES = frozenset({Quantity.FLOW, Quantity.LEVEL, Quantity.DEMAND})
"""What the demand of a district is learned from; the history of everything else is not read."""


@dataclass(frozen=True, slots=True)
class CycleRules:
    """How far the cycle looks back and ahead, and from when on something counts."""

    supply_horizon_s: int = 48 * 3600
    drainage_horizon_s: int = 24 * 3600
    history_s: int = 14 * 86400
    warm_up_s: int = 24 * 3600
    required_pressure_m: float = 10.0
    flood_probability: float = 0.3
    supply_members: int = 0


@dataclass(frozen=True, slots=True)
class CycleOutcome:
    """What one turn brought: its runs (failed ones included) and the incidents it opened, changed or closed."""

    now: datetime
    runs: tuple[Run, ...]
    incidents: tuple[Incident, ...]
    untold: str = ""
    """Why a notice could not be written, empty when all could."""

    @property
    def ok(self) -> bool:
        """Whether no run failed and every notice could be written."""
        return not self.untold and all(run.status is not RunStatus.FAILED for run in self.runs)


class Models(Protocol):
    """The models in use now; a newly imported one is taken up by the next turn."""

    def supply(self) -> SupplyModel | None:
        """Return the supply model, or None while none is imported."""
        ...

    def drainage(self) -> DrainageModel | None:
        """Return the drainage model, or None while none is imported."""
        ...


class Cycle:
    """Turns readings and weather into forecasts, incidents and notices, once per call of `turn`."""

    def __init__(
        self,
        *,
        clock: Clock,
        readings: ReadingStore,
        registry: Registry,
        noticeboard: Noticeboard,
        models: Models,
        weather: WeatherSource,
        rules: CycleRules,
        detector: Detector,
    ) -> None:
        self._clock = clock
        self._readings = readings
        self._registry = registry
        self._noticeboard = noticeboard
        self._models = models
        self._weather = weather
        self._rules = rules
        self._detector = detector
        self._known_since = clock.now()
        self._plausibility = Plausibility()
        self._suspicion = Suspicion(readings, registry)
        self._suspected = Suspected()

    def turn(self) -> CycleOutcome:
        """Run every model once, judge what they and the sensors say, and tell whom it concerns.

        Raises:
            UnavailableError: If a store is away; nothing was decided and the next turn begins afresh.
        """
        now = self._clock.now()
        self._suspected = Suspected()
        sensors = self._registry.sensors()
        marks = self._registry.stale_marks()
        trusted = self._plausible(now, sensors, self._readings.latest(list(sensors), at=now, known_at=now))
        latest = without(trusted, stale_since(marks, trusted, now=now))
        runs = [
            run
            for run in (
                self._attempt(RunKind.SUPPLY, now, lambda run_id: self._run_supply(run_id, now, sensors, latest)),
                self._attempt(RunKind.DRAINAGE, now, lambda run_id: self._run_drainage(run_id, now, sensors)),
            )
            if run is not None
        ]
        runs = [self._keep(run) for run in runs]
        changed = self._judge(now, sensors, marks, runs)
        outcome = CycleOutcome(now, tuple(runs), tuple(changed), self._tell(changed))
        self._registry.beat(_beat(outcome))
        return outcome

    def _plausible(
        self, now: datetime, sensors: Mapping[str, Sensor], latest: Mapping[str, Reading]
    ) -> Mapping[str, Reading]:
        """Return the newest trusted readings after those that cannot be right were marked in the store."""
        try:
            doubtful = self._implausible(now, sensors, latest)
        except UnavailableError:
            raise
        except Exception:  # to doubt nothing is what happens without this judgement
            _LOG.exception("the readings could not be set against the forecast")
            return latest
        if not doubtful:
            return latest
        self._readings.requalify([doubted(reading) for reading in doubtful])
        _LOG.warning("implausible readings of %s are kept from the models", ", ".join(r.sensor_id for r in doubtful))
        return self._readings.latest(list(sensors), at=now, known_at=now)

    def _implausible(
        self, now: datetime, sensors: Mapping[str, Sensor], latest: Mapping[str, Reading]
    ) -> list[Reading]:
        model = self._models.supply()
        if model is None:
            return []
        last = self._registry.latest_run(RunKind.SUPPLY, good_only=False, issued_by=now)
        forecast = last.supply if last is not None and last.status is RunStatus.OK else None
        newest = {sensor_id: [reading] for sensor_id, reading in latest.items()}
        return self._plausibility.judge(forecast, model.network, sensors, newest)

    # ------------------------------------------------------------------------------------------------ models

    def _attempt(self, kind: RunKind, now: datetime, attempt: Callable[[str], Run | None]) -> Run | None:
        started = time.perf_counter()
        run_id = f"{kind}-{now:%Y%m%dT%H%M%SZ}-{uuid.uuid4().hex[:8]}"
        try:
            run = attempt(run_id)
        except UnavailableError:
            raise
        except (ModelError, InputError) as error:
            run = Run(run_id, kind, now, RunStatus.FAILED, 0.0, cause=str(error))
        except Exception as error:  # a defect in one model must not take the other, and the sensors, with it
            _LOG.exception("the %s run failed unexpectedly", kind)
            cause = f"unexpected {type(error).__name__}: {error}"
            run = Run(run_id, kind, now, RunStatus.FAILED, 0.0, cause=cause)
        return None if run is None else replace(run, wall_s=time.perf_counter() - started)

    def _keep(self, run: Run) -> Run:
        """Archive a run and return it; one whose figures cannot be kept (a NaN among them) is kept as failed."""
        try:
            self._registry.save_run(run)
        except InputError as error:
            run = Run(run.run_id, run.kind, run.issued_at, RunStatus.FAILED, run.wall_s, cause=str(error))
            self._registry.save_run(run)
        return run

    def _run_supply(
        self, run_id: str, now: datetime, sensors: Mapping[str, Sensor], latest: Mapping[str, Reading]
    ) -> Run | None:
        model = self._models.supply()
        if model is None:
            return None
        since = now - timedelta(seconds=self._rules.history_s)
        history = {
            sensor_id: [
                reading
                for reading in self._readings.between(sensor_id, since, now + timedelta(microseconds=1), known_at=now)
                if reading.is_trusted
            ]
            for sensor_id, sensor in sensors.items()
            if sensor.quantity in _BALANCE_QUANTITIES
        }
        request = SupplyRequest(
            run_id=run_id,
            issued_at=now,
            sensors=sensors,
            latest=latest,
            history=history,
            horizon_s=self._rules.supply_horizon_s,
            required_pressure_m=self._rules.required_pressure_m,
            members=self._rules.supply_members,
        )
        forecast = model.run(request)
        self._suspected = self._suspect(forecast, model, sensors, latest)
        told = replace(forecast, mismatch=self._suspected.mismatch)
        return Run(run_id, RunKind.SUPPLY, now, RunStatus.OK, 0.0, supply=told)

    def _suspect(
        self,
        forecast: SupplyForecast,
        model: SupplyModel,
        sensors: Mapping[str, Sensor],
        latest: Mapping[str, Reading],
    ) -> Suspected:
        """Return what the residuals say; what goes wrong there costs no forecast."""
        try:
            return self._suspicion.follow(forecast, model, sensors, latest, self._registry.open_incidents())
        except UnavailableError:
            raise
        except Exception:
            _LOG.exception("the residuals could not be judged")
            return Suspected()

    def _run_drainage(self, run_id: str, now: datetime, sensors: Mapping[str, Sensor]) -> Run | None:
        model = self._models.drainage()
        if model is None:
            return None
        try:
            ensemble = self._weather.fetch(now=now)
        except UnavailableError as error:
            raise ModelError(f"there is no weather forecast: {error}") from error
        state, unknown = self._state_at(model, now, rain_gauges(sensors), ensemble)
        forecast = model.forecast(state, ensemble, run_id=run_id, horizon_s=self._rules.drainage_horizon_s)
        fallen = tuple(f"weather: {cause}" for cause in ensemble.causes)
        provenance = replace(forecast.provenance, warnings=(*forecast.provenance.warnings, *unknown, *fallen))
        told = replace(forecast, provenance=provenance)
        return Run(run_id, RunKind.DRAINAGE, now, forecast.status, 0.0, drainage=told)

    def _state_at(
        self, model: DrainageModel, now: datetime, gauges: Sequence[Sensor], ensemble: WeatherEnsemble
    ) -> tuple[DrainageState, tuple[str, ...]]:
        """Carry the newest usable state on to the end of the observed rain, keep it, and return it.

        Where the weather forecast begins later than that, the state is carried on to its beginning with the rain
        known so far, but that last piece is not kept: rain that arrives meanwhile is taken up by the next turn.
        Returned too is what of the rain was not known and taken for dry, in words.
        """
        newest = self._readings.latest([gauge.sensor_id for gauge in gauges], at=now, known_at=now)
        covered = covered_until(gauges, newest, now=now)
        usable = self._usable_state(model, gauges, by=covered, now=now)
        kept = self._carry_on(model, usable, gauges, end=covered, now=now)
        if kept.state is not usable:
            self._registry.save_state(kept.state)
        bridged = self._carry_on(model, kept.state, gauges, end=min(ensemble.valid_from, now), now=now)
        return bridged.state, (*kept.unknown, *bridged.unknown)

    def _usable_state(
        self, model: DrainageModel, gauges: Sequence[Sensor], *, by: datetime, now: datetime
    ) -> DrainageState | None:
        """Return the newest state that rests on all the rain known by now.

        Rain that became known only after a state had been carried past it makes that state useless: an older one
        is taken, so late readings re-open just the window they touch. A state older than a warm-up is not carried on:
        to begin cold takes no longer, however long the twin was away.
        """
        state = self._registry.latest_state(model.model_id, model.state_key, by=by)
        oldest = by - timedelta(seconds=self._rules.warm_up_s)
        while state is not None and state.valid_at >= oldest:
            reopened = self._rain_missed_by(state, gauges, now)
            if reopened is None:
                return state
            state = self._registry.latest_state(model.model_id, model.state_key, by=reopened)
        return None

    def _rain_missed_by(self, state: DrainageState, gauges: Sequence[Sensor], now: datetime) -> datetime | None:
        """Return the start of the earliest interval whose rain is not in `state` though it fell before it."""
        moment, known_until = state.valid_at, state.available_at or state.valid_at
        since = moment - timedelta(seconds=self._rules.warm_up_s)
        starts = []
        for gauge in gauges:
            interval = interval_of(gauge)
            for reading in self._readings.between(gauge.sensor_id, since, moment + interval, known_at=now):
                started = reading.observed_at - interval
                if is_rain(reading) and reading.available_at > known_until and started < moment:
                    starts.append(started)
        return min(starts, default=None)

    def _carry_on(
        self,
        model: DrainageModel,
        state: DrainageState | None,
        gauges: Sequence[Sensor],
        *,
        end: datetime,
        now: datetime,
    ) -> _Carried:
        """Drive `state` with the observed rain up to `end`; without a state, begin cold and warm up.

        The state made says up to which arrival (`available_at`) it knows the rain. That is the arrival of the newest
        reading seen and not the moment of this turn: readings are stamped before they are stored.
        """
        if state is not None and end <= state.valid_at:
            return _Carried(state)
        start = state.valid_at if state else end - timedelta(seconds=self._rules.warm_up_s)
        known_until = (state.available_at if state else None) or start
        rain, unknown = [], []
        for gauge in gauges:
            readings = self._readings.between(gauge.sensor_id, start, end + interval_of(gauge), known_at=now)
            known_until = max([known_until, *(reading.available_at for reading in readings)])
            series = observed_rain(gauge, readings, start=start, end=end)
            rain.append(series)
            if series.missing:
                unknown.append(_taken_for_dry(gauge, series, start, end))
        made = model.update(state, start=start, end=end, rain=rain)
        return _Carried(made if made is state else replace(made, available_at=known_until), tuple(unknown))

    # --------------------------------------------------------------------------------------------- judgement

    def _judge(
        self, now: datetime, sensors: Mapping[str, Sensor], marks: Mapping[str, datetime], runs: Sequence[Run]
    ) -> list[Incident]:
        customers = self._registry.customers()
        findings: list[Finding] = []
        judged: set[IncidentKind] = set()
        for run in runs:
            if run.supply is not None:
                findings += findings_from_supply(run.supply, now=now)
                judged |= SUPPLY_KINDS
                findings += self._suspected.findings
                if self._suspected.judged or self._suspected.findings:
                    judged.add(IncidentKind.STATUS_MISMATCH)
            if run.drainage is not None and run.status is RunStatus.OK and _knows_the_weather(run):
                findings += findings_from_drainage(
                    run.drainage, now=now, probability_threshold=self._rules.flood_probability
                )
                judged |= DRAINAGE_KINDS
        newest_of_any_quality = self._readings.latest(list(sensors), at=now, known_at=now, trusted_only=False)
        findings += findings_from_sensors(
            sensors,
            newest_of_any_quality,
            now=now,
            known_since=self._known_since,
            customers=customers,
            service_pressure_m=self._rules.required_pressure_m,
            stale=stale_since(marks, newest_of_any_quality, now=now),
        )
        judged |= SENSOR_KINDS
        changed = self._detector.judge(findings, self._registry.open_incidents(), frozenset(judged), customers, now=now)
        return self._registry.save_judgement(changed)

    def _tell(self, changed: Sequence[Incident]) -> str:
        try:
            self._noticeboard.follow(self._registry.open_incidents(), changed)
        except InputError as error:
            return str(error)
        return ""


def _knows_the_weather(run: Run) -> bool:
    """Whether the run rests on a forecast: climatology is no reason to open a flood, and none to close one."""
    return run.drainage is not None and run.drainage.provenance.weather_rung is not Rung.CLIMATOLOGY


@dataclass(frozen=True, slots=True)
class _Carried:
    """A drainage state, and what of the rain that made it was not known, in words."""

    state: DrainageState
    unknown: tuple[str, ...] = ()


def _taken_for_dry(gauge: Sensor, series: ObservedRain, start: datetime, end: datetime) -> str:
    return (
        f"rain gauge {gauge.sensor_id}: {series.missing} of {len(series.rain_mm)} intervals from "
        f"{start:%Y-%m-%d %H:%M}Z to {end:%Y-%m-%d %H:%M}Z are without a trusted reading and were taken for dry"
    )


def _beat(outcome: CycleOutcome) -> Beat:
    failed = [f"{run.kind}: {run.cause}" for run in outcome.runs if run.status is RunStatus.FAILED]
    figures = {f"{run.kind}_wall_s": run.wall_s for run in outcome.runs}
    problems = [*failed, outcome.untold] if outcome.untold else failed
    return Beat("cycle", outcome.now, outcome.ok, "; ".join(problems), figures)
