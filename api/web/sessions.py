"""Who is logged in on the operators' pages, and who tries too often.

A session is kept in this process under a random token; the browser holds the token alone, in a cookie that scripts
cannot read and other sites cannot send. Logging out, revoking the key and restarting the process all end it. Limits
count the machine's monotonic seconds, not the twin's clock: a replayed night must not shorten them.
"""

from __future__ import annotations

import hmac
import secrets
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass

COOKIE = "h2twin_session"
SESSION_S = 12 * 3600.0
"""A long shift."""
SESSION_LIMIT = 1000

ATTEMPTS = 5
ATTEMPTS_WINDOW_S = 300.0
ADDRESS_LIMIT = 10_000


@dataclass(frozen=True, slots=True)
class Session:
    """One login: the key it was made with, the token that its forms carry, and when it ends."""

    key_id: str
    form_token: str
    ends_at_s: float

    def is_form_token(self, text: str) -> bool:
        """Whether a form was made for this session."""
        return hmac.compare_digest(self.form_token.encode(), text.encode())


class Sessions:
    """The logins of this process."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._sessions: OrderedDict[str, Session] = OrderedDict()
        self._lock = threading.Lock()

    def start(self, key_id: str) -> str:
        """Begin a session and return the token for the cookie; the oldest goes when there are too many."""
        token = secrets.token_urlsafe(32)
        with self._lock:
            self._sessions[token] = Session(key_id, secrets.token_urlsafe(32), self._monotonic() + SESSION_S)
            while len(self._sessions) > SESSION_LIMIT:
                self._sessions.popitem(last=False)
        return token

    def find(self, token: str | None) -> Session | None:
        """Return the running session of a cookie, or None."""
        with self._lock:
            session = self._sessions.get(token or "")
            if session is not None and session.ends_at_s <= self._monotonic():
                del self._sessions[token or ""]
                return None
            return session

    def end(self, token: str | None) -> None:
        """End a session; nothing happens if there is none."""
        with self._lock:
            self._sessions.pop(token or "", None)


class Attempts:
    """Counts the failed logins of each address."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._failed: OrderedDict[str, deque[float]] = OrderedDict()
        self._lock = threading.Lock()

    def wait_s(self, address: str) -> float:
        """Return how long the address must wait before it may try again; 0 lets it try."""
        with self._lock:
            failed = self._recent(address)
            if len(failed) < ATTEMPTS:
                return 0.0
            return failed[-ATTEMPTS] + ATTEMPTS_WINDOW_S - self._monotonic()

    def failed(self, address: str) -> None:
        """Note a failed login."""
        with self._lock:
            self._recent(address).append(self._monotonic())
            self._failed.move_to_end(address)
            while len(self._failed) > ADDRESS_LIMIT:
                self._failed.popitem(last=False)

    def succeeded(self, address: str) -> None:
        """Forget the failures of an address that showed a good key."""
        with self._lock:
            self._failed.pop(address, None)

    def _recent(self, address: str) -> deque[float]:
        failed = self._failed.setdefault(address, deque(maxlen=ATTEMPTS))
        while failed and failed[0] <= self._monotonic() - ATTEMPTS_WINDOW_S:
            failed.popleft()
        return failed
