"""Replay of stored readings in a folder of their own: the same service, an exercise clock, nobody told."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from api import bootstrap
from api.roles import IngestRole
from api.settings import Settings
from twin.clock import ReplayClock
from twin.cycle import CycleOutcome, CycleRules
from twin.errors import ConfigError, InputError
from twin.forecasts import Rung, WeatherEnsemble
from twin.network import NetworkKind
from twin.ports import Registry, WeatherArchive
from twin.readings import Reading
from twin.replay import Replay, steps_from_readings, when_known

FRESH_WEATHER = timedelta(hours=7)
"""Providers issue a forecast at least every six hours; one that is older was the last good one already."""


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
    as_observed: bool = False,
) -> dict[str, Any]:
    """Publish the readings that became known in (start, end] to a broker of the replay's own; turn the cycle on them.

    Sensors, customers, models and what was known before `start` are copied, weather forecasts are taken as they were
    known then; the live folder is only read. With `as_observed` every reading counts as known when it was observed:
    for readings that were imported afterwards.

    Raises:
        ConfigError: If the replay's folder is the live one, or holds readings already.
        InputError: If the period is empty or no reading became known in it.
    """
    if start >= end:
        raise InputError(f"the period from {start} to {end} is empty")
    if into.resolve() == settings.data_dir.resolve():
        raise ConfigError("a replay needs a folder of its own; name another one with --into")
    apart = bootstrap.apart(settings, into)
    with ExitStack() as stack:
        live = bootstrap.open_memory(settings)
        stack.callback(live.close)
        memory = bootstrap.open_memory(apart)
        stack.callback(memory.close)
        if memory.readings.stats().readings:
            raise ConfigError(f"{into} holds readings already; a replay wants an empty folder")
        _copy(live.registry, memory.registry)
        past = _past(live, start, end, as_observed=as_observed)
        before = [reading for reading in past if when_known(reading) <= start]
        memory.readings.append(before)
        clock = ReplayClock(start)
        pool = stack.enter_context(bootstrap.engine_pool(apart))
        models = bootstrap.Models(memory.registry, pool, zone=apart.model_zone)
        ingest = IngestRole(apart, memory, clock, asks=False)
        stack.callback(ingest.stop)
        ingest.start()
        weather = _WeatherAsKnown(live.registry)
        cycle = bootstrap.make_cycle(apart, memory, models, weather, clock, exercise=True)
        replay = _replay(stack, apart, ingest, clock, cycle)
        turns: list[CycleOutcome] = []

        def turned(outcome: CycleOutcome) -> None:
            turns.append(outcome)
            on_turn(outcome)

        steps = steps_from_readings(past[len(before) :], every_s=every_s, start=start)
        replay.play(steps, speed=speed, stop=stop, on_turn=turned)
        if not replay.published and not stop.is_set():
            raise InputError(
                f"no reading became known from {start} to {end}; readings that were imported later are relived with "
                "--as-observed"
            )
        return {
            "readings_known_before": len(before),
            "readings_published": replay.published,
            "readings_stored": memory.readings.stats().readings,
            "dead_letters": memory.registry.count_dead_letters(),
            "cycles": len(turns),
            "incidents": memory.registry.count_incidents(),
            "notices": memory.registry.count_notices(),
        }


class _WeatherAsKnown:
    """The forecasts that had been got hold of by the moment asked for.

    One that was older than a few hours then stands on the rung `last_good`, as it did; after its end there is only
    climatology.
    """

    name = "weather as known"

    def __init__(self, archive: WeatherArchive) -> None:
        self._archive = archive

    def fetch(self, *, now: datetime) -> WeatherEnsemble:
        from ingest.weather.climatology import Climatology
        from ingest.weather.dressing import with_members

        known = self._archive.latest_weather(known_at=now)
        if known is None or known.valid_to <= now:
            return Climatology().fetch(now=now)
        known = with_members(known)
        return known if now - known.available_at <= FRESH_WEATHER else replace(known, rung=Rung.LAST_GOOD)


def _replay(stack: ExitStack, settings: Settings, ingest: IngestRole, clock: ReplayClock, cycle: Any) -> Replay:
    from ingest.gateway_process import GatewayProcess

    outbox = settings.data_dir / bootstrap.OUTBOX_FILE
    gateway = stack.enter_context(GatewayProcess(ingest.broker_url, "replay", outbox))
    ingester = ingest.ingester
    assert ingester is not None

    def taken() -> int:
        state = ingester.state()
        return state.stored + state.duplicates + state.letters

    return Replay(clock, gateway, taken, cycle, settle=ingest.settle)


def _copy(live: Registry, apart: Registry) -> None:
    apart.upsert_sensors(list(live.sensors().values()))
    apart.upsert_customers(live.customers())
    apart.upsert_valves(live.valves())
    for kind in NetworkKind:
        file = live.model_file(kind)
        if file is not None:
            apart.save_model_file(file)


def _past(live: bootstrap.Memory, start: datetime, end: datetime, *, as_observed: bool) -> list[Reading]:
    """Return what was known by `end`, in the order in which it became known, back to what a first cycle looks at."""
    first = start - timedelta(seconds=CycleRules().history_s)
    known = [
        replace(reading, available_at=reading.observed_at) if as_observed else reading
        for sensor_id in live.registry.sensors()
        for reading in live.readings.between(sensor_id, first, end)
    ]
    by_then = [reading for reading in known if when_known(reading) <= end]
    return sorted(by_then, key=lambda reading: (when_known(reading), reading.observed_at))
