"""The test stand: a real broker, a real store, the ingester as it is wired for production, publishers with ledgers.

    publishers -> Mosquitto -> (bad network) -> ingester -> SQLite, or spool -> (bad way) -> InfluxDB

A fault pulls at one of these; the stand restarts what died, waits until all is settled, and reckons.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from faults.flow import Flow
from faults.reckoning import Reckoning, count, letters_in, reckon, rows_in_influx, rows_in_sqlite
from running_service import environment
from servers.http_proxy import HttpProxy, http_proxy
from servers.influxdb import Influx
from servers.mosquitto import mosquitto
from servers.process import free_port, wait_until
from servers.tcp_proxy import TcpProxy, tcp_proxy

from twin.readings import Sensor
from twin.storage.influx_readings import InfluxReadings
from twin.storage.registry import open_registry
from twin.units import Quantity

ROOT = Path(__file__).parents[2]
AUTOSAVE_S = 1
_SETTLED_WITHIN_S = 1800.0
_NO_GROWTH_S = 30.0


class Sending:
    """A publisher process and what it says of itself, in readings but for the number of `messages`."""

    def __init__(self, flow: Flow, folder: Path, port: int, rate: float) -> None:
        self.flow = flow
        self.ledger = folder / f"ledger-{flow.name}.db"
        self.acknowledged = 0
        self.planned = self.messages = flow.count
        self.is_done = False
        command = [sys.executable, "-m", "faults.publishing", str(self.ledger), str(port), str(rate)]
        self.process = subprocess.Popen(
            [*command, json.dumps(asdict(flow))], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=_environment()
        )
        self._listening = threading.Thread(target=self._listen, name=f"publisher-{flow.name}")
        self._listening.start()

    def tell(self, command: str) -> None:
        assert self.process.stdin is not None
        self.is_done = False
        self.process.stdin.write(f"{command}\n".encode())
        self.process.stdin.flush()

    def end(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(30)
        self._listening.join(10)

    def _listen(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            for line in lines:
                state = json.loads(line)
                self.acknowledged, self.planned = state["acknowledged"], state["planned"]
                self.messages, self.is_done = state["messages"], state["is_done"]


@dataclass
class Stand:
    """One installation under test. `kills` and `restarts` count what the fault did to it."""

    folder: Path
    data: Path
    network: TcpProxy
    broker_port: int
    server: Influx | None = None
    bucket: str = ""
    way: HttpProxy | None = None
    small_disk: Path | None = None
    settings: Mapping[str, str] = field(default_factory=dict)
    kills: int = 0
    restarts: int = 0
    sendings: list[Sending] = field(default_factory=list)
    ingester: subprocess.Popen[bytes] | None = None
    wrongs: list[str] = field(default_factory=list)
    _broker: ExitStack = field(default_factory=ExitStack)
    _broker_process: subprocess.Popen[bytes] | None = None
    _lives: int = 0

    # ----------------------------------------------------------------------------------------------- the broker

    @property
    def broker_folder(self) -> Path:
        return self.folder / "broker"

    def start_broker(self) -> None:
        self.broker_folder.mkdir(exist_ok=True)
        _, self._broker_process = self._broker.enter_context(
            mosquitto(self.broker_folder, port=self.broker_port, autosave_s=AUTOSAVE_S)
        )

    def stop_broker(self) -> None:
        """Let the broker save and end."""
        self._broker.close()

    def kill_broker(self) -> float:
        """Kill the broker without warning; return the moment it had saved last (of the epoch)."""
        assert self._broker_process is not None
        saved = self.broker_folder / "mosquitto.db"
        self._broker_process.kill()
        self._broker_process.wait()
        self._broker.close()
        self.kills += 1
        return saved.stat().st_mtime if saved.exists() else 0.0

    # --------------------------------------------------------------------------------------------- the ingester

    def start_ingester(self, *, must_subscribe: bool = False) -> None:
        """Start the ingest role; with `must_subscribe` return when the broker keeps messages for it."""
        before = self.network.subscriptions
        command = [sys.executable, "-m", "faults.impatient_service", "serve", "--role", "ingest"]
        self._lives += 1
        with (self.folder / f"ingester-{self._lives}.log").open("wb") as log:
            self.ingester = subprocess.Popen(
                [*command, "--data-dir", str(self.data)], stdout=log, stderr=log, env=self._ingester_environment()
            )
        if must_subscribe:
            self.await_("the ingester's subscription", lambda: self.network.subscriptions > before)

    def kill_ingester(self) -> None:
        assert self.ingester is not None
        self._note_end()
        self.ingester.kill()
        self.ingester.wait()
        self.kills += 1

    def end_ingester(self) -> None:
        """Ask the ingester to end; it must have lived until now, and end well."""
        assert self.ingester is not None
        self._note_end()
        self.ingester.send_signal(signal.SIGTERM)
        try:
            code = self.ingester.wait(40)
        except subprocess.TimeoutExpired:
            self.ingester.kill()
            code = self.ingester.wait()
        if code:
            self.wrongs.append(f"the ingester ended with {code}")

    def set_clock_wrong_by(self, seconds: float) -> None:
        part = self.folder / "clock.part"
        part.write_text(str(seconds))
        part.replace(self.folder / "clock")

    # ------------------------------------------------------------------------------------------------- the flow

    def send(self, flow: Flow, *, rate: float) -> Sending:
        """Begin to publish a flow at up to `rate` messages a second."""
        self.sendings.append(Sending(flow, self.folder, self.broker_port, rate))
        return self.sendings[-1]

    def acknowledged(self) -> int:
        """Return how many readings the broker has acknowledged."""
        return sum(sending.acknowledged for sending in self.sendings)

    def stored(self) -> int:
        """Return how many readings the store counts right now. Good enough to time a fault by."""
        return count(self.store_file, "SELECT readings FROM tally")

    def dead(self) -> int:
        return count(self.registry_file, "SELECT count(*) FROM dead_letters")

    def waiting(self) -> int:
        """Return how many readings the spool has not forwarded."""
        return count(self.store_file, "SELECT waiting FROM tally") if self.server else 0

    @property
    def registry_file(self) -> Path:
        return self.data / "registry.db"

    @property
    def store_file(self) -> Path:
        return self.data / ("spool.db" if self.server else "readings.db")

    def await_stored(self, goal: float, *, within_s: float = 60.0) -> None:
        """Return when so many readings are stored or dead."""
        self.await_(f"{goal:.0f} readings", lambda: self.stored() + self.dead() >= goal, within_s=within_s)

    def await_(self, what: str, ready: Callable[[], bool], *, within_s: float = 60.0) -> None:
        """Return when something is so; fail at once when the ingester has ended."""

        def is_ready() -> bool:
            if self.ingester is not None and self.ingester.poll() is not None:
                raise RuntimeError(f"the ingester ended with {self.ingester.returncode}: {self.logs()[-3000:]}")
            return ready()

        wait_until(is_ready, within_s=within_s, what=what)

    # ------------------------------------------------------------------------------------------------- the end

    def settle(self) -> None:
        """Return when everything was acknowledged and nothing moves any more, or never will."""
        wait_until(
            lambda: all(s.is_done for s in self.sendings),
            within_s=_SETTLED_WITHIN_S,
            what="the publishers' acknowledgements",
        )
        end = time.monotonic() + _SETTLED_WITHIN_S
        last, since = (-1, -1, -1), time.monotonic()
        while time.monotonic() < end:
            now = (self.stored(), self.dead(), self.waiting())
            if now != last:
                last, since = now, time.monotonic()
            quiet_s = time.monotonic() - since
            if quiet_s > _NO_GROWTH_S or (quiet_s > 0.3 and not now[2] and self.reckon().is_complete):
                return
            time.sleep(0.05)

    def reckon(self) -> Reckoning:
        """Judge what is there now."""
        if self.server is not None and not self.waiting():
            rows = rows_in_influx(self.server, self.bucket)
        else:
            rows = rows_in_sqlite(self.store_file)
        return reckon([sending.ledger for sending in self.sendings], rows, letters_in(self.registry_file))

    def release_quarantine(self) -> int:
        """Send what InfluxDB refused again, as an operator does who mended the cause; return how much it was."""
        assert self.server is not None
        store = InfluxReadings(self.server.url, self.server.token, self.server.org, self.bucket, self.store_file)
        try:
            released = store.release_quarantined()
            store.flush(60)
            return released
        finally:
            store.close()

    def close(self) -> None:
        for sending in self.sendings:
            if sending.process.poll() is None:
                sending.end()
        if self.ingester is not None and self.ingester.poll() is None:
            self.ingester.kill()
            self.ingester.wait()
        self._broker.close()

    def logs(self) -> str:
        return "\n".join(path.read_text(errors="replace") for path in sorted(self.folder.glob("ingester-*.log")))

    def _note_end(self) -> None:
        assert self.ingester is not None
        if self.ingester.poll() is not None:
            self.wrongs.append(f"the ingester had ended by itself with {self.ingester.returncode}")

    def _ingester_environment(self) -> dict[str, str]:
        settings = {"mqtt_url": f"mqtt://127.0.0.1:{self.network.port}", "log_level": "info", **self.settings}
        if self.server is not None:
            assert self.way is not None
            settings |= {
                "influx_url": self.way.url, "influx_token": self.server.token, "influx_org": self.server.org,
                "influx_bucket": self.bucket,
            }  # fmt: skip
        clock = self.folder / "clock"
        if not clock.exists():
            clock.write_text("0")
        return {**_environment(), **environment(**settings), "FAULTS_CLOCK": str(clock), "PYTHONPATH": _PATH}


@contextmanager
def stand(
    folder: Path, sensor_ids: list[str], *, seed: int, server: Influx | None = None, disk: Path | None = None
) -> Iterator[Stand]:
    """Build a stand in an empty folder and start the broker; nothing flows yet. Data are kept on `disk`, if given."""
    data = (disk or folder) / "data"
    data.mkdir(mode=0o700, exist_ok=True)
    registry = open_registry(f"sqlite:///{data / 'registry.db'}")
    registry.upsert_sensors([Sensor(sensor_id, Quantity.PRESSURE) for sensor_id in sensor_ids])
    registry.close()
    port = free_port()
    with ExitStack() as stack:
        network = stack.enter_context(tcp_proxy(port))
        built = Stand(folder, data, network, port, small_disk=disk)
        if server is not None:
            built.server, built.bucket = server, _make_bucket(server, folder.name)
            built.way = stack.enter_context(http_proxy(int(server.url.rpartition(":")[2]), seed=seed))
        stack.callback(built.close)
        built.start_broker()
        yield built


def _make_bucket(server: Influx, name: str) -> str:
    headers = {"Authorization": f"Token {server.token}", "Content-Type": "application/json"}

    def ask(path: str, body: dict[str, object] | None = None) -> dict[str, list[dict[str, str]]]:
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(urllib.request.Request(server.url + path, data, headers), timeout=30) as answer:
            found: dict[str, list[dict[str, str]]] = json.load(answer)
            return found

    (org,) = ask("/api/v2/orgs")["orgs"]
    ask("/api/v2/buckets", {"orgID": org["id"], "name": name, "retentionRules": []})
    return name


def _environment() -> dict[str, str]:
    return {**{n: v for n, v in os.environ.items() if not n.startswith("TWIN_")}, "PYTHONPATH": _PATH}


_PATH = f"{ROOT}{os.pathsep}{ROOT / 'tests'}"
