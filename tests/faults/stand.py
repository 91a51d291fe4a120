"""The test stand: a real broker, a real store, ingesters as they are wired for production, publishers with ledgers.

    publishers -> Mosquitto -> (bad network) -> ingester -> SQLite, or spool -> (bad way) -> InfluxDB
    devices -> gateway -> Mosquitto ...

Several ingesters share the messages. They work on one data folder, or each has a folder with a spool of its own and
PostgreSQL keeps the one registry. A fault pulls at one of these; the stand restarts what
died, waits until all is settled, and reckons.
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
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from faults.evidence import Database, OpenGap, count_in_file, rows_in_influx, rows_in_sqlite
from faults.flow import Flow
from faults.reckoning import Reckoning, reckon, wrong_gaps
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
_GAPS_CLOSED_WITHIN_S = 30.0


class Sending:
    """A publisher process and what it says of itself, in readings but for the number of `messages`.

    `by` is the module that sends: `faults.publishing` straight to the broker, `faults.feeding` through a gateway.
    """

    def __init__(self, flow: Flow, folder: Path, port: int, rate: float, *, by: str) -> None:
        self.flow = flow
        self.ledger = folder / f"ledger-{flow.name}.db"
        self.acknowledged = 0
        self.planned = self.messages = flow.count
        self.is_done = False
        command = [sys.executable, "-m", by, str(self.ledger), str(port), str(rate)]
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
        self.process.wait(60)
        self._listening.join(10)

    def _listen(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            for line in lines:
                state = json.loads(line)
                self.acknowledged, self.planned = state["acknowledged"], state["planned"]
                self.messages, self.is_done = state["messages"], state["is_done"]


@dataclass
class Ingester:
    """An ingest role: its client id, where it keeps its data, and the process of its present life."""

    client_id: str
    data: Path
    process: subprocess.Popen[bytes] | None = None
    lives: int = 0

    @property
    def is_alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    @property
    def has_ended(self) -> bool:
        """Whether it ended without anybody having asked for it, as far as we know."""
        return self.process is not None and self.process.poll() is not None


@dataclass
class Stand:
    """One installation under test. `kills` and `restarts` count what the fault did to it."""

    folder: Path
    ingesters: Sequence[Ingester]
    registry: Database
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
    wrongs: list[str] = field(default_factory=list)
    _broker: ExitStack = field(default_factory=ExitStack)
    _broker_process: subprocess.Popen[bytes] | None = None

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

    # -------------------------------------------------------------------------------------------- the ingesters

    def start_ingester(self, which: int = 0, *, must_subscribe: bool = False) -> None:
        """Start an ingest role; with `must_subscribe` return when the broker keeps messages for it."""
        before, ingester = self.network.subscriptions, self.ingesters[which]
        command = [sys.executable, "-m", "faults.impatient_service", "serve", "--role", "ingest"]
        ingester.lives += 1
        with (self.folder / f"ingester-{which}-{ingester.lives}.log").open("wb") as log:
            ingester.process = subprocess.Popen(
                [*command, "--data-dir", str(ingester.data)], stdout=log, stderr=log, env=self._environment_of(ingester)
            )
        if must_subscribe:
            self.await_("the ingester's subscription", lambda: self.network.subscriptions > before)

    def kill_ingester(self, which: int = 0) -> None:
        process = self._running(which)
        process.kill()
        process.wait()
        self.ingesters[which].process = None
        self.kills += 1

    def end_ingesters(self) -> None:
        """Ask all ingesters to end; each must have lived until now, and end well."""
        processes = [self._running(which) for which in range(len(self.ingesters))]
        for process in processes:
            process.send_signal(signal.SIGTERM)
        for process in processes:
            try:
                code = process.wait(40)
            except subprocess.TimeoutExpired:
                process.kill()
                code = process.wait()
            if code:
                self.wrongs.append(f"the ingester ended with {code}")

    @property
    def pid(self) -> int:
        """The process of the (first) ingester."""
        return self._running(0).pid

    def _running(self, which: int) -> subprocess.Popen[bytes]:
        """Return an ingester's process; that it has ended by itself is a wrong."""
        process = self.ingesters[which].process
        assert process is not None
        if process.poll() is not None:
            self.wrongs.append(f"the ingester had ended by itself with {process.returncode}")
        return process

    def set_clock_wrong_by(self, seconds: float) -> None:
        part = self.folder / "clock.part"
        part.write_text(str(seconds))
        part.replace(self.folder / "clock")

    # ------------------------------------------------------------------------------------------------- the flow

    def send(self, flow: Flow, *, rate: float, by: str = "faults.publishing") -> Sending:
        """Begin to send a flow at up to `rate` messages a second."""
        self.sendings.append(Sending(flow, self.folder, self.broker_port, rate, by=by))
        return self.sendings[-1]

    def acknowledged(self) -> int:
        """Return how many readings the broker has acknowledged."""
        return sum(sending.acknowledged for sending in self.sendings)

    def stored(self) -> int:
        """Return how many readings the store counts right now. Good enough to time a fault by."""
        return sum(count_in_file(path, "SELECT readings FROM tally") for path in self.store_files)

    def dead(self) -> int:
        return self.registry.count("SELECT count(*) FROM dead_letters")

    def waiting(self) -> int:
        """Return how many readings no spool has forwarded."""
        return sum(count_in_file(path, "SELECT waiting FROM tally") for path in self.store_files) if self.server else 0

    def quarantined(self) -> int:
        return sum(count_in_file(path, "SELECT quarantined FROM tally") for path in self.store_files)

    def gaps(self) -> int:
        """Return how many gaps were ever found."""
        return self.registry.count("SELECT count(*) FROM gaps")

    @property
    def store_files(self) -> list[Path]:
        """Where the readings are, or wait."""
        name = "spool.db" if self.server else "readings.db"
        return sorted({ingester.data / name for ingester in self.ingesters})

    def await_stored(self, goal: float, *, within_s: float = 60.0) -> None:
        """Return when so many readings are stored or dead."""
        self.await_(f"{goal:.0f} readings", lambda: self.stored() + self.dead() >= goal, within_s=within_s)

    def await_(self, what: str, ready: Callable[[], bool], *, within_s: float = 60.0) -> None:
        """Return when something is so; fail at once when an ingester has ended."""

        def is_ready() -> bool:
            if any(ingester.has_ended for ingester in self.ingesters):
                raise RuntimeError(f"an ingester has ended: {self.logs()[-3000:]}")
            if any(sending.process.poll() is not None for sending in self.sendings):
                raise RuntimeError("a sender has ended")
            return ready()

        wait_until(is_ready, within_s=within_s, what=what)

    # ------------------------------------------------------------------------------------------------- the end

    def settle(self) -> None:
        """Return when everything was acknowledged and nothing moves any more, or never will."""
        self.await_(
            "the senders' acknowledgements",
            lambda: all(sending.is_done for sending in self.sendings),
            within_s=_SETTLED_WITHIN_S,
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
            rows = [row for path in self.store_files for row in rows_in_sqlite(path)]
        return reckon([sending.ledger for sending in self.sendings], rows, self.registry.letters())

    def settle_gaps(self) -> None:
        """Return when the ledger of gaps is right: nothing is missing but what is a dead letter. Else that is wrong."""
        try:
            self.await_("the gaps' end", lambda: not self._wrong_gaps(), within_s=_GAPS_CLOSED_WITHIN_S)
        except TimeoutError:
            wrong = self._wrong_gaps()
            self.wrongs.append(f"{len(wrong)} gaps are wrong: {wrong[:3]}")

    def _wrong_gaps(self) -> list[OpenGap]:
        return wrong_gaps(self.registry.open_gaps(), self.registry.letters())

    def release_quarantine(self) -> int:
        """Send what InfluxDB refused again, as an operator does who mended the cause; return how much it was."""
        assert self.server is not None
        store = InfluxReadings(self.server.url, self.server.token, self.server.org, self.bucket, self.store_files[0])
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
        for ingester in self.ingesters:
            if ingester.process is not None and ingester.is_alive:
                ingester.process.kill()
                ingester.process.wait()
        self.registry.close()
        self._broker.close()

    def logs(self) -> str:
        return "\n".join(path.read_text(errors="replace") for path in sorted(self.folder.glob("ingester-*.log")))

    def _environment_of(self, ingester: Ingester) -> dict[str, str]:
        settings = {"mqtt_url": f"mqtt://127.0.0.1:{self.network.port}", "log_level": "info", **self.settings}
        if len(self.ingesters) > 1:
            settings |= {"ingest_share": "waterworks", "mqtt_client_id": ingester.client_id}
            settings["database_url"] = self.registry.url
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
    folder: Path,
    sensor_ids: list[str],
    *,
    seed: int,
    server: Influx | None = None,
    registry_url: str = "",
    disk: Path | None = None,
    ingesters: int = 1,
    apart: bool = False,
) -> Iterator[Stand]:
    """Build a stand in an empty folder and start the broker; nothing flows yet. Data are kept on `disk`, if given.

    Without `registry_url` (an empty database) the registry is in the data folder.
    """
    data = [(disk or folder) / f"data{number or ''}" for number in range(ingesters if apart else 1)]
    for place in data:
        place.mkdir(mode=0o700, exist_ok=True)
    url = registry_url or f"sqlite:///{data[0] / 'registry.db'}"
    registry = open_registry(url)
    registry.upsert_sensors([Sensor(sensor_id, Quantity.PRESSURE) for sensor_id in sensor_ids])
    registry.close()
    members = [Ingester(f"member-{number}", data[number % len(data)]) for number in range(ingesters)]
    port = free_port()
    with ExitStack() as stack:
        network = stack.enter_context(tcp_proxy(port))
        built = Stand(folder, members, Database(url), network, port, small_disk=disk)
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
