"""A model that is imported while the service runs gives notices their districts."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from api import bootstrap
from api.settings import load_settings
from ingest.files.sensors import read_sensors
from models.networks import ctown
from twin.clock import ReplayClock
from twin.network import NetworkKind
from twin.ports import ModelFile


def test_districts_are_those_of_the_model_in_use_and_not_of_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TWIN_WORKERS", "1")
    settings = load_settings(data_dir=tmp_path)
    now = datetime(2026, 1, 1, tzinfo=UTC)
    memory = bootstrap.open_memory(settings)
    try:
        with bootstrap.engine_pool(settings) as pool:
            models = bootstrap.Models(memory.registry, pool)
            weather = bootstrap.make_weather(settings, memory.registry)
            cycle = bootstrap.make_cycle(settings, memory, models, weather, ReplayClock(now), exercise=True)
            districts = cycle._noticeboard._districts
            assert dict(districts) == {}
            memory.registry.upsert_sensors(read_sensors(ctown.SENSORS_CSV))
            content = ctown.SUPPLY_INP.read_bytes()
            memory.registry.save_model_file(ModelFile(NetworkKind.SUPPLY, "ctown", "ab" * 32, content, now))
            assert cycle.turn().ok
            network = models.network(NetworkKind.SUPPLY)
            assert network is not None
            named = {sensor.district for sensor in memory.registry.sensors().values()} - {""}
            assert set(network.district_of_node.values()) > named > set()
            assert set(districts.values()) == named
            assert set(districts.items()) < set(network.district_of_node.items())

            nameless = [replace(sensor, district="") for sensor in memory.registry.sensors().values()]
            memory.registry.upsert_sensors(nameless)
            assert models.network(NetworkKind.SUPPLY) is not None
            assert dict(districts) == {}
    finally:
        memory.close()
