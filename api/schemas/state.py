"""What is known right now."""

from __future__ import annotations

from datetime import datetime

from api.schemas.base import Out, example
from api.schemas.readings import ReadingOut
from twin.forecasts import StateRung
from twin.mismatch import Verdict
from twin.units import Quantity


class SensorStateOut(Out):
    """A sensor's newest trusted value; null where there is none yet.

    `stale_since` says since when the value is void because its sender said that it is gone.
    """

    sensor_id: str
    quantity: Quantity
    district: str
    reading: ReadingOut | None
    age_s: float | None
    stale_since: datetime | None = None


class StateRestOut(Out):
    """What one quantity of the state rests on.

    `rung` is the best that was at hand. A tank's level: measured, held (the last one, up to 2 h), model. The status of
    a pump or valve: measured, control, model. A district's demand: history, scaled, network, model.
    """

    quantity: str
    element_id: str
    rung: StateRung


class CandidateOut(Out):
    """One explanation of residuals: `what` is closed, open, fully open, leak or less (water drawn)."""

    what: str
    element_id: str
    explains: float
    leak_m3s: float


class MismatchOut(Out):
    """What the residuals of the last hours say is different between the network and its model, in `words`.

    Only a `verdict` of status (a link is open or closed unlike in the model), leak or less names something; `same_as`
    are links that residuals do not tell from it.
    """

    verdict: Verdict
    words: str
    named: CandidateOut | None
    same_as: list[str]
    candidates: list[CandidateOut]


class ModelStateOut(Out):
    """The state that the newest supply forecast started from, and what it was taken from.

    `mismatch` is null while no residual lies off.
    """

    run_id: str
    state_at: datetime | None
    age_s: float | None
    basis: list[str]
    rests: list[StateRestOut]
    mismatch: MismatchOut | None
    stale: bool


class StateOut(Out):
    """Sensors and the supply model's state as known at `at`."""

    model_config = example(
        {
            "at": "2026-01-01T00:05:00Z",
            "items": [
                {
                    "sensor_id": "P1",
                    "quantity": "pressure",
                    "district": "D1",
                    "reading": {
                        "observed_at": "2026-01-01T00:00:00Z",
                        "available_at": "2026-01-01T00:00:02Z",
                        "value": 32.6309,
                        "unit": "m",
                        "quality": "good",
                        "reasons": [],
                        "raw_value": 3.2,
                        "raw_unit": "bar",
                    },
                    "age_s": 300.0,
                    "stale_since": None,
                }
            ],
            "next_cursor": None,
            "supply": {
                "run_id": "supply-20260101T000000Z",
                "state_at": "2026-01-01T00:00:00Z",
                "age_s": 300.0,
                "basis": ["tank T1 level 3.20 m from sensor L1"],
                "rests": [{"quantity": "level", "element_id": "T1", "rung": "measured"}],
                "mismatch": None,
                "stale": False,
            },
        }
    )

    at: datetime
    items: list[SensorStateOut]
    next_cursor: str | None = None
    supply: ModelStateOut | None
