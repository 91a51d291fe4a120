"""An HTTP client that behaves as weather services ask: it says who it is, asks no more often than told, and gives up.

- An answer is kept for as long as `Cache-Control: max-age` or `Expires` says (counted from our own clock by the
  answer's own `Date`, so a wrong clock on either side does no harm), and never asked again within `min_interval`.
- After that it asks with If-Modified-Since and If-None-Match; 304 keeps the old answer.
- Failures of the network and 5xx are tried again a few times with growing pauses; 429 and 503 with Retry-After close
  the door until the time named.
- Time-outs hold for each step and for the whole answer; an answer over `max_bytes` is refused.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime

import httpx

from twin.clock import as_utc
from twin.errors import InputError, UnavailableError

logging.getLogger("httpx").setLevel(logging.WARNING)  # it logs whole addresses, and with them the API keys

_NO_TIME = timedelta(0)


@dataclass(frozen=True, slots=True)
class Answer:
    """A body, and when we got hold of it (a 304 does not make it newer)."""

    body: bytes
    available_at: datetime


@dataclass(frozen=True, slots=True)
class _Kept:
    answer: Answer
    fresh_until: datetime
    validators: Mapping[str, str]


class _RetryableError(Exception):
    pass


class PoliteClient:
    """Fetches bodies for the weather sources; one per service, safe for several threads."""

    def __init__(
        self,
        *,
        user_agent: str,
        timeout_s: float = 10.0,
        total_s: float = 30.0,
        max_bytes: int = 8_000_000,
        attempts: int = 3,
        backoff_s: float = 1.0,
        min_interval: timedelta = timedelta(minutes=10),
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self.user_agent = user_agent
        self._total_s = total_s
        self._max_bytes = max_bytes
        self._attempts = attempts
        self._backoff_s = backoff_s
        self._min_interval = min_interval
        self._pause = pause
        self._http = httpx.Client(timeout=timeout_s, headers={"User-Agent": user_agent}, follow_redirects=False)
        self._kept: dict[str, _Kept] = {}
        self._closed_until: dict[str, datetime] = {}
        self._lock = threading.Lock()

    def get(self, url: str, asked: Mapping[str, str], *, now: datetime) -> Answer:
        """Return the answer that is valid at `now`, from the network only where the service's rules let us ask.

        Raises:
            UnavailableError: If the service cannot be reached, answers an error, or asked us to wait.
            InputError: If the answer is larger than `max_bytes`.
        """
        now = as_utc(now)
        key = f"{url}?{sorted(asked.items())}"
        with self._lock:
            kept = self._kept.get(key)
            if kept is not None and kept.answer.available_at <= now < kept.fresh_until:
                return kept.answer
            closed_until = self._closed_until.get(key)
            if closed_until is not None and now < closed_until:
                raise UnavailableError(f"{url} asked us not to come back before {closed_until.isoformat()}")
            return self._refreshed(key, url, asked, kept, now)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _refreshed(self, key: str, url: str, asked: Mapping[str, str], kept: _Kept | None, now: datetime) -> Answer:
        response, body = self._ask_patiently(url, asked, kept.validators if kept else {})
        if response.status_code in (429, 503):
            self._closed_until[key] = now + max(_retry_after(response), self._min_interval)
        if response.status_code == 304 and kept is not None:
            self._kept[key] = replace(kept, fresh_until=now + self._lifetime(response))
            return kept.answer
        if response.status_code not in (200, 203):
            said = body[:200].decode("utf-8", "replace")
            raise UnavailableError(
                f"{url} answered {response.status_code}: {said!r}; check address, key and User-Agent in the settings"
            )
        answer = Answer(body, now)
        self._kept[key] = _Kept(answer, now + self._lifetime(response), _validators(response))
        return answer

    def _ask_patiently(
        self, url: str, asked: Mapping[str, str], validators: Mapping[str, str]
    ) -> tuple[httpx.Response, bytes]:
        for attempt in range(1, self._attempts + 1):
            try:
                return self._ask(url, asked, validators)
            except _RetryableError as error:
                if attempt == self._attempts:
                    raise UnavailableError(f"{url} failed {attempt} times, last: {error}") from error
                self._pause(self._backoff_s * 2 ** (attempt - 1))
        raise UnavailableError(f"{url} was never asked: attempts is {self._attempts}")

    def _ask(self, url: str, asked: Mapping[str, str], validators: Mapping[str, str]) -> tuple[httpx.Response, bytes]:
        deadline = time.monotonic() + self._total_s
        try:
            with self._http.stream("GET", url, params=dict(asked), headers=dict(validators)) as response:
                body = self._read(url, response, deadline)
        except httpx.RequestError as error:
            raise _RetryableError(f"{type(error).__name__} {error}".strip()) from error
        except httpx.InvalidURL as error:
            raise UnavailableError(f"{url} is no address: {error}; correct it in the settings") from error
        if response.status_code >= 500 and "Retry-After" not in response.headers:
            raise _RetryableError(f"status {response.status_code}")
        return response, body

    def _read(self, url: str, response: httpx.Response, deadline: float) -> bytes:
        body = bytearray()
        for chunk in response.iter_bytes(65536):
            body += chunk
            if len(body) > self._max_bytes:
                raise InputError(f"{url} answered more than {self._max_bytes} bytes, which is no forecast")
            if time.monotonic() > deadline:
                raise _RetryableError(f"the answer took longer than {self._total_s} s")
        return bytes(body)

    def _lifetime(self, response: httpx.Response) -> timedelta:
        return max(self._min_interval, _stated_lifetime(response))


def _stated_lifetime(response: httpx.Response) -> timedelta:
    directives = [part.strip().lower() for part in response.headers.get("Cache-Control", "").split(",")]
    if "no-store" in directives or "no-cache" in directives:
        return _NO_TIME
    for directive in directives:
        name, _, seconds = directive.partition("=")
        if name == "max-age" and seconds.isdecimal() and len(seconds) < 9:
            return timedelta(seconds=int(seconds))
    expires, sent = _date(response, "Expires"), _date(response, "Date")
    return expires - sent if expires is not None and sent is not None else _NO_TIME


def _retry_after(response: httpx.Response) -> timedelta:
    stated = response.headers.get("Retry-After", "")
    if stated.isdecimal() and len(stated) < 6:
        return timedelta(seconds=int(stated))
    until, sent = _date(response, "Retry-After"), _date(response, "Date")
    return min(until - sent, timedelta(days=1)) if until is not None and sent is not None else _NO_TIME


def _date(response: httpx.Response, header: str) -> datetime | None:
    try:
        found = parsedate_to_datetime(response.headers[header])
    except (KeyError, ValueError):
        return None
    return found if found.tzinfo is not None else None


def _validators(response: httpx.Response) -> dict[str, str]:
    pairs = (("Last-Modified", "If-Modified-Since"), ("ETag", "If-None-Match"))
    return {ours: response.headers[theirs] for theirs, ours in pairs if theirs in response.headers}
