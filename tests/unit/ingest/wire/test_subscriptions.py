"""Filters that would let a message come twice are joined; checked against paho's own matching of every short topic."""

from __future__ import annotations

from itertools import product

from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.client import topic_matches_sub

from ingest.wire.subscriptions import Subscriptions, covers, crosses

LEVELS = ("a", "b", "$s")
TOPICS = ["/".join(levels) for size in (1, 2, 3, 4) for levels in product(LEVELS, repeat=size)]

filters = st.builds(
    lambda levels, rest: "/".join([*levels, *rest]),
    st.lists(st.sampled_from([*LEVELS, "+"]), min_size=1, max_size=3),
    st.sampled_from([[], ["#"]]),
) | st.just("#")


def matched(filter_: str) -> set[str]:
    return {topic for topic in TOPICS if topic_matches_sub(filter_, topic)}


@given(filters, filters)
def test_covering_and_crossing_are_what_the_topics_say(one: str, other: str) -> None:
    if covers(one, other):
        assert matched(other) <= matched(one)
    assert crosses(one, other) == bool(matched(one) & matched(other))


@given(st.lists(filters, min_size=1, max_size=5))
def test_every_topic_asked_for_comes_exactly_once(asked: list[str]) -> None:
    subscriptions = Subscriptions(asked)
    for topic in TOPICS:
        wanted = any(topic_matches_sub(name, topic) for name in asked)
        copies = sum(topic_matches_sub(name, topic) for name in subscriptions.filters)
        assert copies == 1 if wanted else copies <= 1
        if copies and not topic.startswith("$"):
            assert subscriptions.wants(topic) == wanted


def test_what_need_not_be_joined_stays() -> None:
    subscriptions = Subscriptions(["h2/+", "h2/+/+", "application/+/device/+/event/up"])
    assert subscriptions.filters == ("h2/+", "h2/+/+", "application/+/device/+/event/up")
    assert subscriptions.dropped == ()
    assert not subscriptions.is_widened


def test_crossing_filters_are_joined_and_strangers_kept_out() -> None:
    subscriptions = Subscriptions(["a/+/c", "a/b/+"])
    assert subscriptions.filters == ("a/+/+",)
    assert subscriptions.dropped == ("a/+/c", "a/b/+")
    assert [subscriptions.wants(topic) for topic in ("a/b/c", "a/x/c", "a/b/x", "a/x/y")] == [True, True, True, False]
