"""The description of the API: complete, true to its own schemas, kept by the real answers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import jsonschema
import pytest
from served import House, furnish, served


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with served(tmp_path_factory.mktemp("openapi")) as house:
        furnish(house)
        yield house


@pytest.fixture(scope="module")
def description(house: House) -> dict[str, Any]:
    body: dict[str, Any] = httpx.get(house.url + "/openapi.json").json()
    return body


def _check(description: dict[str, Any], schema: dict[str, Any], value: Any) -> None:
    jsonschema.Draft202012Validator({**schema, "components": description["components"]}).validate(value)


def test_every_example_is_valid_by_its_own_schema(description: dict[str, Any]) -> None:
    examples = {
        name: schema["examples"]
        for name, schema in description["components"]["schemas"].items()
        if "examples" in schema
    }
    for name, values in examples.items():
        for value in values:
            _check(description, {"$ref": f"#/components/schemas/{name}"}, value)
    resources = {
        "AboutOut", "SensorOut", "ReadingOut", "NetworkOut", "DistrictOut", "StateOut", "SupplyRunOut",
        "DrainageRunOut",
        "RunOut", "IncidentOut", "ShelveIn", "NoticeOut", "CustomerOut", "CustomerCountsOut", "KpiOut", "AuditEntryOut",
        "ConsumptionOut", "DistrictDemandOut", "TrustDayOut", "TrustOut",
        "KeyOut", "KeyIn", "NewKeyOut", "DeadLetterOut", "PublicNoticesOut", "ReadyOut", "HealthOut", "ProblemOut",
    }  # fmt: skip
    assert resources <= set(examples)


def test_every_operation_has_a_known_tag_a_sentence_and_its_refusals(description: dict[str, Any]) -> None:
    tags = {tag["name"] for tag in description["tags"]}
    for path, methods in description["paths"].items():
        for operation in methods.values():
            assert set(operation["tags"]) <= tags, path
            assert operation["description"].strip(), path
            if path.startswith("/api/"):
                assert {"401", "403", "422"} <= set(operation["responses"]), path
                assert list(operation["responses"]["401"]["content"]) == ["application/problem+json"], path


def test_names_of_operations_are_unique(description: dict[str, Any]) -> None:
    names = [operation["operationId"] for methods in description["paths"].values() for operation in methods.values()]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/about", "/api/v1/sensors", "/api/v1/sensors/{sensor_id}", "/api/v1/sensors/{sensor_id}/readings",
        "/api/v1/network", "/api/v1/districts", "/api/v1/state", "/api/v1/forecasts/supply",
        "/api/v1/forecasts/drainage",
        "/api/v1/forecasts/supply/runs", "/api/v1/incidents", "/api/v1/incidents/{incident_id}", "/api/v1/notices",
        "/api/v1/notices/{notice_id}", "/api/v1/customers", "/api/v1/trust", "/api/v1/kpis",
        "/api/v1/audit", "/api/v1/keys",
        "/api/v1/dead-letters", "/healthz", "/readyz", "/public/notices.json",
    ],
)  # fmt: skip
def test_the_real_answer_is_what_is_described(house: House, description: dict[str, Any], path: str) -> None:
    with house.client("admin") as client:
        answer = client.get(path.format(sensor_id="P1", incident_id="i-1", notice_id="n-1"))
    schema = description["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    _check(description, schema, answer.json())
    _check(description, {"$ref": "#/components/schemas/ProblemOut"}, httpx.get(house.url + "/none").json())


def test_the_reference_page_lists_every_operation(house: House, description: dict[str, Any]) -> None:
    page = httpx.get(house.url + "/docs").text
    for path, methods in description["paths"].items():
        for method in methods:
            assert f"{method.upper()} {path}" in page
