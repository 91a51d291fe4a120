"""A real Telegraf that takes native messages from a broker into InfluxDB, tuned as well as its settings allow."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from servers.influxdb import Influx


def find() -> str | None:
    """Return Telegraf's path (on PATH, or where .ci/install-telegraf keeps it), or None."""
    cache = Path(
        os.environ.get("H2TWIN_CACHE") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "h2twin"
    )
    built = sorted(cache.glob("telegraf-v1.*"))
    return shutil.which("telegraf") or (str(built[-1]) if built else None)


def config(broker_port: int, client_id: str, influx: Influx, bucket: str) -> str:
    """Return the settings: at its defaults Telegraf is slower (batches of 1000 every 10 s, 1000 undelivered)."""
    return f"""
[agent]
  interval = "10s"
  flush_interval = "200ms"
  metric_batch_size = 5000
  metric_buffer_limit = 500000
  omit_hostname = true
  quiet = true
[[inputs.mqtt_consumer]]
  servers = ["tcp://127.0.0.1:{broker_port}"]
  topics = ["h2/+/+"]
  qos = 1
  persistent_session = true
  client_id = "{client_id}"
  max_undelivered_messages = 10000
  data_format = "json"
  json_time_key = "observed_at"
  json_time_format = "2006-01-02T15:04:05Z07:00"
  tag_keys = ["unit"]
[[outputs.influxdb_v2]]
  urls = ["{influx.url}"]
  token = "{influx.token}"
  organization = "{influx.org}"
  bucket = "{bucket}"
"""


@contextmanager
def telegraf(folder: Path, text: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run it for the length of the block."""
    settings = folder / "telegraf.conf"
    settings.write_text(text)
    with (folder / "telegraf.log").open("ab") as log:
        process = subprocess.Popen([find() or "telegraf", "--config", str(settings)], stdout=log, stderr=log)
        try:
            yield process
        finally:
            process.terminate()
            process.wait(30)
