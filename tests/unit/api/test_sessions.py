"""Logins end by time, by logging out and by number; failures make an address wait."""

from __future__ import annotations

from api.web.sessions import ATTEMPTS, ATTEMPTS_WINDOW_S, SESSION_LIMIT, SESSION_S, Attempts, Sessions


class _Watch:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_session_lasts_a_shift_and_no_longer() -> None:
    watch = _Watch()
    sessions = Sessions(watch)
    token = sessions.start("k1")
    watch.now += SESSION_S - 1
    session = sessions.find(token)
    assert session is not None
    assert session.key_id == "k1"
    watch.now += 1
    assert sessions.find(token) is None


def test_logging_out_ends_the_session_and_only_it() -> None:
    sessions = Sessions()
    one, other = sessions.start("k1"), sessions.start("k1")
    sessions.end(one)
    assert sessions.find(one) is None
    assert sessions.find(other) is not None


def test_an_unknown_or_absent_cookie_has_no_session() -> None:
    assert Sessions().find(None) is None
    assert Sessions().find("guess") is None


def test_the_oldest_session_goes_when_there_are_too_many() -> None:
    sessions = Sessions()
    tokens = [sessions.start("k1") for _ in range(SESSION_LIMIT + 1)]
    assert sessions.find(tokens[0]) is None
    assert sessions.find(tokens[1]) is not None


def test_a_form_token_belongs_to_one_session() -> None:
    sessions = Sessions()
    one, other = (sessions.find(sessions.start("k1")) for _ in range(2))
    assert one is not None
    assert other is not None
    assert one.is_form_token(one.form_token)
    assert not other.is_form_token(one.form_token)
    assert not one.is_form_token("é")


def test_an_address_waits_after_too_many_failures_until_the_oldest_is_old() -> None:
    # failures at   0   10   20   30   40        window 300 s
    # may try again at 300, when the first one has left the window
    watch = _Watch()
    attempts = Attempts(watch)
    for i in range(ATTEMPTS):
        assert attempts.wait_s("a") == 0
        watch.now = 1000.0 + 10 * i
        attempts.failed("a")
    assert attempts.wait_s("a") == ATTEMPTS_WINDOW_S - 10 * (ATTEMPTS - 1)
    assert attempts.wait_s("b") == 0
    watch.now = 1000.0 + ATTEMPTS_WINDOW_S
    assert attempts.wait_s("a") == 0


def test_a_good_key_clears_the_failures() -> None:
    attempts = Attempts()
    for _ in range(ATTEMPTS - 1):
        attempts.failed("a")
    attempts.succeeded("a")
    attempts.failed("a")
    assert attempts.wait_s("a") == 0
