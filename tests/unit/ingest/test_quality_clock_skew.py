"""When a gateway's clock is called wrong, and what slow paths, outages and queues must never be taken for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.quality import QualityGate, QualityLimits
from ingest.quality.clock_skew import ClockSkew
from twin.events import Event, EventKind
from twin.readings import Quality, Reason, Sensor, reading_from_raw
from twin.units import Quantity

T0 = datetime(2026, 1, 1, tzinfo=UTC)
MINUTE_S, HOUR_S = 60.0, 3600.0
Message = tuple[float, float]
"""When it was observed by the gateway's clock, and when it arrived (s)."""


def hear(messages: Iterable[Message], at_once: int = 1) -> tuple[list[float], list[Event]]:
    """Return what is held of the clock after each message, and all that was told, in order of arrival."""
    skew, offsets, told = ClockSkew(QualityLimits()), [], []
    in_order = sorted(messages, key=lambda message: message[1])
    for first in range(0, len(in_order), at_once):
        batch = [
            (timedelta(seconds=came - seen), T0 + timedelta(seconds=came)) for seen, came in in_order[first:][:at_once]
        ]
        told += skew.learn({"g": batch})
        offsets += [skew.offset_s("g")] * len(batch)
    return offsets, told


def quick(random: Random) -> float:
    return random.uniform(1, 20)


def mobile(random: Random) -> float:
    """Seconds that a mobile network takes: 20 usually, minutes now and then."""
    return random.lognormvariate(3.0, 1.0)


def a_path(every_s: float, hours: float, path_s: Sequence[float]) -> list[Message]:
    return [(n * every_s, n * every_s + path_s[n % len(path_s)]) for n in range(int(hours * HOUR_S / every_s))]


def set_back(messages: Sequence[Message], by_s: float, since_s: float) -> list[Message]:
    """The same messages from a gateway whose clock is set back (forward, if negative) at a moment."""
    return [(seen - by_s if seen >= since_s else seen, came) for seen, came in messages]


def queued(messages: Sequence[Message], away_s: tuple[float, float], faster: float, every_s: float) -> list[Message]:
    """The same messages through a queue that nothing leaves while we are away; it empties `faster` than it fills."""
    delivered, free_s = [], 0.0
    for seen, came in messages:
        waits = away_s[0] <= came < away_s[1] or free_s > came
        leaves = max(came, free_s, away_s[1] if waits else came)
        delivered.append((seen, leaves))
        free_s = leaves + every_s / faster if waits else leaves
    return delivered


#   usual path 5 s;  behind: every message seems to take 5 s + 10 min;  queue: 40, 35, 30 ... min
@pytest.mark.parametrize(
    ("delays_s", "is_skewed"),
    [
        pytest.param([605, 603, 606, 604, 605], True, id="all messages take ten minutes longer at once"),
        pytest.param([2400, 2100, 1800, 1500, 1200], False, id="a queue that empties"),
        pytest.param([605, 5, 604, 6, 605], False, id="some are quick"),
        pytest.param([605, 603, 606, 604, 605, 604, 5], False, id="quick again"),
        pytest.param([65, 64, 66, 65, 64], False, id="a minute is within the tolerance"),
        pytest.param([-600, -599, -601, -600, -600, -600, -600, -600, -600], True, id="ahead"),
        pytest.param([-600] * 12 + [5, 6, 5], False, id="ahead and set right"),
        pytest.param([-600] * 12 + [5, 6], True, id="two messages are no proof that it is right again"),
    ],
)
def test_the_readings_of_a_wrong_clock_are_suspect(delays_s: list[int], is_skewed: bool) -> None:
    sensor = Sensor("S", Quantity.FLOW, expected_every_s=HOUR_S)
    gate = QualityGate({"S": sensor})
    reasons: tuple[str, ...] = ()
    for n, delay_s in enumerate([5, 4, 6, 5, 5, 5, *delays_s]):
        came = T0 + timedelta(hours=n)
        seen = came - timedelta(seconds=delay_s)
        (reading,) = gate.judge([reading_from_raw(sensor, observed_at=seen, available_at=came, raw_value=1.0)], ["g"])
        reasons = reading.reasons
    assert (Reason.CLOCK_SKEW in reasons) is is_skewed
    assert (reading.quality is Quality.GOOD) is not is_skewed


@pytest.mark.parametrize("by_s", [150.0, 600.0, 3300.0, 30 * 24 * HOUR_S])
@pytest.mark.parametrize(
    ("every_s", "within_s"),
    [
        pytest.param(1.0, 3 * MINUTE_S, id="every second: the same times come again"),
        pytest.param(10.0, 3 * MINUTE_S, id="every ten seconds"),
        pytest.param(300.0, 2 * HOUR_S, id="every five minutes"),
        pytest.param(3600.0, 4 * HOUR_S, id="every hour: the fifth message"),
    ],
)
def test_a_clock_that_was_set_back_is_found_and_measured(every_s: float, within_s: float, by_s: float) -> None:
    hours, since_s = (4.0, 3 * HOUR_S) if every_s < MINUTE_S else (48.0, 24 * HOUR_S)
    random = Random(1)
    right = a_path(every_s, hours, [quick(random) for _ in range(997)])
    offsets, told = hear(set_back(right, by_s, since_s))
    came = [came for _, came in sorted(right, key=lambda message: message[1])]
    assert not any(offset for offset, at in zip(offsets, came, strict=True) if at < since_s)
    found = [offset for offset, at in zip(offsets, came, strict=True) if at > since_s + within_s + 20]
    assert found
    assert all(abs(offset + by_s) <= 60 for offset in found)
    assert {(one.kind, one.subject) for one in told} == {(EventKind.CLOCK_SKEW, "g")}


@pytest.mark.parametrize("by_s", [180.0, 1200.0])
def test_a_clock_behind_a_mobile_network_is_found_later_and_for_good(by_s: float) -> None:
    random = Random(2)
    right = a_path(300.0, 96, [mobile(random) for _ in range(1153)])
    offsets, _ = hear(set_back(right, by_s, 48 * HOUR_S))
    assert not any(offsets[: 48 * 12])
    assert all(offsets[-44 * 12 :])


@settings(max_examples=60)
@given(
    every_s=st.sampled_from([10.0, 60.0, 300.0, 900.0, 3600.0]),
    away_s=st.floats(2 * MINUTE_S, 12 * HOUR_S),
    faster=st.floats(1.05, 2.0) | st.floats(2.0, 1e6),
    path_s=st.lists(st.floats(0.5, 20), min_size=1, max_size=50),
    at_once=st.integers(1, 50),
)
def test_a_queue_that_empties_is_never_a_wrong_clock(
    every_s: float, away_s: float, faster: float, path_s: list[float], at_once: int
) -> None:
    before_s = max(3 * HOUR_S, 8 * every_s)
    hours = (before_s + min(3 * away_s, 24 * HOUR_S)) / HOUR_S + 1
    messages = a_path(every_s, hours, path_s)
    offsets, told = hear(queued(messages, (before_s, before_s + away_s), faster, every_s), at_once)
    assert not any(offsets)
    assert not told


@pytest.mark.parametrize("every_s", [60.0, 300.0, 900.0, 3600.0])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_crowded_mobile_network_is_never_a_wrong_clock(every_s: float, seed: int) -> None:
    """Every evening each message takes up to ten minutes longer."""
    random = Random(seed)
    messages = []
    for seen, _ in a_path(every_s, 14 * 24, [0.0]):
        crowded = random.uniform(0, 600) if 17 < seen / HOUR_S % 24 < 22 else 0.0
        messages.append((seen, seen + mobile(random) + crowded))
    offsets, told = hear(messages)
    assert not any(offsets)
    assert not told


def test_a_gateway_that_hands_in_what_it_kept_has_no_wrong_clock() -> None:
    """What it sees now and what it kept for an hour take turns."""
    live = a_path(10.0, 4, [2.0])
    kept = [(seen - HOUR_S, came + 1) for seen, came in live if came > 3 * HOUR_S]
    offsets, _ = hear([*live, *kept])
    assert not any(offsets)


@pytest.mark.parametrize(
    ("by_s", "says"),
    [
        pytest.param(3600.0, "summer time", id="behind by an hour"),
        pytest.param(-3600.0, "summer time", id="ahead by an hour"),
        pytest.param(600.0, "its clock seems 600 s behind: even", id="behind by ten minutes"),
        pytest.param(30 * 24 * HOUR_S, " s behind: even", id="behind by a month"),
    ],
)
def test_it_is_told_in_words(by_s: float, says: str) -> None:
    _, told = hear(set_back(a_path(60.0, 8, [5.0, 6.0]), by_s, 4 * HOUR_S))
    assert says in told[0].detail
