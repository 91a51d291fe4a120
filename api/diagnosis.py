"""What `h2twin doctor` looks at: stores, broker, models, engines, the age of the last cycle, room on the disk."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from api import bootstrap
from api.freshness import LATE_AFTER_CYCLES
from api.ingesters import INGEST, ingester_name, ingesters, is_ingester
from api.readiness import BEAT_LIMIT_S
from api.settings import Settings
from twin.clock import SystemClock
from twin.errors import TwinError, UnavailableError
from twin.ports import Beat

LEAST_FREE_BYTES = 500_000_000


@dataclass(frozen=True, slots=True)
class Check:
    """One part, whether it is well, and what was found (or what to do)."""

    name: str
    ok: bool
    detail: str


def diagnose(settings: Settings) -> list[Check]:
    """Look at every part; a part that is broken is a finding, never an exception."""
    return [
        _look("data folder", lambda: _disk(settings)),
        _look("registry", lambda: _registry(settings)),
        _look("readings", lambda: _readings(settings)),
        _look("broker", lambda: _broker(settings)),
        _look("models", lambda: _models(settings)),
        _look("engines", lambda: _engines(settings)),
        *([_look("dask", lambda: _dask(settings))] if settings.dask_scheduler else []),
        _look("roles", lambda: _roles(settings)),
    ]


def _look(name: str, question: Callable[[], str]) -> Check:
    try:
        return Check(name, ok=True, detail=question())
    except (TwinError, OSError) as error:
        return Check(name, ok=False, detail=str(error))
    except Exception as error:  # a patient that surprises the doctor is a finding too
        return Check(name, ok=False, detail=f"unexpected {type(error).__name__}: {error}")


def _disk(settings: Settings) -> str:
    free = shutil.disk_usage(bootstrap.make_private(settings.data_dir)).free
    if free < LEAST_FREE_BYTES:
        raise UnavailableError(f"only {free / 1e6:.0f} MB are free at {settings.data_dir}: make room")
    return f"{settings.data_dir}, {free / 1e9:.1f} GB free"


def _registry(settings: Settings) -> str:
    registry = bootstrap.open_registry(settings)
    try:
        registry.check()
        return f"{len(registry.sensors())} sensors, {len(registry.customers())} connections"
    finally:
        registry.close()


def _readings(settings: Settings) -> str:
    store = bootstrap.open_readings(settings)
    try:
        store.check()
        stats = store.stats()
        return f"{stats.readings} readings, {stats.pending} on their way, {stats.quarantined} quarantined"
    finally:
        store.close()


def _broker(settings: Settings) -> str:
    broker = bootstrap.mqtt_settings(settings, bootstrap.broker_url(settings))
    try:
        with socket.create_connection((broker.host, broker.port), timeout=5):
            return f"{broker.host}:{broker.port} answers"
    except OSError as error:
        raise UnavailableError(f"{broker.host}:{broker.port} does not answer ({error}); is it running?") from error


def _models(settings: Settings) -> str:
    from twin.network import NetworkKind

    registry = bootstrap.open_registry(settings)
    try:
        files = [file for kind in NetworkKind if (file := registry.model_file(kind)) is not None]
    finally:
        registry.close()
    if not files:
        raise UnavailableError("no model is imported: h2twin import network FILE, h2twin import drainage FILE")
    return ", ".join(f"{file.kind} {file.name} ({file.sha256[:12]})" for file in files)


def _engines(settings: Settings) -> str:
    from models.supply.epanet import engine_version

    with bootstrap.engine_pool(settings, workers=1) as pool:
        return str(pool.run(engine_version))


def _dask(settings: Settings) -> str:
    from models.supply.epanet import engine_version

    told: list[str] = []
    with (
        bootstrap.engine_pool(settings, workers=1) as pool,
        bootstrap.scenario_engines(settings.dask_scheduler, pool, told.append) as engines,
    ):
        version = engines.run(engine_version)
    if told:
        raise UnavailableError(f"scenarios are {'; '.join(told)}")
    return f"{settings.dask_scheduler}, {engines.workers} at once, {version}"


def _roles(settings: Settings) -> str:
    now = SystemClock().now()
    beats = _beats(settings)
    if not beats:
        raise UnavailableError("no role has ever run here: h2twin serve")
    taking = {beat.role: beat for beat in ingesters(beats, now=now)}
    beats = {role: beat for role, beat in beats.items() if role in taking or not is_ingester(role)}
    bad = []
    for role, beat in sorted(beats.items()):
        try:
            _require_life(role, beat, settings, now)
        except UnavailableError as error:
            bad.append(str(error))
            continue
        if not beat.ok:
            bad.append(f"{role}: {beat.detail}")
    if bad:
        raise UnavailableError("; ".join(bad))
    return ", ".join(f"{role} {(now - beat.at).total_seconds():.0f} s ago" for role, beat in sorted(beats.items()))


def sign_of_life(settings: Settings, role: str) -> Beat:
    """Return the newest sign of life of a role, well or not; of ingesters, of the one with our own client id.

    Raises:
        UnavailableError: If it is too old, or there never was one.
    """
    role = ingester_name(settings.mqtt_client_id) if role == INGEST else role
    beat = _beats(settings).get(role)
    if beat is None:
        raise UnavailableError(f"{role}: has never run here")
    _require_life(role, beat, settings, SystemClock().now())
    return beat


def _beats(settings: Settings) -> dict[str, Beat]:
    registry = bootstrap.open_registry(settings)
    try:
        return registry.beats()
    finally:
        registry.close()


def _require_life(role: str, beat: Beat, settings: Settings, now: datetime) -> None:
    limits_s = {"cycle": max(BEAT_LIMIT_S, LATE_AFTER_CYCLES * settings.cycle_s)}  # it beats once a turn
    if (now - beat.at).total_seconds() > limits_s.get(role, BEAT_LIMIT_S):
        raise UnavailableError(
            f"{role}: no sign of life since {beat.at:%Y-%m-%d %H:%M:%S}Z; is `h2twin serve` running?"
        )
