"""Replay of stored readings in a folder of their own: the same service, an exercise clock, nobody told."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import datetime
from heapq import merge
from pathlib import Path
from typing import Any

from api import bootstrap
from api.roles import IngestRole
from api.settings import Settings
from twin.clock import ReplayClock
from twin.cycle import CycleOutcome
from twin.errors import ConfigError, InputError
from twin.forecasts import WeatherEnsemble
from twin.network import NetworkKind
from twin.ports import ReadingStore, Registry, WeatherArchive
from twin.readings import Reading
from twin.replay import Replay, steps_from_readings


def relive(
    settings: Settings,
    *,
    into: Path,
    start: datetime,
    end: datetime,
    every_s: float,
    speed: float | None,
    stop: threading.Event,
    on_turn: Callable[[CycleOutcome], None],
) -> dict[str, Any]:
    """Publish the stored readings of [start, end) to a broker of the replay's own and turn the cycle on them.

    Sensors, customers and models are copied, weather forecasts are taken as they were known then; the live folder is
    only read.

    Raises:
        ConfigError: If the replay's folder is the live one, or holds readings already.
        InputError: If the period is empty or no reading lies in it.
    """
    if start >= end:
        raise InputError(f"the period from {start} to {end} is empty")
    if into.resolve() == settings.data_dir.resolve():
        raise ConfigError("a replay needs a folder of its own; name another one with --into")
    apart = settings.model_copy(
        update={
            "data_dir": into, "mqtt_url": None, "mqtt_port": 0, "influx_url": None, "database_url": None,
        }
    )  # fmt: skip
    with ExitStack() as stack:
        live = bootstrap.open_memory(settings)
        stack.callback(live.close)
        memory = bootstrap.open_memory(apart)
        stack.callback(memory.close)
        if memory.readings.stats().readings:
            raise ConfigError(f"{into} holds readings already; a replay wants an empty folder")
        _copy(live.registry, memory.registry)
        clock = ReplayClock(start)
        pool = stack.enter_context(bootstrap.engine_pool(apart))
        models = bootstrap.Models(memory.registry, pool)
        ingest = IngestRole(apart, memory, clock)
        stack.callback(ingest.stop)
        ingest.start()
        weather = _WeatherAsKnown(live.registry)
        cycle = bootstrap.make_cycle(apart, memory, models, weather, clock, exercise=True)
        replay = _replay(stack, ingest, clock, cycle)
        turns: list[CycleOutcome] = []

        def turned(outcome: CycleOutcome) -> None:
            turns.append(outcome)
            on_turn(outcome)

        readings = _readings(live, start, end)
        replay.play(steps_from_readings(readings, every_s=every_s, start=start), speed=speed, stop=stop, on_turn=turned)
        if not replay.published:
            raise InputError(f"no reading is stored from {start} to {end}")
        return {
            "readings_published": replay.published,
            "readings_stored": memory.readings.stats().readings,
            "dead_letters": memory.registry.count_dead_letters(),
            "cycles": len(turns),
            "incidents": memory.registry.count_incidents(),
            "notices": memory.registry.count_notices(),
        }


class _WeatherAsKnown:
    """The forecasts that had been got hold of by the moment asked for, on the rung they stood on then."""

    name = "weather as known"

    def __init__(self, archive: WeatherArchive) -> None:
        self._archive = archive

    def fetch(self, *, now: datetime) -> WeatherEnsemble:
        from ingest.weather.climatology import Climatology

        known = self._archive.latest_weather(known_at=now)
        return known if known is not None and known.valid_to > now else Climatology().fetch(now=now)


def _replay(stack: ExitStack, ingest: IngestRole, clock: ReplayClock, cycle: Any) -> Replay:
    from ingest.gateway import GatewayProcess

    gateway = stack.enter_context(GatewayProcess(ingest.broker_url, "replay"))
    ingester = ingest.ingester
    assert ingester is not None

    def taken() -> int:
        state = ingester.state()
        return state.stored + state.duplicates + state.letters

    return Replay(clock, gateway, taken, cycle)


def _copy(live: Registry, apart: Registry) -> None:
    apart.upsert_sensors(list(live.sensors().values()))
    apart.upsert_customers(live.customers())
    for kind in NetworkKind:
        file = live.model_file(kind)
        if file is not None:
            apart.save_model_file(file)


def _readings(live: bootstrap.Memory, start: datetime, end: datetime) -> Iterator[Reading]:
    store: ReadingStore = live.readings
    series = (store.between(sensor_id, start, end) for sensor_id in live.registry.sensors())
    return merge(*series, key=lambda reading: reading.observed_at)
