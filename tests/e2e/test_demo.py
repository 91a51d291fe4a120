"""The demo once, as a user runs it: what it shows is compared with what the input files hold, counted here by hand."""

import csv
import gzip
import json
import re
import signal
import sqlite3
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from servers.process import wait_until

HOURS = 40
START = datetime(2016, 9, 7, tzinfo=UTC)
END = START + timedelta(hours=HOURS)
TOWN = Path(__file__).parents[2] / "models" / "networks" / "ctown"

pytestmark = pytest.mark.timeout(480)


@dataclass
class Shown:
    """A demo whose replay is over and whose pages are still served."""

    address: str
    key: str
    data_dir: Path
    errors: Path
    process: subprocess.Popen[bytes]

    def get(self, path: str, key: str | None = None) -> Any:
        headers = {"Authorization": f"Bearer {self.key if key is None else key}"}
        request = urllib.request.Request(self.address.rstrip("/") + path, headers=headers)
        with urllib.request.urlopen(request, timeout=60) as response:
            return json.load(response) if "json" in response.headers["Content-Type"] else response.read().decode()

    def all(self, path: str) -> list[Any]:
        items, cursor = [], ""
        while True:
            joiner = "&" if "?" in path else "?"
            page = self.get(f"{path}{joiner}limit=200{cursor}")
            items += page["items"]
            if page["next_cursor"] is None:
                return items
            cursor = f"&cursor={page['next_cursor']}"


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shown]:
    folder = tmp_path_factory.mktemp("demo")
    errors = folder / "stderr.txt"
    command = [sys.executable, "-m", "api", "demo", "--speed", "max", "--hours", str(HOURS), "--members", "8"]
    command += ["--port", "0", "--data-dir", str(folder / "data")]
    with errors.open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
    try:

        def over() -> bool:
            assert process.poll() is None, errors.read_text()
            return "The replay is over" in errors.read_text()

        wait_until(over, within_s=420, what="the end of the replay")
        text = errors.read_text()
        address = re.search(r"Address: (\S+)", text)
        key = re.search(r"API key: (\S+)", text)
        assert address is not None
        assert key is not None
        yield Shown(address.group(1), key.group(1), folder / "data", errors, process)
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0, errors.read_text()


@pytest.fixture(scope="module")
def published() -> dict[str, dict[datetime, float]]:
    """What the input files hold in the period, by sensor and moment, read without any code of the demo."""
    values: dict[str, dict[datetime, float]] = {}
    with gzip.open(TOWN / "scada.csv.gz", "rt", newline="") as file:
        for record in csv.DictReader(file):
            at = datetime.strptime(record["DATETIME"], "%d/%m/%y %H").replace(tzinfo=UTC)
            if START <= at < END:
                for name in record.keys() - {"DATETIME", "ATT_FLAG"}:
                    values.setdefault(name, {})[at] = float(record[name])
    with gzip.open(TOWN / "weather.csv.gz", "rt", newline="") as file:
        for record in csv.DictReader(file):
            at = datetime.fromisoformat(record["observed_at"])
            if START <= at < END:
                values.setdefault("RAIN_1", {})[at] = float(record["rain_mm"])
                values.setdefault("TEMP_1", {})[at] = float(record["temperature_c"])
    return values


def test_the_store_holds_every_published_reading_once(
    shown: Shown, published: dict[str, dict[datetime, float]]
) -> None:
    expected = sum(len(series) for series in published.values())
    assert expected == HOURS * (43 + 2)
    metrics = shown.get("/metrics")
    letters = shown.all("/api/v1/dead-letters")
    assert letters == []
    total = re.search(r"^h2twin_readings[a-z_]* (\d+)", metrics, re.MULTILINE)
    assert total is not None
    assert float(total.group(1)) == expected


@pytest.mark.parametrize(
    ("sensor_id", "factor"),
    [
        pytest.param("L_T1", 1.0, id="a tank level in m"),
        pytest.param("F_PU1", 1e-3, id="a pump flow from L/s to m3/s"),
        pytest.param("P_J14", 1.0, id="a pressure in m"),
        pytest.param("RAIN_1", 1.0, id="rain in mm"),
    ],
)
def test_the_api_gives_back_what_the_files_hold(
    shown: Shown, published: dict[str, dict[datetime, float]], sensor_id: str, factor: float
) -> None:
    readings = shown.all(f"/api/v1/sensors/{sensor_id}/readings")
    given = {datetime.fromisoformat(r["observed_at"]): r["value"] for r in readings}
    assert given == pytest.approx({at: value * factor for at, value in published[sensor_id].items()})


def test_ordinary_readings_are_trusted_and_reach_the_models(shown: Shown) -> None:
    state = shown.get("/api/v1/state")
    by_sensor = {item["sensor_id"]: item["reading"] for item in state["items"]}
    newest = (END - timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert {
        sensor for sensor, reading in by_sensor.items() if reading is None or reading["observed_at"] != newest
    } == set()


def test_one_forecast_of_each_kind_an_hour(shown: Shown) -> None:
    for kind in ("supply", "drainage"):
        issued = [datetime.fromisoformat(run["issued_at"]) for run in shown.all(f"/api/v1/forecasts/{kind}/runs")]
        assert sorted(issued) == [START + timedelta(hours=i) for i in range(HOURS)]


def test_the_injected_pump_trip_is_an_outage_with_exactly_its_customers(shown: Shown) -> None:
    outages = [i for i in shown.all("/api/v1/incidents") if i["kind"].startswith("outage_")]
    assert outages, "no outage was found"
    assert any("T3" in outage["cause"] or "PU4" in outage["cause"] or "PU5" in outage["cause"] for outage in outages)
    with (TOWN / "customers.csv").open(newline="") as file:
        connections = [(row["node_id"], row["connection_id"]) for row in csv.DictReader(file)]
    for outage in outages:
        nodes = set(outage["node_ids"])
        expected = sorted(connection for node, connection in connections if node in nodes)
        assert sorted(outage["connection_ids"]) == expected


def test_the_storm_was_predicted_before_it_fell(shown: Shown) -> None:
    floods = [i for i in shown.all("/api/v1/incidents") if i["kind"] == "flood_predicted"]
    assert floods
    first = min(datetime.fromisoformat(flood["opened_at"]) for flood in floods)
    assert first < START + timedelta(hours=33), "the storm's first heavy hour ends at hour 34"


def test_the_public_notices_are_those_of_the_store_and_all_are_exercises(shown: Shown) -> None:
    feed = shown.get("/public/notices.json", key="")
    with closing(sqlite3.connect(f"file:{shown.data_dir / 'registry.db'}?mode=ro", uri=True)) as database:
        states = [row[0] for row in database.execute("SELECT state FROM notices")]
    public = [state for state in states if state in ("published", "updated", "replaced", "all_clear")]
    assert len(feed["items"]) == len(public) > 0
    for item in feed["items"]:
        identifier = item.get("id") or item["notice_id"]
        cap = shown.get(f"/public/notices/{identifier}.cap", key="")
        assert "<status>Exercise</status>" in cap
    assert "EXERC" in shown.get("/", key="").upper()


def test_nothing_is_answered_without_a_key(shown: Shown) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        shown.get("/api/v1/incidents", key="")
    assert refused.value.code == 401
    refused.value.close()


def test_the_injected_event_was_printed_as_such(shown: Shown) -> None:
    assert "Injected event: all pumps of station S2 trip" in shown.errors.read_text()
