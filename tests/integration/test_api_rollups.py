"""`GET /sensors/{id}/rollups`: what the readings say, page by page."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from served import T0, House, served

from twin.clock import format_time
from twin.readings import Quality, Reading, Sensor
from twin.units import Quantity

HOUR = timedelta(hours=1)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with served(tmp_path) as house:
        house.services.registry.upsert_sensors([Sensor("P 1", Quantity.PRESSURE)])
        yield house


@pytest.fixture
def viewer(house: House) -> Iterator[httpx.Client]:
    with house.client("viewer") as client:
        yield client


def fill(house: House) -> None:
    """One reading every 20 minutes in the ten hours before now: 0, 1, 2, 3, ...; every fifth is bad."""
    house.services.readings.append(
        [
            Reading("P 1", at, at, float(n), "m", float(n), "m", Quality.BAD if n % 5 == 4 else Quality.GOOD)
            for n in range(30)
            for at in [T0 - 10 * HOUR + n * timedelta(minutes=20)]
        ]
    )


def ask(viewer: httpx.Client, **parameters: str) -> Any:
    answer = viewer.get("/api/v1/sensors/P 1/rollups", params=parameters)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_hours_in_pages(house: House, viewer: httpx.Client) -> None:
    fill(house)
    found: list[dict[str, Any]] = []
    parameters = {"every": "1h", "from": format_time(T0 - 10 * HOUR), "limit": "4"}
    while True:
        page = ask(viewer, **parameters)
        found += page["items"]
        if page["next_cursor"] is None:
            break
        parameters["cursor"] = page["next_cursor"]
    assert [window["start"] for window in found] == [format_time(T0 + n * HOUR) for n in range(-10, 0)]
    assert found[0] == {
        "start": "2026-03-01T02:00:00Z", "readings": 3, "trusted": 3, "trusted_share": 1.0,
        "mean": 1.0, "low": 0.0, "high": 2.0, "first": 0.0, "last": 2.0,
    }  # fmt: skip
    assert (found[1]["readings"], found[1]["trusted"], found[1]["mean"]) == (3, 2, 4.0)


def test_without_bounds_the_last_windows_are_told(house: House, viewer: httpx.Client) -> None:
    fill(house)
    assert [item["last"] for item in ask(viewer, every="1h", limit="2")["items"]] == [26.0, 28.0]
    assert [item["readings"] for item in ask(viewer, every="1d")["items"]] == [30]
    assert len(ask(viewer, every="15m", limit="5")["items"]) == 3


@pytest.mark.parametrize(
    ("sensor", "parameters", "status"),
    [
        pytest.param("P 1", {"every": "15m", "from": "2020-01-01T00:00:00Z"}, 422, id="years of quarters of an hour"),
        pytest.param("P 1", {"every": "2h"}, 422, id="another length"),
        pytest.param("P 1", {}, 422, id="no length"),
        pytest.param("P 2", {"every": "1h"}, 404, id="an unknown sensor"),
        pytest.param("P 1", {"every": "1h", "cursor": "x"}, 422, id="a broken cursor"),
    ],
)
def test_what_cannot_be_answered_is_refused(
    viewer: httpx.Client, sensor: str, parameters: dict[str, str], status: int
) -> None:
    assert viewer.get(f"/api/v1/sensors/{sensor}/rollups", params=parameters).status_code == status
