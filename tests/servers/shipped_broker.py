"""Mosquitto with the very files that are shipped in docker/mosquitto: its start script, its ACL, its scripts."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from servers.process import answers, free_port, running

SHIPPED = Path(__file__).parents[2] / "docker" / "mosquitto"
INGESTER_PASSWORD = "test-ingester-9d1f27"


@dataclass
class ShippedBroker:
    """A running broker: its ports, its home, and its certificates where it has some."""

    port: int
    tls_port: int
    home: Path
    certs: Path

    def url(self, user: str = "h2twin", password: str = INGESTER_PASSWORD) -> str:
        """Return the address for a user."""
        return f"mqtt://{user}:{password}@127.0.0.1:{self.port}"

    def tls_url(self, device: str, *, user: str = "", ca: str = "ca.crt", folder: Path | None = None) -> str:
        keys = folder or self.certs
        who = f"{user}:anything@" if user else ""
        files = f"ca_file={self.certs / ca}&cert_file={keys / device}.crt&key_file={keys / device}.key"
        return f"mqtts://{who}127.0.0.1:{self.tls_port}?{files}"

    def device(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run device.sh on this broker."""
        action = ["/bin/sh", str(SHIPPED / "device.sh"), *arguments, str(self.home)]
        return subprocess.run(action, capture_output=True, text=True, timeout=30)

    def add(self, name: str) -> str:
        """Add a device and return its password."""
        done = self.device("add", name)
        assert done.returncode == 0, done.stderr
        return done.stdout.split("password ")[1].strip()


def certificates(folder: Path, *arguments: str) -> None:
    """Run certificates.sh."""
    command = ["/bin/sh", str(SHIPPED / "certificates.sh"), str(folder), *arguments]
    subprocess.run(command, check=True, capture_output=True, timeout=60)


@contextmanager
def shipped_broker(folder: Path, *, gateways: str = "", certs: Path | None = None) -> Iterator[ShippedBroker]:
    """Run the broker for the length of the block; with `certs` (of certificates.sh) it has a TLS listener."""
    home = folder / "broker"
    home.mkdir()
    # The broker drops to its own user; the folders above must let it pass.
    for parent in (home, *home.parents):
        if parent.stat().st_uid == os.geteuid() and parent != Path("/"):
            parent.chmod(parent.stat().st_mode | 0o011)
    made = ShippedBroker(free_port(), free_port(), home, certs or folder / "no-certificates")
    script = ["/bin/sh", str(SHIPPED / "start.sh"), str(home), str(made.port), "127.0.0.1", str(made.tls_port)]
    environment = {
        **os.environ,
        "MQTT_PASSWORD": INGESTER_PASSWORD,
        "MQTT_GATEWAYS": gateways,
        "MQTT_CERTS": str(made.certs),
        "PATH": os.environ["PATH"] + ":/usr/sbin",
    }
    with running(script, log=folder / "broker.log", ready=lambda: answers(made.port), env=environment):
        yield made
