"""The standard shape: three roles as processes on real Mosquitto, InfluxDB and PostgreSQL.

Commands and settings come from docker/compose.yaml, the broker's rules from docker/mosquitto/start.sh: what is tested
here is what is shipped. Only host names and ports are replaced by those of the servers started here.
"""

import json
import os
import re
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from servers.influxdb import influxdb
from servers.postgres import postgres
from servers.process import answers, free_port, running, wait_until

from ingest.publisher import Publisher

DOCKER = Path(__file__).parents[2] / "docker"
SECRETS = {
    "MQTT_PASSWORD": "test-mqtt-2f8a61",
    "INFLUX_PASSWORD": "test-influx-77c1b0",
    "INFLUX_TOKEN": "unused-here",
    "POSTGRES_PASSWORD": "test-postgres-19d3e4",
    "MQTT_GATEWAYS": "gw1:test-gateway-5b02aa",
}

pytestmark = [
    pytest.mark.needs_mosquitto,
    pytest.mark.needs_influxdb,
    pytest.mark.needs_postgres,
    pytest.mark.timeout(180),
]


@dataclass
class Installation:
    environment: dict[str, str]
    mqtt_port: int
    api_port: int
    folder: Path

    def h2twin(self, *arguments: str) -> Any:
        command = [sys.executable, "-m", "api", *arguments, "--json"]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def is_alive(self, role: str) -> bool:
        command = [sys.executable, "-m", "api", "alive", "--role", role]
        return subprocess.run(command, env=self.environment, capture_output=True, timeout=60).returncode == 0

    def get(self, path: str, key: str = "") -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        request = urllib.request.Request(f"http://127.0.0.1:{self.api_port}{path}", headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=20) as response:
                return response.status, json.load(response)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)


def _resolved(text: str) -> str:
    """Fill in ${NAME}, ${NAME:?…} and ${NAME:-default} as compose does."""

    def value(match: re.Match[str]) -> str:
        name, _, default = match.group(1).partition(":-")
        return SECRETS.get(name.partition(":?")[0], default)

    return re.sub(r"\$\{([^}]+)\}", value, text)


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    compose = yaml.safe_load((DOCKER / "compose.yaml").read_text())
    folder = tmp_path_factory.mktemp("standard")
    mqtt_port, api_port = free_port(), free_port()
    with ExitStack() as stack:
        for name in ("influx", "postgres", "mosquitto"):
            (folder / name).mkdir()
        influx = stack.enter_context(influxdb(folder / "influx"))
        database = stack.enter_context(postgres(folder / "postgres"))
        _start_broker(stack, folder, mqtt_port)
        replaced = {
            "TWIN_INFLUX_URL": influx.url,
            "TWIN_INFLUX_TOKEN": influx.token,
            "TWIN_INFLUX_ORG": influx.org,
            "TWIN_INFLUX_BUCKET": influx.bucket,
            "TWIN_DATABASE_URL": database,
        }
        plain = {name: value for name, value in os.environ.items() if not name.startswith("TWIN_")}
        for role in ("ingest", "cycle", "api"):
            service = compose["services"][role]
            settings = {name: _resolved(str(value)) for name, value in service["environment"].items()}
            assert set(replaced) <= set(settings)
            settings |= replaced
            settings["TWIN_MQTT_URL"] = settings["TWIN_MQTT_URL"].replace("@mosquitto:1883", f"@127.0.0.1:{mqtt_port}")
            settings["TWIN_DATA_DIR"] = str(folder / role)
            settings["TWIN_CYCLE_S"] = "2"
            command = [sys.executable, "-m", "api", *service["command"]]
            command = [
                str(api_port) if part == "8000" else "127.0.0.1" if part == "0.0.0.0" else part for part in command
            ]
            ready = (lambda: answers(api_port)) if role == "api" else (lambda: True)
            log = folder / f"{role}.log"
            stack.enter_context(running(command, log=log, ready=ready, env={**plain, **settings}))
        yield Installation({**plain, **settings}, mqtt_port, api_port, folder)


def _start_broker(stack: ExitStack, folder: Path, port: int) -> None:
    script = ["/bin/sh", str(DOCKER / "mosquitto" / "start.sh"), str(folder / "mosquitto"), str(port), "127.0.0.1"]
    environment = {**os.environ, **{name: SECRETS[name] for name in ("MQTT_PASSWORD", "MQTT_GATEWAYS")}}
    environment["PATH"] += ":/usr/sbin"
    # The broker drops to its own user; the folders above must let it pass.
    for parent in (folder / "mosquitto", folder, *folder.parents):
        if parent.stat().st_uid == os.geteuid() and parent != Path("/"):
            parent.chmod(parent.stat().st_mode | 0o011)
    log = folder / "mosquitto.log"
    stack.enter_context(running(script, log=log, ready=lambda: answers(port), env=environment))


def test_a_reading_goes_from_the_gateway_to_the_api_through_all_three_roles(installation: Installation) -> None:
    sensors = installation.folder / "sensors.csv"
    sensors.write_text(
        "sensor_id,quantity,kind,unit,element_type,element_id,district,expected_every_s,low,high\n"
        "P1,pressure,instant,bar,node,J1,D1,60,0,10\n"
    )
    installation.h2twin("import", "sensors", str(sensors))
    key = installation.h2twin("keys", "create", "--role", "viewer", "--name", "test")["key"]
    now = datetime.now(UTC).replace(microsecond=0)
    moments = [(now - timedelta(seconds=60 * i)).isoformat() for i in range(5)]
    with Publisher(
        f"mqtt://gw1:{SECRETS['MQTT_GATEWAYS'].split(':')[1]}@127.0.0.1:{installation.mqtt_port}"
    ) as gateway:
        for i, moment in enumerate(moments):
            payload = json.dumps({"observed_at": moment, "value": 3.0 + i, "unit": "bar"}).encode()
            gateway.publish("h2/gw1/P1", payload)

    def stored() -> list[dict[str, Any]]:
        status, body = installation.get("/api/v1/sensors/P1/readings", key)
        assert status == 200, body
        items: list[dict[str, Any]] = body["items"]
        return items

    wait_until(lambda: len(stored()) == 5, within_s=60, what="five readings in the API")
    newest = max(stored(), key=lambda reading: reading["observed_at"])
    assert (newest["raw_value"], newest["raw_unit"], newest["unit"]) == (3.0, "bar", "m")
    assert newest["value"] == pytest.approx(3e5 / 9806.65)  # 3 bar as metres of water


def test_a_forged_topic_is_refused_by_the_broker(installation: Installation) -> None:
    key = installation.h2twin("keys", "create", "--role", "operator", "--name", "forger-test")["key"]
    url = f"mqtt://gw1:{SECRETS['MQTT_GATEWAYS'].split(':')[1]}@127.0.0.1:{installation.mqtt_port}"
    with Publisher(url) as gateway:
        gateway.publish("h2/another/P1", b'{"observed_at": "2026-01-01T00:00:00Z", "value": 1}')
        gateway.publish("h2/gw1/nobody", b'{"observed_at": "2026-01-01T00:00:00Z", "value": 2}')

    def letters() -> list[str]:
        return [item["topic"] for item in installation.h2twin("dead", "list")["items"]]

    # The second message was published after the first on one connection: once it is here, the first never comes.
    wait_until(lambda: "h2/gw1/nobody" in letters(), within_s=60, what="the honest message")
    assert "h2/another/P1" not in letters()
    assert installation.get("/api/v1/about", key)[0] == 200


def test_the_roles_know_of_each_other(installation: Installation) -> None:
    def checks() -> dict[str, Any]:
        return dict(_checks(installation.get("/readyz")[1]))

    wait_until(lambda: checks().get("broker", {}).get("ok") is True, within_s=60, what="the broker's good news")
    assert checks()["readings"]["ok"] is True
    assert checks()["registry"]["ok"] is True


def test_the_health_checks_of_the_containers_see_the_roles(installation: Installation) -> None:
    for role in ("ingest", "cycle"):
        wait_until(lambda role=role: installation.is_alive(role), within_s=60, what=f"{role}'s sign of life")
        assert installation.h2twin("alive", "--role", role)["role"] == role


def _checks(body: Any) -> list[tuple[str, Any]]:
    checks = body["checks"]
    return list(checks.items()) if isinstance(checks, dict) else [(check["name"], check) for check in checks]


def test_no_key_no_answer(installation: Installation) -> None:
    assert installation.get("/api/v1/sensors")[0] == 401
