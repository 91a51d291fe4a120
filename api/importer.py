"""Files into the registry and the stores: all or nothing, except readings, whose bad rows become dead letters."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import TypeVar

from api.bootstrap import Offline, engine_pool, load_drainage_model, load_supply_model
from twin.network import NetworkKind
from twin.ports import DeadLetter, ModelFile
from twin.readings import Reading

T = TypeVar("T")
Counts = dict[str, int]
BATCH = 5000


def import_file(here: Offline, kind: str, file: Path, *, progress: bool) -> Counts:
    """Import one file of the given kind and return what was counted.

    Raises:
        InputError: If the file is not acceptable; line and reason are named and nothing was imported.
    """
    importers: dict[str, Callable[[Offline, Path, bool], Counts]] = {
        "sensors": _sensors,
        "customers": _customers,
        "network": _network,
        "drainage": _drainage,
        "readings": _readings,
        "weather": _weather,
    }
    return importers[kind](here, file, progress)


def _sensors(here: Offline, file: Path, progress: bool) -> Counts:  # noqa: ARG001
    from ingest.files.sensors import read_sensors

    sensors = read_sensors(file)
    here.registry.upsert_sensors(sensors)
    return {"sensors": len(sensors)}


def _customers(here: Offline, file: Path, progress: bool) -> Counts:  # noqa: ARG001
    from ingest.files.customers import read_customers

    customers = read_customers(file)
    here.registry.upsert_customers(customers)
    return {"customers": len(customers)}


def _network(here: Offline, file: Path, progress: bool) -> Counts:  # noqa: ARG001
    return _model(here, file, NetworkKind.SUPPLY)


def _drainage(here: Offline, file: Path, progress: bool) -> Counts:  # noqa: ARG001
    return _model(here, file, NetworkKind.DRAINAGE)


def _model(here: Offline, file: Path, kind: NetworkKind) -> Counts:
    """Parse the model in a limited child before it is taken: a file that cannot be read replaces nothing."""
    content = file.read_bytes()
    model_file = ModelFile(kind, file.stem, hashlib.sha256(content).hexdigest(), content, here.clock.now())
    load = load_supply_model if kind is NetworkKind.SUPPLY else load_drainage_model
    with engine_pool(here.settings, workers=1) as pool:
        network = load(model_file, pool).network
    here.registry.save_model_file(model_file)
    return {"nodes": len(network.nodes), "links": len(network.links)}


def _weather(here: Offline, file: Path, progress: bool) -> Counts:  # noqa: ARG001
    from ingest.weather.files import parse_file

    ensemble = parse_file(file.read_bytes(), now=here.clock.now())
    here.registry.save_weather(ensemble)
    return {"members": len(ensemble.members), "steps": ensemble.steps}


def _readings(here: Offline, file: Path, progress: bool) -> Counts:
    from ingest.files.readings import BadRow, read_readings
    from ingest.letters import letter_of_row
    from ingest.quality.gate import QualityGate

    store = here.open_readings()
    sensors = here.registry.sensors()
    gate = QualityGate(sensors)
    now = here.clock.now()
    counts = {"stored": 0, "duplicates": 0, "dead_letters": 0}
    rows = _with_progress(read_readings(file, sensors, now=now), progress=progress, what=file.name)
    for batch in _batches(rows, BATCH):
        bad = [row for row in batch if isinstance(row, BadRow)]
        good = [row for row in batch if isinstance(row, Reading)]
        result = store.append(gate.judge(good))
        letters = [letter_of_row(file.name, x.line, x.payload, x.raw, x.reason, x.detail, now) for x in bad]
        letters += [_conflict(reading, file, now) for reading in result.conflicts]
        here.registry.bury(letters)
        counts["stored"] += result.stored
        counts["duplicates"] += result.duplicates
        counts["dead_letters"] += len(letters)
    return counts


def _conflict(reading: Reading, file: Path, now: datetime) -> DeadLetter:
    from ingest.decoders.base import RawReading
    from ingest.letters import letter_of_row

    row = f"{reading.sensor_id},{reading.observed_at.isoformat()},{reading.raw_value!r},{reading.raw_unit}"
    raw = RawReading(reading.sensor_id, reading.observed_at, reading.raw_value, reading.raw_unit, reading.seq)
    sayable = raw if reading.available_at == now else None
    detail = "another value is stored for this sensor and moment; the first one stays"
    return letter_of_row(file.name, None, row.encode(), sayable, "conflict", detail, now)


def _batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch


def _with_progress(items: Iterable[T], *, progress: bool, what: str) -> Iterator[T]:
    import sys

    if not (progress and sys.stderr.isatty()):
        yield from items
        return
    from rich.console import Console
    from rich.progress import track

    yield from track(items, description=what, console=Console(stderr=True))
