"""Tests that need a real part are skipped where it is absent, and listed at the end. Under CI none may be skipped."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator

import hypothesis
import pytest
from servers import chromium, influxdb, mosquitto, postgres

hypothesis.settings.register_profile("h2twin", deadline=None)  # a busy machine is no defect
hypothesis.settings.load_profile("h2twin")

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
        if absent:
            item.add_marker(pytest.mark.skip(reason=f"{', '.join(absent)} is not installed here"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Let what is skipped fail under CI, for whatever reason it was skipped."""
    report = yield
    if report.skipped and os.environ.get("CI") == "true":
        report.outcome = "failed"
        report.longrepr = f"a real part that CI must have is missing, see .ci/run: {report.longrepr}"
    return report
