"""What is running here."""

from __future__ import annotations

from datetime import datetime

from api.schemas.base import Out, example


class ModelOut(Out):
    """A model file in use."""

    kind: str
    name: str
    sha256: str
    imported_at: datetime


class AboutOut(Out):
    """The program, its models and engines, and whom it owes its inputs to."""

    model_config = example(
        {
            "version": "0.1.0",
            "exercise": False,
            "timezone": "Europe/Lisbon",
            "models": [
                {
                    "kind": "supply",
                    "name": "city.inp",
                    "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
                    "imported_at": "2026-01-01T00:00:00Z",
                }
            ],
            "engines": {"supply": "EPANET 2.3.5"},
            "attributions": ["Weather data by Open-Meteo.com (CC BY 4.0)"],
        }
    )

    version: str
    exercise: bool
    timezone: str
    models: list[ModelOut]
    engines: dict[str, str]
    attributions: list[str]
