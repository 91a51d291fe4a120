"""The demo: C-Town relived, from a gateway's readings to notices, through every real part.

A gateway process publishes the published SCADA and the weather to a real broker; the ingester checks and stores them;
the cycle turns at every hour of the record; the pages and the API serve what came out. Nothing is written to the
readings' store from the side.
"""

from __future__ import annotations

import hashlib
import socket
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from api import bootstrap
from api.auth import make_key
from api.demo_checks import check_demo
from api.demo_plan import DemoPlan, check_plan, demo_steps
from api.roles import IngestRole, WebRole, address_of, listen
from api.settings import Settings
from models.networks import ctown
from models.networks.ctown.weather import ATTRIBUTION, weather_hours
from twin.clock import ReplayClock
from twin.cycle import CycleOutcome
from twin.errors import ConfigError
from twin.forecasts import Rung
from twin.network import NetworkKind
from twin.ports import ModelFile
from twin.replay import Replay


class Demo:
    """Everything that runs while the demo runs."""

    def __init__(self, settings: Settings, plan: DemoPlan, *, say: Callable[[str], None]) -> None:
        self._settings = settings
        self._plan = plan
        self._say = say
        self._stack = ExitStack()
        self.clock = ReplayClock(plan.start)
        self.turns: list[CycleOutcome] = []
        self._began = time.monotonic()

    def __enter__(self) -> Demo:
        try:
            self._start()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stack.close()

    def _start(self) -> None:
        from api.app import create_app
        from ingest.gateway_process import GatewayProcess
        from ingest.weather.ladder import WeatherLadder
        from ingest.weather.synthetic import SyntheticEnsembles

        plan, settings = self._plan, self._settings
        check_plan(plan)
        listener = _listen(plan.port)
        self._stack.callback(listener.close)
        self.address = address_of(listener)
        settings = bootstrap.at_address(settings, self.address)
        self._say("Preparing C-Town: model, sensors, customers …")
        self.memory = bootstrap.open_memory(settings)
        self._stack.callback(self.memory.close)
        if self.memory.readings.stats().readings:
            raise ConfigError(f"{settings.data_dir} holds readings already; the demo wants an empty --data-dir")
        self._import_town()
        pool = self._stack.enter_context(bootstrap.engine_pool(settings))
        models = bootstrap.Models(self.memory.registry, pool, zone=settings.model_zone)
        self.ingest = IngestRole(settings, self.memory, self.clock, asks=False)
        self._stack.callback(self.ingest.stop)
        self.ingest.start()
        desk = bootstrap.make_scenario_desk(self.memory, models, self.clock)
        self._stack.callback(desk.stop)
        desk.start()
        services = bootstrap.make_services(
            settings, self.memory, models, self.clock, exercise=True, cycle_s=3600.0, scenarios_asked=desk.wake
        )
        web = WebRole(create_app(services), listener)
        self._stack.callback(web.stop)
        web.start()
        key, self.api_key = make_key("demo", "admin", self.clock.now())
        self.memory.registry.save_key(key)
        outbox = settings.data_dir / bootstrap.OUTBOX_FILE
        gateway = self._stack.enter_context(GatewayProcess(self.ingest.broker_url, "demo", outbox))
        synthetic = SyntheticEnsembles(
            [(h.observed_at, h.rain_mm, h.temperature_c) for h in weather_hours()],
            members=plan.members,
            horizon_h=int(settings.drainage_horizon_h),
            attribution=ATTRIBUTION,
        )
        weather = WeatherLadder([(Rung.ENSEMBLE, synthetic)], self.memory.registry)
        cycle = bootstrap.make_cycle(settings, self.memory, models, weather, self.clock, exercise=True)
        self.replay = Replay(self.clock, gateway, self._taken, cycle, settle=self.ingest.settle)

    def _import_town(self) -> None:
        from ingest.files.customers import read_customers
        from ingest.files.sensors import read_sensors

        registry = self.memory.registry
        registry.upsert_sensors(read_sensors(ctown.SENSORS_CSV))
        registry.upsert_customers(read_customers(ctown.CUSTOMERS_CSV))
        for kind, path in ((NetworkKind.SUPPLY, ctown.SUPPLY_INP), (NetworkKind.DRAINAGE, ctown.DRAINAGE_INP)):
            content = path.read_bytes()
            digest = hashlib.sha256(content).hexdigest()
            name = f"ctown-{kind}"
            registry.save_model_file(ModelFile(kind, name, digest, content, self.clock.now()))

    def _taken(self) -> int:
        assert self.ingest.ingester is not None
        state = self.ingest.ingester.state()
        return state.stored + state.duplicates + state.letters

    def play(self, stop: threading.Event, on_turn: Callable[[CycleOutcome], None]) -> None:
        """Relive the plan's hours; returns early when `stop` is set."""

        def turned(outcome: CycleOutcome) -> None:
            self.turns.append(outcome)
            on_turn(outcome)

        self.replay.play(demo_steps(self._plan), speed=self._plan.speed, stop=stop, on_turn=turned)

    def summary(self) -> dict[str, Any]:
        """Return the JSON object of the contract: what was counted, and the checks against the input files."""
        assert self.ingest.ingester is not None
        state = self.ingest.ingester.state()
        registry = self.memory.registry
        figures = {
            "readings_published": self.replay.published,
            "readings_stored": self.memory.readings.stats().readings,
            "dead_letters": registry.count_dead_letters(),
            "duplicates": state.duplicates,
            "cycles": len(self.turns),
            "wall_s": round(time.monotonic() - self._began, 2),
            "forecasts": registry.count_runs(),
            "incidents": registry.count_incidents(),
            "notices": registry.count_notices(),
        }
        checks = check_demo(self._plan, self.memory, self.turns, figures, self.clock.now())
        return {**figures, "checks": checks}


def _listen(port: int | None) -> socket.socket:
    if port is not None:
        return listen("127.0.0.1", port)
    try:
        return listen("127.0.0.1", 8000)
    except ConfigError:
        return listen("127.0.0.1", 0)
