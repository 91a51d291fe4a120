"""Engine work by the workers of a Dask scheduler, and by our own engine processes when those are out of reach.

A worker that dies leaves its tasks to the others (Dask's scheduler sees to that), and Dask gives up a task that
several workers died of. Everything else that keeps us from an answer - nobody at the address, no worker left, another
version of h2twin there, a connection that breaks - is no reason to have none: the local pool takes over, and says so.
"""

from __future__ import annotations

import importlib.util
import logging
import pickle
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import CancelledError
from contextlib import suppress
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit

from models.pool import EnginePool, pickled_task
from twin.errors import ConfigError, ModelError

Result = TypeVar("Result")

_CONNECT_WITHIN_S = 5.0
_LOOK_EVERY_S = 1.0
_TIMES_THE_LIMIT = 2.0  # a task may wait behind others, or be begun anew elsewhere
_CERTIFICATES = {"tls_ca_file": "CA_FILE", "tls_client_cert": "CLIENT__CERT", "tls_client_key": "CLIENT__KEY"}


def check_dask(scheduler: str) -> None:
    """Raise ConfigError if a scheduler could never be asked from here: no Dask, or no certificates for tls://."""
    if importlib.util.find_spec("distributed") is None:
        raise ConfigError("TWIN_DASK_SCHEDULER needs Dask: pip install distributed (extra: dask)")
    _security(scheduler)


class DaskPool:
    """Runs functions on a scheduler's workers, from `with` to its end. Safe to call from several threads.

    Args:
        scheduler: tcp://host:port or tls://host:port.
        local: Takes over when the workers cannot be reached, and says which limits count.
        say: Is told, once and in a sentence, why it took over.
        patience_s: Seconds without a scheduler that knows of a worker, after which there is none.
    """

    def __init__(
        self, scheduler: str, local: EnginePool, *, say: Callable[[str], None], patience_s: float = 15.0
    ) -> None:
        check_dask(scheduler)
        self._scheduler, self._local, self._say, self._patience_s = scheduler, local, say, patience_s
        self.workers, self.time_limit_s = local.workers, local.time_limit_s
        self._client: Any = None
        self._lock = threading.Lock()
        self._is_away = False
        self._ended = threading.Event()
        self._well_at_s = 0.0
        self._watcher = threading.Thread(target=self._watch, name="dask-watcher", daemon=True)

    def __enter__(self) -> Self:
        try:
            self._connect()
        except Exception as error:  # an address that leads nowhere, a certificate refused, another version of Dask
            self._give_up(f"it cannot be reached ({_described(error)})")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        if self._client is not None:
            with suppress(Exception):  # a scheduler that is gone cannot be told goodbye
                self._client.close(timeout=_CONNECT_WITHIN_S)

    def run(self, function: Callable[..., Result], *args: object, time_limit_s: float | None = None) -> Result:
        """Return `function(*args)`, see `models.pool.Engines.run`.

        Raises:
            ModelError: As there; and if several Dask workers died of it.
        """
        limit_s = self.time_limit_s if time_limit_s is None else time_limit_s
        if not self._is_away:
            try:
                succeeded, result = pickle.loads(self._answer(pickled_task(function, args), function, limit_s))
                if not succeeded:
                    raise result
                return result  # type: ignore[no-any-return]
            except _AwayError as away:
                self._give_up(str(away))
        return self._local.run(function, *args, time_limit_s=limit_s)

    def _connect(self) -> None:
        import dask
        from distributed import Client

        logging.getLogger("distributed.client").setLevel(logging.CRITICAL)  # one sentence of ours says what matters
        within_s = min(_CONNECT_WITHIN_S, self._patience_s)
        address = urlsplit(self._scheduler)
        with socket.create_connection((address.hostname, address.port), within_s):
            pass  # where nobody listens Dask would try again and again
        dask.config.set({"distributed.admin.large-graph-warning-threshold": "1GiB"})  # an INP goes with each task
        self._client = Client(
            self._scheduler,
            security=_security(self._scheduler),
            timeout=within_s,
            set_as_default=False,
        )
        self._client.wait_for_workers(1, timeout=self._patience_s)
        self.workers = max(1, sum(self._client.nthreads().values()))
        self._well_at_s = time.monotonic()
        self._watcher.start()

    def _answer(self, task: bytes, function: Callable[..., object], limit_s: float) -> bytes:
        from distributed.scheduler import KilledWorker

        from models import dask_worker

        name = function.__qualname__
        asked = (task, dask_worker.software(), self._local.limits_mb, limit_s)
        future = None
        try:
            future = self._client.submit(dask_worker.answer, *asked, pure=False)
            return self._awaited(future, _TIMES_THE_LIMIT * limit_s + self._patience_s)
        except _AwayError:
            raise
        except KilledWorker as error:
            raise ModelError(
                f"{error.allowed_failures + 1} Dask workers died one after another during {name}"
            ) from None
        except CancelledError:
            raise _AwayError("the connection to it broke") from None
        except Exception as error:  # h2twin is not installed there, or is another version; the answer cannot be fetched
            raise _AwayError(f"its workers cannot do the work ({_described(error)})") from error
        finally:
            if future is not None:
                with suppress(Exception):  # the connection may be gone
                    future.release()

    def _awaited(self, future: Any, within_s: float) -> bytes:
        end_s = time.monotonic() + within_s
        while True:
            with suppress(TimeoutError):
                content: bytes = future.result(timeout=_LOOK_EVERY_S)
                return content
            now_s = time.monotonic()
            if now_s > self._well_at_s + self._patience_s:
                raise _AwayError(f"nobody is at work there any more, for {self._patience_s:g} s")
            if now_s > end_s:
                raise _AwayError(f"it gave no answer within {within_s:g} s")

    def _watch(self) -> None:
        """Note when the scheduler answered last and knew of a worker."""
        while not self._ended.wait(_LOOK_EVERY_S):
            with suppress(Exception):  # it will be missed
                if self._client.nthreads():
                    self._well_at_s = time.monotonic()

    def _give_up(self, cause: str) -> None:
        with self._lock:
            if not self._is_away:
                self._is_away = True
                self._say(f"run on this machine, not by the Dask scheduler {self._scheduler}: {cause}")


class _AwayError(Exception):
    """Dask has no answer for us, whatever the task is."""


def _security(scheduler: str) -> Any:
    """Return the certificates that Dask's own configuration names; none for tcp://.

    Raises:
        ConfigError: If one is missing for tls://.
    """
    from distributed.security import Security

    if not scheduler.startswith("tls://"):
        return Security(require_encryption=False)
    security = Security(require_encryption=True)
    missing = [variable for field, variable in _CERTIFICATES.items() if not getattr(security, field)]
    if missing:
        names = ", ".join(f"DASK_DISTRIBUTED__COMM__TLS__{variable}" for variable in missing)
        raise ConfigError(f"TWIN_DASK_SCHEDULER is tls:// and Dask knows no certificates: set {names}")
    return security


def _described(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
