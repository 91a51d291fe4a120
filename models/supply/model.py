"""The supply model as the twin uses it: one INP, run in engine workers."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, tzinfo

from models.pool import EnginePool
from models.supply.assumptions import area_of
from models.supply.districts import metered_links, names_at_nodes, with_districts
from models.supply.ensemble import together
from models.supply.loader import LoadedModel, load_model
from models.supply.lookahead import LookaheadTask, SensorPlace, valid_at
from models.supply.members import LEAST_MEMBERS, members_within_reach, run_with_members
from models.supply.state import SupplyState, state_at
from models.supply.suspicion import Search, search_here
from models.supply.tracks import track_of
from twin.forecasts import Provenance, QualityOutlook, SupplyForecast
from twin.mismatch import Mismatch
from twin.network import Network
from twin.ports import MismatchQuestion, SupplyRequest
from twin.readings import ElementType, Sensor
from twin.units import Quantity

_FORESEEN = frozenset(
    {Quantity.PRESSURE, Quantity.HEAD, Quantity.FLOW, Quantity.LEVEL, Quantity.STATUS, Quantity.DEMAND, Quantity.VOLUME}
)


@dataclass(frozen=True, slots=True)
class _Districting:
    """What the districts follow from: the metered links, and the names that sensors give to nodes."""

    metered: frozenset[str]
    names: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, sensors: Iterable[Sensor]) -> _Districting:
        known = list(sensors)
        return cls(metered_links(known), tuple(sorted(names_at_nodes(known).items())))


class EpanetSupply:
    """Fulfils `twin.ports.SupplyModel` with EPANET.

    Args:
        inp: The INP file.
        pool: Where engines run.
        model_id: The model's name.
        time_limit_s: Wall time a look-ahead may take.
        zone: The local time that the model's clock, patterns and time controls are meant in.
        sensors: The sensors known so far; those that meter flow bound the districts. Each run brings its own.
    """

    def __init__(
        self,
        inp: bytes,
        pool: EnginePool,
        *,
        model_id: str,
        time_limit_s: float = 60.0,
        zone: tzinfo = UTC,
        sensors: Iterable[Sensor] = (),
    ) -> None:
        self.model_id = model_id
        self._inp = inp
        self._pool = pool
        self._time_limit_s = time_limit_s
        self._zone = zone
        self._districting = _Districting.of(sensors)
        self._lock = threading.Lock()
        self._loaded: LoadedModel | None = None
        self._network: tuple[_Districting, Network] | None = None

    @property
    def network(self) -> Network:
        """The network with the districts of the sensors seen last; the first access reads the INP.

        Raises:
            InputError: If the INP is refused or cannot be read.
        """
        return self._network_between(self._districting)

    def run(self, request: SupplyRequest) -> SupplyForecast:
        """Return the look-ahead from the request's moment.

        Raises:
            ModelError: If there is no believable answer, with the cause.
            InputError: If the INP is refused or cannot be read.
        """
        self._districting = _Districting.of(request.sensors.values())
        loaded = self._load()
        network = self._network_between(self._districting)
        state = state_at(request, network, loaded.facts, self._zone)
        members = members_within_reach(request.members, loaded.facts, request.horizon_s)
        task, follows_quality = self._task(request, state), loaded.facts.water is not None
        answers = run_with_members(task, members, self._pool, with_quality=follows_quality)
        ahead, done, quality = answers.median, answers.done, answers.quality
        found = together(ahead, done, issued_at=request.issued_at)
        warnings = (*ahead.warnings, *_few(request.members, len(done)), *_unknown_quality(quality))
        return SupplyForecast(
            run_id=request.run_id,
            issued_at=request.issued_at,
            valid_at=valid_at(request.issued_at, ahead.hours),
            provenance=self._provenance(request, loaded, state, warnings),
            required_pressure_m=request.required_pressure_m,
            outages=found.outages,
            tanks=found.tanks,
            series=ahead.series,
            demand_m3=ahead.demand_m3,
            delivered_m3=ahead.delivered_m3,
            measured=state.measured,
            assumed=state.assumed,
            assumed_area=area_of(state.assumed, network, loaded.facts),
            rests=state.rests,
            members_done=len(done),
            members_failed=answers.failed,
            possible=found.possible,
            pumps=found.pumps,
            quality=None if isinstance(quality, str) else quality,
        )

    def mismatch(self, question: MismatchQuestion) -> Mismatch:
        """Return what explains the residuals of the last hours: a link's status, a leak, or nothing that can be told.

        Raises:
            ModelError: If there is no answer, with the cause.
            InputError: If the INP cannot be read, or no sensor is at a node or link of the model.
        """
        network = self._network_between(_Districting.of(question.sensors.values()))
        tracks = tuple(
            track_of(question.sensors[sensor_id], readings)
            for sensor_id, readings in question.history.items()
            if readings and sensor_id in question.sensors
        )
        search = Search(question.at, question.hours, question.usual_from, question.usual_to)
        limit_s = 0.5 * self._time_limit_s
        return self._pool.run(
            search_here, self._inp, network, tracks, search, self._zone, limit_s, time_limit_s=self._time_limit_s
        )

    def _load(self) -> LoadedModel:
        with self._lock:
            if self._loaded is None:
                self._loaded = load_model(self._inp, self._pool)
            return self._loaded

    def _network_between(self, districting: _Districting) -> Network:
        loaded = self._load()
        with self._lock:
            if self._network is None or self._network[0] != districting:
                network = with_districts(loaded.network, districting.metered, dict(districting.names))
                self._network = districting, network
            return self._network[1]

    def _task(self, request: SupplyRequest, state: SupplyState) -> LookaheadTask:
        return LookaheadTask(
            inp=self._inp,
            issued_at=request.issued_at,
            zone=self._zone,
            horizon_s=request.horizon_s,
            required_pressure_m=request.required_pressure_m,
            state=state,
            places=_places(request.sensors.values()),
            wall_limit_s=0.9 * self._time_limit_s,
        )

    def _provenance(
        self, request: SupplyRequest, loaded: LoadedModel, state: SupplyState, warnings: tuple[str, ...]
    ) -> Provenance:
        rules = ("rules on SYSTEM TIME count from T0",) if loaded.facts.ruled_links else ()
        return Provenance(
            model_id=self.model_id,
            model_hash=loaded.sha256,
            engine=loaded.facts.engine,
            state_at=request.issued_at,
            state_basis=state.basis,
            inputs_hash=_inputs_hash(request, state, loaded.sha256),
            warnings=(*warnings, *rules),
        )


def _few(asked: int, done: int) -> tuple[str, ...]:
    """Say that too few members of an ensemble are there."""
    if not asked or done >= LEAST_MEMBERS:
        return ()
    return (f"no probabilities: {done} of {asked} members of the ensemble were run, {LEAST_MEMBERS} are needed",)


def _unknown_quality(quality: QualityOutlook | str | None) -> tuple[str, ...]:
    return (f"the quality of the water is not known: {quality}",) if isinstance(quality, str) else ()


def _places(sensors: Iterable[Sensor]) -> tuple[SensorPlace, ...]:
    places = {
        SensorPlace(str(sensor.element_type), sensor.element_id, sensor.quantity)
        for sensor in sensors
        if sensor.element_type in (ElementType.NODE, ElementType.LINK) and sensor.quantity in _FORESEEN
    }
    return tuple(sorted(places, key=lambda place: (place.element_type, place.element_id, place.quantity)))


def _inputs_hash(request: SupplyRequest, state: SupplyState, model_sha256: str) -> str:
    """Return what names the inputs of a run: the same inputs give the same forecast."""
    parts = (
        model_sha256,
        request.issued_at.isoformat(),
        request.horizon_s,
        request.required_pressure_m,
        sorted(state.tank_level_m.items()),
        sorted(state.initially_open.items()),
        sorted(link.cause_key for link in state.held_closed),
        state.districts,
        state.multipliers.tolist(),
        request.members,
        [(spread.level, spread.hourly) for spread in state.spreads],
        state.measured,
        state.assumed,
    )
    return hashlib.sha256(repr(parts).encode()).hexdigest()
