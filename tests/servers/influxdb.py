"""A real InfluxDB 2 on a free port, set up with an organisation, a bucket and a token."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from influxdb_client import InfluxDBClient

from servers.process import answers, free_port, running


@dataclass(frozen=True)
class Influx:
    """Where the server is and how to talk to it."""

    url: str
    org: str
    bucket: str
    token: str
    process: subprocess.Popen[bytes]


def find() -> str | None:
    """Return influxd's path (on PATH, or where .ci/install-influxd keeps it), or None."""
    cache = Path(
        os.environ.get("H2TWIN_CACHE") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "h2twin"
    )
    built = sorted(cache.glob("influxd-v2.*"))
    return shutil.which("influxd") or (str(built[-1]) if built else None)


@contextmanager
def influxdb(folder: Path, *, port: int | None = None) -> Iterator[Influx]:
    """Run a server; the same folder and port restart the same one with its data."""
    port = port or free_port()
    command = [
        find() or "influxd",
        "--bolt-path", str(folder / "influxd.bolt"),
        "--engine-path", str(folder / "engine"),
        "--sqlite-path", str(folder / "influxd.sqlite"),
        "--http-bind-address", f"127.0.0.1:{port}",
        "--reporting-disabled",
    ]  # fmt: skip
    with running(command, log=folder / "influxd.log", ready=lambda: answers(port)) as process:
        influx = Influx(f"http://127.0.0.1:{port}", "test-org", "test-bucket", "test-token-not-secret", process)
        _set_up_once(influx)
        yield influx


def make_bucket(influx: Influx, name: str = "") -> str:
    """Make an empty bucket, under a name that nothing else has unless one is given, and return its name."""
    name = name or uuid.uuid4().hex
    with InfluxDBClient(influx.url, influx.token, org=influx.org) as client:
        client.buckets_api().create_bucket(bucket_name=name)
    return name


def _set_up_once(influx: Influx) -> None:
    with urllib.request.urlopen(f"{influx.url}/api/v2/setup", timeout=30) as response:
        if not json.load(response)["allowed"]:
            return
    body = {
        "username": "test", "password": "test-password-not-secret", "org": influx.org, "bucket": influx.bucket,
        "token": influx.token,
    }  # fmt: skip
    request = urllib.request.Request(
        f"{influx.url}/api/v2/setup", data=json.dumps(body).encode(), headers={"Content-Type": "application/json"}
    )
    urllib.request.urlopen(request, timeout=30).close()
