"""`h2twin` as it is wired for production, with a clock that a test can set and with less patience.

`python -m faults.impatient_service serve --role ingest ...`: the file named by FAULTS_CLOCK holds the seconds by which
the machine's clock is wrong. Waiting times are a tenth or less of the real ones, so that a test sees a watchdog bite.
FAULTS_SABOTAGE names mistakes to be made.
"""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

from faults.sabotage import SABOTAGES

from api import bootstrap, cli, gap_keeping, roles
from api.settings import Settings
from api.store_watch import StoreWatch
from ingest import gap_watch
from ingest.gap_keeper import GapRules
from ingest.mqtt_settings import MqttSettings
from twin.clock import SystemClock
from twin.storage import influx_forwarder
from twin.storage.influx_readings import InfluxReadings


def be_impatient() -> None:
    patient = bootstrap.mqtt_settings

    def impatient(settings: Settings, url: str) -> MqttSettings:
        return replace(patient(settings, url), heartbeat_s=0.4, silence_s=1.5, retry_s=0.05, longest_retry_s=0.5)

    bootstrap.mqtt_settings = impatient
    influx_forwarder._LONGEST_PAUSE_S = 0.5  # type: ignore[misc]
    roles.BEAT_EVERY_S = 0.2
    gap_watch.SETTLED_AFTER_S, gap_watch.SHARED_SETTLED_AFTER_S = 0.2, 0.6
    gap_keeping.LEASE_S = 2.0
    waits = (timedelta(seconds=0.3), *[timedelta(seconds=1)] * 300)
    GapRules.__init__.__defaults__ = (waits, 0.2)  # type: ignore[misc]
    for init, name, seconds in ((InfluxReadings.__init__, "timeout_s", 2.0), (StoreWatch.__init__, "every_s", 0.2)):
        assert init.__kwdefaults__ is not None
        init.__kwdefaults__[name] = seconds


def be_wrong_by(path: Path) -> None:
    """Let the clock be off by the seconds in a file, read again at every look at it."""
    right = SystemClock.now

    def now(clock: SystemClock) -> datetime:
        return right(clock) + timedelta(seconds=float(path.read_text() or 0))

    SystemClock.now = now  # type: ignore[method-assign]


if __name__ == "__main__":
    be_impatient()
    if "FAULTS_CLOCK" in os.environ:
        be_wrong_by(Path(os.environ["FAULTS_CLOCK"]))
    for name in filter(None, os.environ.get("FAULTS_SABOTAGE", "").split(",")):
        SABOTAGES[name]()
    cli.main()
