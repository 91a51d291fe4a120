"""Wiring: the one module that knows every package and joins ports with adapters.

Nothing heavy is imported before it is needed, so that the command line answers at once.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, tzinfo
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from api.services import Services
from api.settings import DEFAULT_PUBLIC_URL, Settings, load_settings
from twin.clock import Clock, SystemClock
from twin.cycle import Cycle, CycleRules
from twin.detection import Detector, Rules
from twin.errors import ConfigError, InputError, ModelError, NotFoundError
from twin.forecasts import Rung
from twin.incidents import IncidentKind
from twin.isolation import IsolationQuestion
from twin.network import Network, NetworkKind
from twin.noticeboard import Noticeboard
from twin.notices import NoticeStatus
from twin.ports import (
    AuditEntry,
    DeadLetters,
    DrainageModel,
    ModelFile,
    ReadingStore,
    Registry,
    WeatherSource,
)
from twin.readings import Sensor
from twin.staleness import stale_since, without
from twin.supply_request import supply_request

if TYPE_CHECKING:
    from api.scenario_desk import ScenarioDesk
    from ingest.mqtt_settings import MqttSettings
    from models.pool import EnginePool, Engines
    from models.supply.model import EpanetSupply
    from models.supply.scenarios.present import Present
    from twin.scenarios import Scenario

# ------------------------------------------------------------------------------------------------------ memory


def data_folder(given: Path | None) -> Path:
    """Return the data folder: the one given, else TWIN_DATA_DIR, else ./h2twin-data."""
    return load_settings(data_dir=given).data_dir


def make_private(folder: Path) -> Path:
    """Make the data folder where it is missing; only its owner may look into it.

    Raises:
        ConfigError: If it cannot be made or written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder.chmod(0o700)
        keep_out = folder / ".gitignore"
        if not keep_out.exists():
            keep_out.write_text("*\n")
    except OSError as error:
        raise ConfigError(f"cannot use {folder} as the data folder: {error}") from error
    return folder


EXERCISE_FILE = "EXERCISE"
"""Marks a data folder whose content is a demo or a replay: nothing in it is real, and no service starts on it."""


def apart(settings: Settings, folder: Path, *, mqtt_url: str | None = None) -> Settings:
    """Return settings for an exercise in a folder of its own, which no setting can connect with the live stores.

    Raises:
        ConfigError: If the folder holds live data or cannot be made.
    """
    if not is_exercise(folder) and any(folder.glob("*.db")):
        raise ConfigError(f"{folder} holds live data; an exercise needs a folder of its own")
    (make_private(folder) / EXERCISE_FILE).touch()
    own = {"data_dir": folder, "mqtt_port": 0, "influx_url": None, "database_url": None, "dask_scheduler": None}
    return settings.model_copy(update={**own, "mqtt_url": SecretStr(mqtt_url) if mqtt_url else None})


def is_exercise(folder: Path) -> bool:
    """Whether the data folder holds a demo or a replay."""
    return (folder / EXERCISE_FILE).exists()


def refuse_exercise(settings: Settings) -> None:
    """Raise ConfigError if the data folder holds an exercise: a service must not go on where a demo ended."""
    if is_exercise(settings.data_dir):
        raise ConfigError(f"{settings.data_dir} holds a demo or a replay; serve from another --data-dir")


def open_registry(settings: Settings) -> Registry:
    """Open (and migrate) the registry: PostgreSQL where TWIN_DATABASE_URL says so, else SQLite."""
    from twin.storage.registry import open_registry as connect

    if settings.database_url is not None:
        return connect(settings.database_url.get_secret_value())
    return connect(f"sqlite:///{make_private(settings.data_dir) / 'registry.db'}")


def open_readings(settings: Settings, letters: DeadLetters | None = None) -> ReadingStore:
    """Open the reading store: InfluxDB behind a durable spool where TWIN_INFLUX_URL says so, else SQLite.

    Where other ingesters have spools too (TWIN_INGEST_SHARE), `letters` takes what came to one of them first with
    another value; without it, whoever has it forwards.
    """
    folder = make_private(settings.data_dir)
    max_bytes = settings.store_max_mb and settings.store_max_mb * 1024 * 1024
    if settings.influx_url is not None:
        from twin.storage.influx_readings import InfluxReadings

        assert settings.influx_token is not None
        return InfluxReadings(
            url=settings.influx_url,
            token=settings.influx_token.get_secret_value(),
            org=settings.influx_org,
            bucket=settings.influx_bucket,
            spool_path=folder / "spool.db",
            max_waiting=settings.spool_readings,
            max_bytes=max_bytes,
            has_company=bool(settings.ingest_share),
            conflicts=letters,
        )
    from twin.storage.sqlite_readings import SqliteReadings

    return SqliteReadings(folder / "readings.db", max_bytes=max_bytes)


@dataclass(frozen=True, slots=True)
class Memory:
    """Both stores of one installation."""

    readings: ReadingStore
    registry: Registry

    def close(self) -> None:
        """Close both; what they were given stays durable."""
        self.readings.close()
        self.registry.close()


def open_memory(settings: Settings) -> Memory:
    """Open both stores."""
    registry = open_registry(settings)
    return Memory(open_readings(settings, registry), registry)


@dataclass(frozen=True, slots=True)
class Offline:
    """What a command needs that works on the data folder without the service."""

    settings: Settings
    clock: Clock
    registry: Registry
    noticeboard: Noticeboard
    open_readings: Callable[[], ReadingStore]

    def audit(self, action: str, subject: str, detail: str = "", *, actor: str = "cli") -> None:
        """Record what a person did at the command line."""
        self.registry.record(AuditEntry(self.clock.now(), actor, action, subject, detail))


@contextmanager
def offline(data_dir: Path | None, **given: object) -> Iterator[Offline]:
    """Open the registry of a data folder for the length of one command."""
    settings = load_settings(data_dir=data_dir, **given)
    clock = SystemClock()
    registry = open_registry(settings)
    opened: list[ReadingStore] = []

    def readings() -> ReadingStore:
        opened.append(open_readings(settings, registry))
        return opened[-1]

    try:
        board = make_noticeboard(settings, registry, clock, exercise=False)
        yield Offline(settings, clock, registry, board, readings)
    finally:
        for store in opened:
            store.close()
        registry.close()


# ------------------------------------------------------------------------------------------------------ models


@contextmanager
def engine_pool(settings: Settings, *, workers: int | None = None) -> Iterator[EnginePool]:
    """Run engine processes for the length of the block."""
    from models.pool import EnginePool

    with EnginePool(
        workers or settings.workers,
        time_limit_s=settings.engine_time_limit_s,
        memory_limit_mb=settings.engine_memory_mb,
    ) as pool:
        yield pool


@contextmanager
def scenario_engines(scheduler: str | None, pool: EnginePool, say: Callable[[str], None]) -> Iterator[Engines]:
    """Give what runs scenarios for the length of the block: a Dask scheduler's workers, else the pool.

    `say` hears if the pool has to do what Dask should have done.
    """
    if scheduler is None:
        yield pool
        return
    from models.dask_pool import DaskPool

    with DaskPool(scheduler, pool, say=say) as engines:
        yield engines


def load_supply_model(
    file: ModelFile, pool: EnginePool, *, sensors: Sequence[Sensor] = (), zone: tzinfo = UTC
) -> EpanetSupply:
    """Make a supply model of an imported INP.

    Its districts are what the flow `sensors` enclose; its clock and daily patterns are of `zone`.
    """
    from models.supply.model import EpanetSupply

    limit_s = pool.time_limit_s
    return EpanetSupply(file.content, pool, model_id=file.name, time_limit_s=limit_s, sensors=sensors, zone=zone)


def load_drainage_model(file: ModelFile, pool: EnginePool) -> DrainageModel:
    """Make a drainage model of an imported INP."""
    from models.drainage.model import SwmmDrainage

    return SwmmDrainage(file.content, pool, model_id=file.name, time_limit_s=pool.time_limit_s)


class Models:
    """The models in use; a newly imported file is taken up by the next cycle."""

    def __init__(
        self, registry: Registry, pool: EnginePool, *, zone: tzinfo = UTC, dask_scheduler: str | None = None
    ) -> None:
        self._registry = registry
        self._pool = pool
        self._dask_scheduler = dask_scheduler
        self._zone = zone
        self._supply: tuple[tuple[str, tuple[Sensor, ...]], EpanetSupply] | None = None
        self._drainage: tuple[str, DrainageModel] | None = None
        self._named: tuple[Mapping[str, str], Mapping[str, str]] | None = None

    def supply(self) -> EpanetSupply | None:
        """Return the supply model, or None while none is imported."""
        file = self._registry.model_file(NetworkKind.SUPPLY)
        if file is None:
            return None
        sensors = tuple(self._registry.sensors().values())
        if self._supply is None or self._supply[0] != (file.sha256, sensors):
            self._supply = ((file.sha256, sensors), self._load_supply(file, sensors))
        return self._supply[1]

    def _load_supply(self, file: ModelFile, sensors: Sequence[Sensor]) -> EpanetSupply:
        return load_supply_model(file, self._pool, sensors=sensors, zone=self._zone)

    def drainage(self) -> DrainageModel | None:
        """Return the drainage model, or None while none is imported."""
        file = self._registry.model_file(NetworkKind.DRAINAGE)
        if file is None:
            return None
        if self._drainage is None or self._drainage[0] != file.sha256:
            self._drainage = (file.sha256, load_drainage_model(file, self._pool))
        return self._drainage[1]

    def network(self, kind: NetworkKind) -> Network | None:
        """Return the network of a kind, or None while none is imported."""
        model = self.supply() if kind is NetworkKind.SUPPLY else self.drainage()
        return model.network if model else None

    def isolate(self, question: IsolationQuestion, clock: Clock, *, required_pressure_m: float) -> dict[str, Any]:
        """Say how to cut a link or node of the supply network in use off; see `api.isolating.isolate`."""
        from api.isolating import isolate

        return isolate(question, self._registry, self._pool, clock, required_pressure_m=required_pressure_m)

    def check_scenario_engines(self) -> None:
        """Raise ConfigError if a Dask scheduler is set that could never be asked from here."""
        if self._dask_scheduler is not None:
            from models.dask_pool import check_dask

            check_dask(self._dask_scheduler)

    def answer_scenarios(
        self, inp: bytes, scenarios: Sequence[Scenario], present: Present | None, say: Callable[[str], None]
    ) -> Generator[dict[str, Any], None, None]:
        """Run scenarios of an INP in order; see `models.supply.scenarios.run` and `scenario_engines`."""
        from models.supply.scenarios.run import answers_in_turn

        with scenario_engines(self._dask_scheduler, self._pool, say) as engines:
            yield from answers_in_turn(inp, scenarios, engines, present=present)

    def present(self, readings: ReadingStore, at: datetime, horizon_s: int, members: int) -> Present:
        """Return the supply network's state as it was known at a moment, with `members` courses of demand.

        Raises:
            NotFoundError: If no supply network is imported.
            UnavailableError: If the store is away.
        """
        model = self.supply()
        if model is None:
            raise NotFoundError("no supply network is imported; `h2twin import network FILE` does it")
        sensors = self._registry.sensors()
        trusted = readings.latest(list(sensors), at=at, known_at=at)
        latest = without(trusted, stale_since(self._registry.stale_marks(), trusted, now=at))
        return model.present(
            supply_request("scenarios", readings, sensors, latest, now=at, horizon_s=horizon_s, members=members)
        )

    def districts_in_use(self) -> Mapping[str, str]:
        """Return the district of each supply node of the model loaded last; none before one could be read.

        Only districts that the sensors' registry names: the model calls the others by an id of its own (a tank, a
        node), which is nobody's business outside.
        """
        if self._supply is None:
            return {}
        (_, sensors), model = self._supply
        try:
            all_of_model = model.network.district_of_node
        except (InputError, ModelError):
            return {}
        if self._named is None or self._named[0] is not all_of_model:
            names = {sensor.district for sensor in sensors} - {""}
            self._named = (all_of_model, {node: name for node, name in all_of_model.items() if name in names})
        return self._named[1]


# ----------------------------------------------------------------------------------------------------- weather


def make_weather(settings: Settings, registry: Registry) -> WeatherSource:
    """Make the ladder of weather sources that the settings name; its last rung always answers."""
    from ingest.weather.ladder import WeatherLadder

    return WeatherLadder(_weather_rungs(settings), registry)


def _weather_rungs(settings: Settings) -> Sequence[tuple[Rung, WeatherSource]]:
    if settings.weather == "files":
        from ingest.weather.files import WeatherFiles

        assert settings.weather_files is not None
        return [(Rung.ENSEMBLE, WeatherFiles(settings.weather_files))]
    if settings.weather == "none":
        return []
    latitude, longitude = settings.weather_latitude, settings.weather_longitude
    assert latitude is not None
    assert longitude is not None
    if settings.weather == "met_norway":
        from ingest.weather.met_norway import MetNorway

        agent = settings.weather_user_agent
        met = MetNorway(settings.met_norway_url, latitude=latitude, longitude=longitude, user_agent=agent)
        return [(Rung.DETERMINISTIC, met)]
    from ingest.weather.open_meteo import OpenMeteo

    key = settings.open_meteo_key.get_secret_value() if settings.open_meteo_key else None
    agent = settings.weather_user_agent or "h2twin"
    ensemble, deterministic = (
        OpenMeteo(url, latitude, longitude, ensemble=is_ensemble, api_key=key, user_agent=agent)
        for url, is_ensemble in ((settings.open_meteo_ensemble_url, True), (settings.open_meteo_url, False))
    )
    return [(Rung.ENSEMBLE, ensemble), (Rung.DETERMINISTIC, deterministic)]


# -------------------------------------------------------------------------------------------------- the cycle


DEMO_AUTO_PUBLISH = frozenset(
    {IncidentKind.OUTAGE_OBSERVED, IncidentKind.OUTAGE_PREDICTED, IncidentKind.FLOOD_PREDICTED}
)


def make_noticeboard(
    settings: Settings,
    registry: Registry,
    clock: Clock,
    *,
    exercise: bool,
    districts: Mapping[str, str] | None = None,
) -> Noticeboard:
    """Make the notices' desk; what is made in an exercise can never pass for real."""
    from api.channels.cap import to_cap
    from api.channels.texts import TextWriter

    status = NoticeStatus.EXERCISE if exercise else NoticeStatus.ACTUAL
    return Noticeboard(
        registry,
        writer=TextWriter(settings.zone, status=status),
        clock=clock,
        status=status,
        auto_publish=DEMO_AUTO_PUBLISH if exercise else settings.notice_auto_publish,
        districts=districts,
        proof=partial(to_cap, sender=settings.notice_sender, base_url=settings.public_url),
    )


def make_cycle(
    settings: Settings,
    memory: Memory,
    models: Models,
    weather: WeatherSource,
    clock: Clock,
    *,
    exercise: bool,
) -> Cycle:
    """Join everything that one turn of the twin needs."""
    return Cycle(
        clock=clock,
        readings=memory.readings,
        registry=memory.registry,
        noticeboard=make_noticeboard(settings, memory.registry, clock, exercise=exercise, districts=_Districts(models)),
        models=models,
        weather=weather,
        rules=CycleRules(
            supply_horizon_s=int(settings.supply_horizon_h * 3600),
            drainage_horizon_s=int(settings.drainage_horizon_h * 3600),
            supply_members=settings.supply_members,
            required_pressure_m=settings.required_pressure_m,
            flood_probability=settings.flood_probability,
        ),
        detector=Detector(Rules()),
    )


class _Districts(Mapping[str, str]):
    """The district of each supply node, of the model that the present turn uses: models are imported while we run."""

    def __init__(self, models: Models) -> None:
        self._models = models

    def __getitem__(self, node_id: str) -> str:
        return self._models.districts_in_use()[node_id]

    def __iter__(self) -> Iterator[str]:
        return iter(self._models.districts_in_use())

    def __len__(self) -> int:
        return len(self._models.districts_in_use())


def at_address(settings: Settings, address: str) -> Settings:
    """Return settings whose public links lead to where the pages are served, unless TWIN_PUBLIC_URL says otherwise."""
    everywhere = ("://0.0.0.0:", "://[::]:")  # where it listens, but nowhere that a link can lead to
    if settings.public_url != DEFAULT_PUBLIC_URL or any(host in address for host in everywhere):
        return settings
    return settings.model_copy(update={"public_url": address})


def make_scenario_desk(memory: Memory, models: Models, clock: Clock) -> ScenarioDesk:
    """Make what works on jobs of scenarios, not yet started.

    Raises:
        ConfigError: If a Dask scheduler is set that could never be asked from here.
    """
    from api.scenario_desk import ScenarioDesk

    models.check_scenario_engines()
    presents = partial(models.present, memory.readings)
    return ScenarioDesk(memory.registry, clock, models.answer_scenarios, presents)


def make_services(
    settings: Settings,
    memory: Memory,
    models: Models,
    clock: Clock,
    *,
    exercise: bool,
    cycle_s: float | None = None,
    scenarios_asked: Callable[[], None] = lambda: None,
) -> Services:
    """Join everything that the web application serves."""
    return Services(
        clock=clock,
        readings=memory.readings,
        registry=memory.registry,
        network=models.network,
        timezone=settings.zone,
        cycle_s=cycle_s or settings.cycle_s,
        exercise=exercise,
        required_pressure_m=settings.required_pressure_m,
        flood_probability=settings.flood_probability,
        weather_in_use=settings.weather != "none",
        noticeboard=make_noticeboard(settings, memory.registry, clock, exercise=exercise),
        notice_sender=settings.notice_sender,
        public_url=settings.public_url,
        isolate=lambda question: models.isolate(question, clock, required_pressure_m=settings.required_pressure_m),
        scenarios_asked=scenarios_asked,
    )


# ------------------------------------------------------------------------------------------------------ broker


BROKER_FILE = "broker.url"
"""Where the embedded broker's address and password stand, for the other roles and for gateways (mode 0600)."""


OUTBOX_FILE = "outbox.db"
"""The outbox of the gateway that a demo or a replay has of its own."""


def write_broker_url(folder: Path, url: str) -> None:
    """Leave the embedded broker's address in the data folder, readable by its owner only."""
    path = folder / BROKER_FILE
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(url + "\n")


def broker_url(settings: Settings) -> str:
    """Return the broker's address: TWIN_MQTT_URL, else the embedded broker's from the data folder.

    Raises:
        ConfigError: If neither is there.
    """
    if settings.mqtt_url is not None:
        return settings.mqtt_url.get_secret_value()
    path = settings.data_dir / BROKER_FILE
    if not path.exists():
        raise ConfigError("no broker: start `h2twin serve`, or name one with --mqtt-url or TWIN_MQTT_URL")
    return path.read_text().strip()


@contextmanager
def publisher(settings: Settings) -> Iterator[Callable[[str, bytes], None]]:
    """Connect to the broker for the length of the block; the function given returns when the broker has the message."""
    from ingest.publisher import Publisher

    with Publisher(broker_url(settings)) as connected:
        yield connected.publish


def mqtt_settings(settings: Settings, url: str) -> MqttSettings:
    """Return how the ingester talks to the broker at `url`."""
    from ingest.mqtt_settings import LARGEST_PACKET, MqttSettings

    return replace(
        MqttSettings.from_url(url, client_id=settings.mqtt_client_id),
        share=settings.ingest_share,
        largest_packet_bytes=min(settings.mqtt_largest_packet_mb * 1024 * 1024, LARGEST_PACKET),
    )
