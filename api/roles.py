"""The roles of a running h2twin: ingest, cycle and api. Each is a thread that survives what it meets.

A role that fails says so in its sign of life (`Beat`), waits a growing while, and goes on. Roles share nothing but the
broker and the stores, so they run in one process or in three.
"""

from __future__ import annotations

import gc
import os
import socket
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict
from typing import TYPE_CHECKING

import structlog

from api import bootstrap
from api.gap_keeping import GapKeeping
from api.housekeeping import Housekeeping
from api.ingesters import ingester_name
from api.settings import Settings
from api.store_watch import StoreWatch
from twin.clock import Clock
from twin.errors import ConflictError, TwinError
from twin.ports import Beat, Registry

if TYPE_CHECKING:
    from api.rejudging import Rejudging
    from ingest.guard.gateways import GatewayGuard
    from ingest.mqtt import MqttIngester
    from twin.cycle import Cycle

log = structlog.get_logger()

BEAT_EVERY_S = 2.0
LEASE = "cycle"
LONGEST_LEASE_S, SHORTEST_LEASE_S = 30.0, 6.0
"""So long after a process was killed another one takes over: three periods of the cycle, within these limits."""
_OBJECTS_BETWEEN_COLLECTIONS = 50_000
"""Readings hold no cycles: looking for some among every 700 new ones took a tenth of the ingester's time."""
SHORTEST_HANG_S = 900.0
"""A turn that takes longer (and longer than ten periods) hangs: its process lets the lease run out."""


class IngestRole:
    """Hosts the embedded broker (unless one is named), takes readings in, and asks for those that are missing.

    With `asks` False no gateway is asked: in an exercise everything was sent.
    """

    def __init__(self, settings: Settings, memory: bootstrap.Memory, clock: Clock, *, asks: bool = True) -> None:
        self._asks = asks
        self._gaps: GapKeeping | None = None
        self._housekeeping = Housekeeping(memory.readings, memory.registry, settings, clock)
        self.rejudging: Rejudging | None = None
        self._settings = settings
        self._memory = memory
        self._clock = clock
        self._stack = ExitStack()
        self._stop, self._beat_due = threading.Event(), threading.Event()
        self._beating = threading.Thread(target=self._beat, name="ingest-beat", daemon=True)
        self.ingester: MqttIngester | None = None
        self.guard: GatewayGuard | None = None
        self.broker_url = ""

    def start(self) -> None:
        """Start broker and ingester; a broker that is away is waited for, not an error."""
        from ingest.guard.gateways import GatewayGuard
        from ingest.mappings import load_mappings, require_shareable
        from ingest.mqtt import MqttIngester
        from ingest.pipeline import Pipeline

        self.broker_url = self._broker()
        broker = bootstrap.mqtt_settings(self._settings, self.broker_url)
        shared = bool(broker.share)
        mappings = load_mappings(self._settings.mappings)
        if shared:
            require_shareable(mappings)
        self._gaps = GapKeeping(self._memory, self._clock, self.broker_url, asks=self._asks, shared=shared)
        self.guard = GatewayGuard(self._memory.registry, rate_per_s=self._settings.gateway_rate)
        pipeline = Pipeline(
            readings=self._memory.readings,
            dead_letters=self._memory.registry,
            sensors=self._memory.registry,
            notebook=self._memory.registry,
            mappings=mappings,
            guard=self.guard,
            observers=(self.guard, self._gaps.watch),
            shared=shared,
        )
        self.ingester = MqttIngester(broker, pipeline, self._clock)
        self.ingester.start()
        self._gaps.start()
        self._housekeeping.start()
        self._rejudge()
        self._beating.start()
        gc.freeze()
        gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS)

    def stop(self) -> None:
        """Stop taking readings; what is unacknowledged comes again at the next start."""
        self._stop.set()
        self._beat_due.set()
        if self.ingester is not None:
            self.ingester.stop(10.0)
            self._beating.join(10.0)
        self._housekeeping.stop()
        if self.rejudging is not None:
            self.rejudging.stop()
        if self._gaps is not None:
            self._gaps.stop()
        self._stack.close()

    def settle(self) -> None:
        """Judge what late readings re-opened and leave a sign of life, now: in an exercise the clock leaps.

        Raises:
            UnavailableError: If a store is away.
        """
        if self.rejudging is not None:
            self.rejudging.settle()
        self._beat_due.set()

    def _rejudge(self) -> None:
        from api.rejudging import Rejudging

        self.rejudging = Rejudging(self._memory.readings, self._memory.registry, self._clock)
        if self._asks:
            self.rejudging.start()

    def _broker(self) -> str:
        if self._settings.mqtt_url is not None:
            return self._settings.mqtt_url.get_secret_value()
        from ingest.broker import embedded_broker

        kept = self._settings.data_dir / bootstrap.BROKER_FILE
        url = self._stack.enter_context(embedded_broker(self._settings.mqtt_port, credentials_file=kept))
        bootstrap.write_broker_url(self._settings.data_dir, url)
        return url

    def _beat(self) -> None:
        assert self.ingester is not None
        store = StoreWatch(self._memory.readings, self._memory.registry, self._clock)
        name = ingester_name(self._settings.mqtt_client_id)
        while True:
            self._beat_due.wait(BEAT_EVERY_S)
            self._beat_due.clear()
            if self._stop.is_set():
                return
            state = self.ingester.state()
            away = "" if state.connected else "the broker is away"
            troubles = [trouble for trouble in (state.paused_because, away, store.trouble()) if trouble]
            numbers = {name: float(v) for name, v in asdict(state).items() if isinstance(v, (int, float))}
            refused = {f"refused_{reason}": float(count) for reason, count in state.by_reason.items()}
            figures = {**numbers, **refused, **(self.guard.figures() if self.guard else {}), **store.figures}
            beat = Beat(name, self._clock.now(), not troubles, "; ".join(troubles), figures)
            _leave(self._memory.registry, beat)


class CycleRole:
    """Turns the cycle at its period, under a lease: of several processes only one forecasts and tells.

    The lease is short and prolonged all the time, during a turn too, so that another process soon takes over from one
    that was killed. After each turn it does a bounded `chore`, whose failure is logged and harms no forecast.
    """

    def __init__(
        self,
        make_cycle: Callable[[], Cycle],
        registry: Registry,
        clock: Clock,
        *,
        period_s: float,
        chore: Callable[[], None] = lambda: None,
    ) -> None:
        self._make_cycle = make_cycle
        self._chore = chore
        self._registry = registry
        self._clock = clock
        self._period_s = period_s
        self._lease_s = min(LONGEST_LEASE_S, max(SHORTEST_LEASE_S, 3 * period_s))
        self._holder = f"{socket.gethostname()}-{os.getpid()}"
        self._stop = threading.Event()
        self._holds_lease = threading.Event()
        self._turning_since: float | None = None
        self._longest_turn_s = max(SHORTEST_HANG_S, 10 * period_s)
        self._threads = [
            threading.Thread(target=self._run, name="cycle", daemon=True),
            threading.Thread(target=self._keep_lease, name="cycle-lease", daemon=True),
        ]

    def start(self) -> None:
        """Begin to turn as soon as the lease is ours."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Let the present turn end, and give the lease back."""
        self._stop.set()
        for thread in self._threads:
            thread.join(30.0)
        try:
            self._registry.release_lease(LEASE, self._holder)
        except TwinError as error:
            log.warning("lease not given back", cause=str(error))

    def _run(self) -> None:
        cycle: Cycle | None = None
        while not self._stop.is_set():
            if not self._holds_lease.wait(0.2):
                continue
            started = time.monotonic()
            try:
                self._turning_since = started
                cycle = cycle or self._make_cycle()
                cycle.turn()
                self._do_chore()
            except TwinError as error:
                log.error("cycle failed", cause=str(error))
                _leave(self._registry, Beat("cycle", self._clock.now(), ok=False, detail=str(error)))
            except Exception as error:  # a defect of ours must not end the service
                log.exception("cycle failed unexpectedly")
                detail = f"unexpected {type(error).__name__}: {error}"
                _leave(self._registry, Beat("cycle", self._clock.now(), ok=False, detail=detail))
            finally:
                self._turning_since = None
            self._stop.wait(max(0.0, self._period_s - (time.monotonic() - started)))

    def _do_chore(self) -> None:
        try:
            self._chore()
        except Exception as error:  # whatever it is, the next turn's forecast matters more
            log.warning("chore after the turn failed", cause=str(error))

    def _keep_lease(self) -> None:
        told = ""
        while not self._stop.is_set():
            finding = self._ask_for_lease()
            if finding != told:
                log.info("lease of the cycle", finding=finding, holder=self._holder)
                told = finding
            self._stop.wait(self._lease_s / 6)

    def _ask_for_lease(self) -> str:
        since = self._turning_since
        if since is not None and time.monotonic() - since > self._longest_turn_s:
            return f"not prolonged: a turn has been hanging for more than {self._longest_turn_s:.0f} s"
        try:
            held = self._registry.acquire_lease(LEASE, self._holder, ttl_s=self._lease_s, now=self._clock.now())
        except TwinError as error:
            self._holds_lease.clear()
            return f"unknown: {error}"
        if held:
            self._holds_lease.set()
            return "ours: this process forecasts"
        self._holds_lease.clear()
        return "another process forecasts; this one waits to take over"


class WebRole:
    """Serves the API and the pages with uvicorn, in a thread of its own."""

    def __init__(self, app: object, listener: socket.socket) -> None:
        import uvicorn

        self._socket = listener
        config = uvicorn.Config(app, log_config=None, access_log=False, server_header=False)  # type: ignore[arg-type]
        self._server = uvicorn.Server(config)
        self._server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._socket]}, name="api", daemon=True
        )

    def start(self) -> None:
        """Begin to serve; returns when requests are answered."""
        self._thread.start()
        while not self._server.started:
            if not self._thread.is_alive():
                raise ConflictError("the web server ended at once; see the log")
            threading.Event().wait(0.01)

    def stop(self) -> None:
        """Finish the requests under way and end; harmless before the start, and when done twice."""
        self._server.should_exit = True
        if self._thread.ident is not None:
            self._thread.join(10.0)
        self._socket.close()


def address_of(listener: socket.socket) -> str:
    """Return where the pages served on this socket are."""
    host, port = listener.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def listen(host: str, port: int) -> socket.socket:
    """Listen on an address (port 0: a free one).

    Raises:
        ConfigError: If the port is taken or the address is not ours.
    """
    from twin.errors import ConfigError

    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(256)
    except OSError as error:
        listener.close()
        raise ConfigError(
            f"cannot listen on {host}:{port}: {error.strerror}; choose another --port or --host"
        ) from error
    return listener


def _leave(registry: Registry, beat: Beat) -> None:
    try:
        registry.beat(beat)
    except TwinError as error:
        log.warning("sign of life not kept", role=beat.role, cause=str(error))
