"""The OpenAPI description, with two things FastAPI cannot say by itself.

Refusals are `application/problem+json`, and examples keep their nulls (FastAPI drops null values from its description,
which leaves examples that are not valid by their own schemas).
"""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel

from api.problems import MEDIA_TYPE
from api.schemas.base import In, Out


def install(app: FastAPI) -> None:
    """Make `app` describe itself so; the description is made once, at the first question."""
    describe = app.openapi

    def openapi() -> dict[str, Any]:
        is_new = app.openapi_schema is None
        description = describe()
        if is_new:
            _mend(description)
        return description

    app.openapi = openapi  # type: ignore[method-assign]


def _mend(description: dict[str, Any]) -> None:
    for methods in description["paths"].values():
        for operation in methods.values():
            _retype(operation["responses"])
    schemas = description["components"]["schemas"]
    for model in (*_subclasses(Out), *_subclasses(In)):
        extra = model.model_config.get("json_schema_extra")
        if isinstance(extra, dict) and model.__name__ in schemas:
            schemas[model.__name__]["examples"] = extra["examples"]


def _retype(responses: dict[str, dict[str, Any]]) -> None:
    for status, response in responses.items():
        content = response.get("content", {})
        reference = content.get("application/json", {}).get("schema", {}).get("$ref", "")
        if status.startswith("4") and reference.endswith("/ProblemOut"):
            content[MEDIA_TYPE] = content.pop("application/json")


def _subclasses(base: type[BaseModel]) -> list[type[BaseModel]]:
    direct = base.__subclasses__()
    return [model for child in direct for model in (child, *_subclasses(child))]
