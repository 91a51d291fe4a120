"""A refusal, as RFC 9457 has it."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class FaultOut(BaseModel):
    """One field of a request that cannot be accepted."""

    where: str
    message: str


class ProblemOut(BaseModel):
    """Why a request was refused, and what to do."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "type": "urn:h2twin:problem:not_found",
                    "title": "Not Found",
                    "status": 404,
                    "detail": "there is no sensor 'P9'",
                    "instance": "/api/v1/sensors/P9",
                }
            ]
        }
    )

    type: str
    title: str
    status: int
    detail: str
    instance: str
    errors: list[FaultOut] | None = None
    error_id: str | None = None
