"""The compose file against the compose schema, and against the settings that h2twin knows."""

import json
import os
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from api.settings import PREFIX, Settings

DOCKER = Path(__file__).parents[2] / "docker"


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((DOCKER / "compose.yaml").read_text())
    return loaded


@pytest.fixture(scope="module")
def scaled() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((DOCKER / "compose.scale.yaml").read_text())
    return loaded


def test_they_fit_the_compose_schema(compose: dict[str, Any], scaled: dict[str, Any]) -> None:
    schema = os.environ.get("H2TWIN_COMPOSE_SCHEMA")
    if schema is None:
        pytest.skip("the compose schema is not here (H2TWIN_COMPOSE_SCHEMA)")
    for one in (compose, scaled):
        jsonschema.validate(one, json.loads(Path(schema).read_text()))


def test_every_setting_in_it_exists(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        for variable in service.get("environment", {}):
            if variable.startswith(PREFIX):
                assert variable[len(PREFIX) :].lower() in Settings.model_fields, f"{name}: {variable}"


def test_every_variable_is_in_the_example_and_no_secret_has_a_default(compose: dict[str, Any]) -> None:
    text = (DOCKER / "compose.yaml").read_text()
    used = set(re.findall(r"\$\{(\w+)", text))
    example = dict(
        line.split("=", 1)
        for line in (DOCKER / ".env.example").read_text().splitlines()
        if "=" in line and line[0] != "#"
    )
    assert used == set(example)
    for name in used:
        if name.endswith(("PASSWORD", "TOKEN")):
            assert example[name] == ""
            assert f"${{{name}:-" not in text, f"{name} has a default"


def test_only_the_broker_and_the_api_are_reachable_and_only_from_this_machine_by_default(
    compose: dict[str, Any],
) -> None:
    published = {name: service["ports"] for name, service in compose["services"].items() if "ports" in service}
    assert set(published) == {"mosquitto", "api"}
    assert all(":-127.0.0.1}" in port for ports in published.values() for port in ports)


SET_BY_THE_SHAPE = {
    *("mqtt_client_id", "ingest_share", "mqtt_port"),
    *("seal_after_days", "keep_readings_days"),
    *("keep_rollups_15m_days", "keep_rollups_1h_days", "keep_rollups_1d_days"),
}
"""One ingester, no embedded broker and no embedded store: nothing to choose."""


def test_every_other_setting_of_an_installation_can_be_given(compose: dict[str, Any]) -> None:
    for role in ("ingest", "cycle", "api"):
        given = compose["services"][role]["environment"]
        missing = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields if name not in SET_BY_THE_SHAPE} - set(
            given
        )
        assert missing == set(), role


def test_the_roles_say_whether_they_are_alive(compose: dict[str, Any]) -> None:
    for role in ("ingest", "cycle"):
        check = compose["services"][role]["healthcheck"]["test"]
        assert check == ["CMD", "h2twin", "alive", "--role", role]


def test_ingesters_that_share_have_fixed_ids_and_folders_of_their_own(
    compose: dict[str, Any], scaled: dict[str, Any]
) -> None:
    members = scaled["services"]
    assert len(members) > 1
    assert all(f"{PREFIX}{name}" in one["environment"] for one in members.values() for name in NEEDED_TO_SHARE)
    assert {one["environment"]["TWIN_INGEST_SHARE"] for one in members.values()} == {"h2twin"}
    assert len({one["environment"]["TWIN_MQTT_CLIENT_ID"] for one in members.values()}) == len(members)
    folders = {
        name: next(
            volume for volume in one.get("volumes", compose["services"]["ingest"]["volumes"]) if "/data" in volume
        )
        for name, one in members.items()
    }
    assert len(set(folders.values())) == len(members)
    assert {folder.partition(":")[0] for folder in folders.values()} <= compose["volumes"].keys() | scaled[
        "volumes"
    ].keys()


NEEDED_TO_SHARE = ("INGEST_SHARE", "MQTT_CLIENT_ID")
