"""A sensor whose sender said that it is gone, as the API and the operators' page show it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from served import T0, House, a_reading, furnish, served


def stale_since(house: House, sensor_id: str) -> list[object]:
    with house.client("viewer") as client:
        listed = {one["sensor_id"]: one["stale_since"] for one in client.get("/api/v1/sensors").json()["items"]}
        alone = client.get(f"/api/v1/sensors/{sensor_id}").json()["stale_since"]
        state = {one["sensor_id"]: one["stale_since"] for one in client.get("/api/v1/state").json()["items"]}
    assert {listed[sensor_id], alone} == {alone}
    return [alone, state[sensor_id], listed["P2"]]


def test_a_stale_sensor_says_since_when_until_it_speaks_again(tmp_path: Path) -> None:
    with served(tmp_path) as house:
        furnish(house)
        assert stale_since(house, "P1") == [None, None, None]
        house.services.registry.mark_stale({"P1": T0 - timedelta(seconds=30)})
        assert stale_since(house, "P1") == ["2026-03-01T11:59:30Z", "2026-03-01T11:59:30Z", None]
        with house.client() as client:
            client.post("/ops/login", data={"key": house.keys["viewer"]})
            page = client.get("/ops").text
        assert "stale: its sender said that it is gone" in page
        house.services.readings.append([a_reading("P1", T0 - timedelta(seconds=10))])
        assert stale_since(house, "P1") == [None, None, None]
