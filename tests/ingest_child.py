"""An ingester with real stores in a process of its own, for tests that end it without warning.

`python tests/ingest_child.py URL FOLDER [protocol]` prints its state as a line of JSON until it is connected.
"""

from __future__ import annotations

import json
import sys
import threading
from dataclasses import asdict, replace
from pathlib import Path

from ingest.mqtt import MqttIngester, MqttSettings
from ingest.pipeline import Pipeline
from twin.clock import SystemClock
from twin.storage.registry import open_registry
from twin.storage.sqlite_readings import SqliteReadings


def main(url: str, folder: Path) -> None:
    readings, registry = SqliteReadings(folder / "readings.db"), open_registry(f"sqlite:///{folder}/registry.db")
    pipeline = Pipeline(readings=readings, dead_letters=registry, sensors=registry, notebook=registry)
    settings = replace(MqttSettings.from_url(url, client_id="ingest-child"), retry_s=0.05)
    ingester = MqttIngester(settings, pipeline, SystemClock())
    ingester.start()
    pause = threading.Event()
    connected = False
    while not connected:
        pause.wait(0.02)
        state = ingester.state()
        connected = state.connected
        sys.stdout.write(json.dumps(asdict(state), default=str) + "\n")
        sys.stdout.flush()
    while True:
        pause.wait(60)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
