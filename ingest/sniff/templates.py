"""Topics that differ in the names of devices only, as one template: `plant/{device}/data`."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence

from ingest.topics import TopicTemplate
from twin.errors import ConfigError

VARIES_FROM = 4
"""So many different names at one level, everything else being equal, are names of devices."""

_DEVICE = "{device}"
_IDS = (
    re.compile(r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"),  # UUID
    re.compile(r"(?:[0-9a-fA-F]{2}[:-]){5,7}[0-9a-fA-F]{2}"),  # MAC, EUI with separators
    re.compile(r"(?=.*[0-9])[0-9a-fA-F]{8,}"),  # devEui, serial numbers
    re.compile(r"[0-9]+"),
    re.compile(r"[A-Za-z][A-Za-z_-]*[-_]?[0-9]{2,}"),  # rtu-001, meter_42
)


def looks_like_id(level: str) -> bool:
    """Whether a level of a topic looks like the id of a device."""
    return any(pattern.fullmatch(level) for pattern in _IDS)


def group(topics: Iterable[str]) -> dict[str, list[str]]:
    """Return templates with the topics each stands for; every topic is in exactly one."""
    groups: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for topic in sorted(set(topics)):
        levels = topic.split("/")
        shape = [_DEVICE if position and looks_like_id(level) else level for position, level in enumerate(levels)]
        groups[tuple(shape)].append(topic)
    merged = _merged(dict(groups))
    return {_numbered(shape): found for shape, found in merged.items()}


def common_filter(topics: Sequence[str]) -> str:
    """Return a topic filter over all topics, down to where they differ or a device's id stands."""
    if len(set(topics)) == 1 and is_literal(topics[0]) and not any(map(looks_like_id, topics[0].split("/")[1:])):
        return topics[0]
    split = [topic.split("/") for topic in topics]
    shared: list[str] = []
    for levels in zip(*split, strict=False):
        if len(set(levels)) > 1 or not is_literal(levels[0]) or (shared and looks_like_id(levels[0])):
            break
        shared.append(levels[0])
    return "/".join([*shared, "#"])


def with_device(template: str) -> str:
    """Return the template with its last level named, if none is."""
    levels = template.split("/")
    return template if "{" in template else "/".join([*levels[:-1], _DEVICE])


def _merged(groups: dict[tuple[str, ...], list[str]]) -> dict[tuple[str, ...], list[str]]:
    """Name the levels at which many groups differ and nowhere else."""
    longest = max((len(shape) for shape in groups), default=0)
    for position in range(longest - 1, 0, -1):
        alike: dict[tuple[str, ...], list[tuple[str, ...]]] = defaultdict(list)
        for shape in groups:
            if position < len(shape) and shape[position] != _DEVICE:
                alike[(*shape[:position], "", *shape[position + 1 :])].append(shape)
        for shapes in alike.values():
            if len(shapes) >= VARIES_FROM:
                named = (*shapes[0][:position], _DEVICE, *shapes[0][position + 1 :])
                found = [topic for shape in shapes for topic in groups.pop(shape)]
                groups[named] = sorted({*groups.get(named, []), *found})
    return groups


def _numbered(shape: Sequence[str]) -> str:
    """Return the levels as a template: the last name is `{device}`, those before it are `{group}`, `{group2}` …."""
    named = [position for position, level in enumerate(shape) if level == _DEVICE]
    levels = [level if level == _DEVICE or is_literal(level) else "+" for level in shape]
    for number, position in enumerate(named[:-1], start=1):
        levels[position] = "{group}" if number == 1 else f"{{group{number}}}"
    return "/".join(levels)


def is_literal(text: str) -> bool:
    """Whether a topic template may hold the text as it is, and mean nothing but it."""
    try:
        return TopicTemplate.parse(text).names == () and not any(sign in text for sign in "+#")
    except ConfigError:
        return False
