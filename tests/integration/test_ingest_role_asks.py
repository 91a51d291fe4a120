"""The ingest role as it is wired: it notes what is missing, asks for it, and takes its own words for no reading."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from servers.mosquitto import mosquitto
from servers.process import wait_until

from api import bootstrap
from api.roles import IngestRole
from api.settings import load_settings
from ingest.gateway_link import Link
from ingest.mqtt_settings import MqttSettings
from ingest.publisher import Publisher
from twin.clock import SystemClock, format_time
from twin.gaps import GapState
from twin.readings import Sensor
from twin.units import Quantity


@pytest.mark.needs_mosquitto
@pytest.mark.parametrize("asks", [True, False], ids=["in service", "in an exercise"])
def test_a_jump_of_numbers_becomes_a_request(tmp_path: Path, asks: bool) -> None:
    (tmp_path / "broker").mkdir()
    now = SystemClock().now()
    with mosquitto(tmp_path / "broker") as (port, _):
        url = f"mqtt://127.0.0.1:{port}"
        settings = load_settings(data_dir=tmp_path / "data", mqtt_url=url)
        memory = bootstrap.open_memory(settings)
        memory.registry.upsert_sensors([Sensor("P-1", Quantity.PRESSURE, expected_every_s=60)])
        gateway = Link(
            MqttSettings.from_url(url, client_id="g"), "h2/g1/backfill", mqtt5=True, window=1, wake=lambda: None
        )
        gateway.start()
        role = IngestRole(settings, memory, SystemClock(), asks=asks)
        role.start()
        ingester = role.ingester
        assert ingester is not None
        try:
            wait_until(lambda: gateway.connected and ingester.state().connected)
            with Publisher(url) as publisher:
                for seq, age_min in ((1, 9), (5, 5)):
                    at = format_time(now - timedelta(minutes=age_min))
                    publisher.publish("h2/g1/P-1", json.dumps({"observed_at": at, "value": 1, "seq": seq}).encode())
            wait_until(lambda: memory.registry.gap_totals().missing == 3)
            if asks:
                wait_until(lambda: len(gateway.requests) == 1, what="the request")
                [wanted] = json.loads(gateway.requests[0])["gaps"]
                assert (wanted["sensor_id"], wanted["first_seq"], wanted["last_seq"]) == ("P-1", 2, 4)
                wait_until(lambda: ingester.state().received >= 3, what="our own words")
                wait_until(lambda: ingester.state().in_flight == 0)
                [gap] = memory.registry.gaps(states=[GapState.REQUESTED]).items
                assert gap.requests == 1
                assert gap.requested_at is not None
                assert gap.requested_at > datetime(2020, 1, 1, tzinfo=UTC)
            assert memory.registry.count_dead_letters() == 0
        finally:
            role.stop()
            gateway.stop()
            memory.close()
