"""Tests that need a real server are skipped where it is absent, listed at the end, and fail under CI."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
from servers import chromium, influxdb, mosquitto, postgres

_PARTS: dict[str, tuple[str, Callable[[], str | None]]] = {
    "needs_influxdb": ("InfluxDB 2 (influxd)", influxdb.find),
    "needs_postgres": ("PostgreSQL", postgres.find),
    "needs_mosquitto": ("Mosquitto", mosquitto.find),
    "needs_chromium": ("Chromium", chromium.find),
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    missing = {mark: part for mark, (part, find) in _PARTS.items() if find() is None}
    for item in items:
        absent = [part for mark, part in missing.items() if item.get_closest_marker(mark)]
        if not absent:
            continue
        if os.environ.get("CI") == "true":
            item.add_marker(pytest.mark.usefixtures("_missing_real_part"))
        else:
            item.add_marker(pytest.mark.skip(reason=f"{', '.join(absent)} is not installed here"))


@pytest.fixture
def _missing_real_part() -> None:
    pytest.fail("a real server that CI must have is missing; see .ci/run")
