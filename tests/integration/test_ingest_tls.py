"""The ingester and the publisher over TLS: with the right authority they work, without it they refuse to talk."""

from __future__ import annotations

import json
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from servers.mosquitto import find
from servers.process import answers, free_port, running, wait_until

from ingest.mqtt import MqttIngester, MqttSettings
from ingest.pipeline import Pipeline
from ingest.publisher import Publisher
from twin.clock import SystemClock, format_time
from twin.readings import Sensor
from twin.storage.registry import open_registry
from twin.storage.sqlite_readings import SqliteReadings
from twin.units import Quantity

START = datetime(2026, 1, 1, tzinfo=UTC)


# paho leaves the socket of a failed handshake to the garbage collector.
@pytest.mark.filterwarnings("ignore:.*ssl.SSLSocket:pytest.PytestUnraisableExceptionWarning")
@pytest.mark.needs_mosquitto
@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl, which makes the certificate, is not installed")
def test_readings_come_in_over_tls_from_a_broker_we_can_verify(tmp_path: Path) -> None:
    key, certificate, port = tmp_path / "key.pem", tmp_path / "certificate.pem", free_port()
    subprocess.run(
        [
            "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate,
            "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1",
        ],
        check=True, capture_output=True,
    )  # fmt: skip
    config = tmp_path / "tls.conf"
    config.write_text(
        f"listener {port} 127.0.0.1\nallow_anonymous true\ncertfile {certificate}\nkeyfile {key}\nuser root\n"
        "max_queued_messages 0\nmax_inflight_messages 0\n"
    )
    store, registry = SqliteReadings(tmp_path / "readings.db"), open_registry(f"sqlite:///{tmp_path}/registry.db")
    registry.upsert_sensors([Sensor("P-1", Quantity.PRESSURE)])

    def an_ingester(url: str) -> MqttIngester:
        pipeline = Pipeline(readings=store, dead_letters=registry, sensors=registry, notebook=registry)
        made = MqttIngester(MqttSettings.from_url(url), pipeline, SystemClock())
        made.start()
        return made

    flow = [
        ("h2/g1/P-1", json.dumps({"observed_at": format_time(START + timedelta(seconds=n)), "value": n}).encode())
        for n in range(3000)
    ]
    address = f"mqtts://127.0.0.1:{port}"
    with running([find() or "mosquitto", "-c", str(config)], log=tmp_path / "log", ready=lambda: answers(port)):
        ingester = an_ingester(f"{address}?ca_file={certificate}")
        wait_until(lambda: ingester.state().connected)
        with Publisher(f"{address}?ca_file={certificate}") as publisher:
            assert publisher.publish_all(flow) == 3000
        wait_until(lambda: ingester.state().stored == 3000)
        ingester.stop()
        deceived = an_ingester(address)
        wait_until(lambda: "CERTIFICATE_VERIFY_FAILED" in deceived.state().last_error)
        deceived.stop()
    store.close()
    registry.close()
