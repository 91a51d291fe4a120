"""How well the online state foresees: hour by hour through old readings, with nothing that was not known by then.

At each hour t the state is derived as a cycle derives it (`state_at`, from readings observed up to t), the look-ahead
runs one hour as a cycle runs it, and what it says of each pressure sensor's place at t and t + 1 h is set against what
was then read there. Beside it stand persistence (what was read at t) and the model as its file has it: its own run
from its time 0, which knows the hour of the week and no reading.

Leaks and closed valves that are in the readings stay in the figures: the model does not know them.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import pairwise
from typing import Any

import numpy as np

from models.pool import EnginePool
from models.supply.districts import metered_links, names_at_nodes, with_districts
from models.supply.epanet import Option
from models.supply.facts import WEEK_S, Floats
from models.supply.loader import LoadedModel, load_model
from models.supply.lookahead import LookaheadTask, SensorPlace, look_ahead
from models.supply.open_supply import open_supply
from models.supply.results import HOUR_S
from models.supply.simulation import prepare_times, run
from models.supply.state import SupplyState, state_at
from models.supply.tracks import Track, moment_of
from twin.clock import format_time
from twin.errors import InputError, ModelError
from twin.network import Network
from twin.ports import SupplyRequest
from twin.readings import ElementType, Reading, Sensor
from twin.units import Quantity

LEAD_S = HOUR_S
HISTORY = timedelta(days=14)
"""What a cycle looks back on."""

_HOURS_AT_ONCE = 24 * 14
_SECONDS_AN_HOUR = 2.0
_CONTINUE_TRIALS = 10
_STATE_READS = frozenset({Quantity.FLOW, Quantity.LEVEL, Quantity.STATUS})


@dataclass(frozen=True, slots=True)
class _Piece:
    """A row of hours that one worker walks through."""

    inp: bytes
    loaded: LoadedModel
    network: Network
    hours: tuple[datetime, ...]
    tracks: tuple[Track, ...]
    places: tuple[SensorPlace, ...]
    zone: tzinfo
    required_pressure_m: float


@dataclass(frozen=True, slots=True, eq=False)
class _Walked:
    """What the look-aheads of a piece say: (hours, 2, places), NaN where there was no answer, and why."""

    foreseen_m: Floats
    failures: tuple[str, ...]
    rungs: Counter[str]


def backtest_state(
    inp: bytes,
    tracks: Sequence[Track],
    pool: EnginePool,
    *,
    start: datetime | None = None,
    end: datetime | None = None,
    every_h: int = 1,
    zone: tzinfo = UTC,
    required_pressure_m: float = 10.0,
) -> dict[str, Any]:
    """Foresee each pressure one hour ahead from every hour in [start, end), and return how far off that was.

    The answer is `{model_hash, engine, from, to, hours, hours_failed, failures, districts, demand_rungs,
    methods: {online|persistence|model: {mae_m, bias_m, rmse_m}}, now: {mae_m, bias_m}, sensors: {element:
    {n, mae_m, bias_m, now_mae_m, persistence_mae_m, model_mae_m, model_bias_m}}, months: {YYYY-MM: {mae_m, bias_m,
    persistence_mae_m, model_mae_m}}}`. Bias is forecast minus observed. A figure over all sensors is the mean of the
    sensors' figures. `now` is the state at t against what was read at t.

    Raises:
        InputError: If the INP is refused, or there is no pressure sensor at a node of the model.
        ModelError: If no hour could be judged.
    """
    if every_h < 1:
        raise InputError(f"the step must be at least 1 hour, not {every_h}")
    loaded = load_model(inp, pool)
    judged = [track for track in tracks if _is_judged(track.sensor, loaded)]
    if not judged:
        raise InputError("there is no pressure sensor at a node of the model: nothing to judge the state by")
    sensors = [track.sensor for track in tracks]
    network = with_districts(loaded.network, metered_links(sensors), names_at_nodes(sensors))
    hours = _hours(judged, start, end, every_h)
    known = [track for track in tracks if _is_read_by_state(track.sensor, loaded)]
    places = tuple(SensorPlace("node", track.sensor.element_id, Quantity.PRESSURE) for track in judged)
    pieces = [
        _Piece(inp, loaded, network, part, _until(known, part), places, zone, required_pressure_m)
        for part in _parts(hours)
    ]
    walked = _all(pool.map(_walk, pieces, time_limit_s=120 + _SECONDS_AN_HOUR * _HOURS_AT_ONCE))
    foreseen = np.concatenate([piece.foreseen_m for piece in walked])
    moments_s = np.array([hour.timestamp() for hour in hours])
    own_week = pool.run(_own_week, inp, places)
    clock_h = np.array([loaded.facts.model_time_s(hour + timedelta(seconds=LEAD_S), zone) // HOUR_S for hour in hours])
    figures = _Figures(
        places=tuple(place.element_id for place in places),
        hours=hours,
        now_m=np.stack([track.at(moments_s) for track in judged], axis=1),
        then_m=np.stack([track.at(moments_s + LEAD_S) for track in judged], axis=1),
        foreseen_m=foreseen,
        model_m=own_week[clock_h],
    )
    failures = [words for piece in walked for words in piece.failures]
    rungs: Counter[str] = Counter()
    for piece in walked:
        rungs.update(piece.rungs)
    return {
        "model_hash": loaded.sha256,
        "engine": loaded.facts.engine,
        "from": format_time(hours[0]),
        "to": format_time(hours[-1]),
        "hours": len(hours),
        "hours_failed": len(failures),
        "failures": failures[:10],
        "districts": dict(Counter(network.district_of_node.values())),
        "demand_rungs": dict(sorted(rungs.items())),
        **figures.answer(),
    }


def _is_judged(sensor: Sensor, loaded: LoadedModel) -> bool:
    at_node = sensor.element_type is ElementType.NODE and sensor.element_id in loaded.network.nodes
    return sensor.quantity is Quantity.PRESSURE and at_node and sensor.element_id not in loaded.facts.tanks


def _is_read_by_state(sensor: Sensor, loaded: LoadedModel) -> bool:
    return sensor.quantity in _STATE_READS or sensor.element_id in loaded.facts.tanks


def _hours(judged: Sequence[Track], start: datetime | None, end: datetime | None, every_h: int) -> tuple[datetime, ...]:
    """Return the full hours to start from, by default all that have an observation an hour later."""
    observed = [track for track in judged if len(track.times_s)]
    if not observed:
        raise InputError("the pressure sensors have no readings")
    first_s = min(track.times_s[0] for track in observed) if start is None else start.timestamp()
    last_s = max(track.times_s[-1] for track in observed) - LEAD_S if end is None else end.timestamp() - 1
    first_s = -(-first_s // HOUR_S) * HOUR_S
    if last_s < first_s:
        raise InputError("there is no full hour between the start and the end")
    return tuple(moment_of(second) for second in np.arange(first_s, last_s + 1, every_h * HOUR_S).tolist())


def _parts(hours: tuple[datetime, ...]) -> Iterator[tuple[datetime, ...]]:
    for first, last in pairwise([*range(0, len(hours), _HOURS_AT_ONCE), len(hours)]):
        yield hours[first:last]


def _until(tracks: Sequence[Track], hours: tuple[datetime, ...]) -> tuple[Track, ...]:
    since_s, until_s = (hours[0] - HISTORY).timestamp(), hours[-1].timestamp()
    return tuple(track.between(since_s, until_s) for track in tracks)


def _all(answers: Sequence[_Walked | ModelError]) -> list[_Walked]:
    walked = []
    for answer in answers:
        if isinstance(answer, ModelError):
            raise answer
        walked.append(answer)
    return walked


# ----------------------------------------------------------------------------------------------------- in a worker


def _walk(piece: _Piece) -> _Walked:
    """Walk through the hours of a piece in this process, which must be an engine worker."""
    past = {track.sensor.sensor_id: track.readings() for track in piece.tracks}
    observed_at = {sensor_id: [r.observed_at for r in readings] for sensor_id, readings in past.items()}
    sensors = {track.sensor.sensor_id: track.sensor for track in piece.tracks}
    foreseen = np.full((len(piece.hours), 2, len(piece.places)), np.nan)
    failures, rungs = [], Counter[str]()
    for row, hour in enumerate(piece.hours):
        history = {
            sensor_id: past[sensor_id][bisect_right(moments, hour - HISTORY) : bisect_right(moments, hour)]
            for sensor_id, moments in observed_at.items()
        }
        try:
            state = state_at(_request(hour, sensors, history, piece), piece.network, piece.loaded.facts, piece.zone)
            foreseen[row] = _foresee(piece, hour, state)
        except ModelError as error:
            failures.append(f"{format_time(hour)}: {error}")
            continue
        rungs.update(f"{demand.district}: {demand.basis}" for demand in state.demand if demand.demand_m3s.any())
    return _Walked(foreseen, tuple(failures), rungs)


def _request(
    hour: datetime, sensors: Mapping[str, Sensor], history: Mapping[str, Sequence[Reading]], piece: _Piece
) -> SupplyRequest:
    return SupplyRequest(
        run_id=format_time(hour),
        issued_at=hour,
        sensors=sensors,
        latest={sensor_id: readings[-1] for sensor_id, readings in history.items() if readings},
        history=history,
        horizon_s=LEAD_S,
        required_pressure_m=piece.required_pressure_m,
    )


def _foresee(piece: _Piece, hour: datetime, state: SupplyState) -> Floats:
    """Return the pressures at the places now and an hour later."""
    ahead = look_ahead(
        LookaheadTask(piece.inp, hour, piece.zone, LEAD_S, piece.required_pressure_m, state, piece.places, 60.0)
    )
    return np.array([series.values for series in ahead.series]).T


def _own_week(inp: bytes, places: Sequence[SensorPlace]) -> Floats:
    """Return the pressures of the model's own run, per hour of its first week (hours, places)."""
    supply = open_supply(inp)
    facts = supply.facts
    with supply.setup() as setup:
        if setup.project.option(Option.UNBALANCED_TRIALS) < 0:
            setup.set_option(Option.UNBALANCED_TRIALS, _CONTINUE_TRIALS)
        prepare_times(
            setup,
            duration_s=WEEK_S,
            pattern_start_s=facts.clock.pattern_start_s,
            start_clock_s=facts.clock.start_clock_s,
        )
        results = run(setup, wall_limit_s=110.0)
    columns = [facts.node_ids.index(place.element_id) for place in places]
    pressure_m: Floats = results.head_m[results.hours][: WEEK_S // HOUR_S, columns] - facts.elevation_m[columns]
    return pressure_m


# --------------------------------------------------------------------------------------------------------- figures


@dataclass(frozen=True, slots=True, eq=False)
class _Figures:
    """Observed and foreseen pressures (hours, places); `foreseen_m` is (hours, 2, places): at t and an hour later."""

    places: tuple[str, ...]
    hours: tuple[datetime, ...]
    now_m: Floats
    then_m: Floats
    foreseen_m: Floats
    model_m: Floats

    def answer(self) -> dict[str, Any]:
        errors = {
            "online": self.foreseen_m[:, 1] - self.then_m,
            "persistence": self.now_m - self.then_m,
            "model": self.model_m - self.then_m,
        }
        common = np.logical_and.reduce([np.isfinite(error) for error in errors.values()])  # all are judged alike
        if not common.any():
            raise ModelError("no hour could be judged: no forecast meets an observation an hour later")
        errors = {name: np.where(common, error, np.nan) for name, error in errors.items()}
        now = self.foreseen_m[:, 0] - self.now_m
        judged = common.any(axis=0)
        return {
            "methods": {
                name: {
                    "mae_m": _mean(_columns(np.abs(error), judged)),
                    "bias_m": _mean(_columns(error, judged)),
                    "rmse_m": float(np.sqrt(np.nanmean(error**2))),
                }
                for name, error in errors.items()
            },
            "now": {"mae_m": _mean(_columns(np.abs(now), judged)), "bias_m": _mean(_columns(now, judged))},
            "sensors": {
                place: _of_sensor(column, errors, now) for column, place in enumerate(self.places) if judged[column]
            },
            "months": self._months(errors),
        }

    def _months(self, errors: Mapping[str, Floats]) -> dict[str, dict[str, float]]:
        months = np.array([f"{hour:%Y-%m}" for hour in self.hours])
        found = {}
        for month in sorted(set(months.tolist())):
            part = {name: error[months == month] for name, error in errors.items()}
            if not np.isfinite(part["online"]).any():
                continue
            found[month] = {
                "mae_m": float(np.nanmean(np.abs(part["online"]))),
                "bias_m": float(np.nanmean(part["online"])),
                "persistence_mae_m": float(np.nanmean(np.abs(part["persistence"]))),
                "model_mae_m": float(np.nanmean(np.abs(part["model"]))),
            }
        return found


def _of_sensor(column: int, errors: Mapping[str, Floats], now: Floats) -> dict[str, float]:
    of = {name: error[:, column] for name, error in errors.items()}
    return {
        "n": int(np.isfinite(of["online"]).sum()),
        "mae_m": float(np.nanmean(np.abs(of["online"]))),
        "bias_m": float(np.nanmean(of["online"])),
        "now_mae_m": float(np.nanmean(np.abs(now[:, column]))),
        "persistence_mae_m": float(np.nanmean(np.abs(of["persistence"]))),
        "model_mae_m": float(np.nanmean(np.abs(of["model"]))),
        "model_bias_m": float(np.nanmean(of["model"])),
    }


def _columns(values: Floats, judged: np.ndarray[Any, np.dtype[np.bool_]]) -> Floats:
    means: Floats = np.nanmean(values[:, judged], axis=0)
    return means


def _mean(values: Floats) -> float:
    return float(values.mean())
