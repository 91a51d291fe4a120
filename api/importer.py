"""Files into the registry and the stores: all or nothing, except readings, whose bad rows become dead letters."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from api.bootstrap import Offline, engine_pool, load_drainage_model, load_supply_model
from twin.network import NetworkKind
from twin.ports import ModelFile
from twin.valves import require_place

Counts = dict[str, int]


def import_file(here: Offline, kind: str, file: Path, *, progress: bool, restart: bool = False) -> Counts:
    """Import one file of the given kind and return what was counted.

    `restart` begins an import of readings anew that was left half done.

    Raises:
        InputError: If the file is not acceptable; line and reason are named and nothing was imported.
    """
    if kind == "readings":
        from api.import_readings import import_readings

        return import_readings(here, file, progress=progress, restart=restart)
    importers: dict[str, Callable[[Offline, Path], Counts]] = {
        "sensors": _sensors,
        "customers": _customers,
        "valves": _valves,
        "network": _network,
        "drainage": _drainage,
        "weather": _weather,
    }
    return importers[kind](here, file)


def _sensors(here: Offline, file: Path) -> Counts:
    from ingest.files.sensors import read_sensors

    sensors = read_sensors(file)
    here.registry.upsert_sensors(sensors)
    return {"sensors": len(sensors)}


def _customers(here: Offline, file: Path) -> Counts:
    from ingest.files.customers import read_customers

    customers = read_customers(file)
    here.registry.upsert_customers(customers)
    return {"customers": len(customers)}


def _valves(here: Offline, file: Path) -> Counts:
    """Take valves if their links and nodes are in the supply network; where none is imported yet, take them unseen."""
    from ingest.files.valves import read_valves

    valves, model = read_valves(file), here.registry.model_file(NetworkKind.SUPPLY)
    if model is not None:
        with engine_pool(here.settings, workers=1) as pool:
            network = load_supply_model(model, pool).network
        for valve in valves:
            require_place(valve, network)
    here.registry.upsert_valves(valves)
    return {"valves": len(valves)}


def _network(here: Offline, file: Path) -> Counts:
    return _model(here, file, NetworkKind.SUPPLY)


def _drainage(here: Offline, file: Path) -> Counts:
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


def _weather(here: Offline, file: Path) -> Counts:
    from ingest.weather.files import parse_file

    ensemble = parse_file(file.read_bytes(), now=here.clock.now())
    here.registry.save_weather(ensemble)
    return {"members": len(ensemble.members), "steps": ensemble.steps}
