"""What a guard refused, and the broker hands over again after a crash, stays refused: never stored and dead at once."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from fakes import MemoryLetters, MemoryNotebook, MemoryReadings, MemorySensors, away
from msgspec.structs import replace

from ingest.decoders.base import Decoded, Refusal
from ingest.message import Message
from ingest.pipeline import Pipeline, Refused
from twin.errors import UnavailableError
from twin.events import EventKind, event
from twin.readings import Sensor
from twin.units import Quantity

NOW = datetime(2026, 1, 1, 0, 0, 5, tzinfo=UTC)
MESSAGE = Message(
    "h2/g1/P-1", json.dumps({"observed_at": "2026-01-01T00:00:00Z", "value": 3.2, "unit": "m"}).encode(), NOW
)


class Forgetful:
    """A guard that refuses until it is started anew."""

    def __init__(self) -> None:
        self.refuses = True

    def refuse_message(self, message: Message, decoded: Decoded) -> Refused | None:
        told = event(EventKind.RATE_LIMITED, decoded.gateway, message.received_at)
        return Refused(Refusal.RATE_LIMITED, "too fast", told) if self.refuses else None

    def refuse_reading(self, message: Message, gateway: str, sensor: Sensor) -> Refused | None:
        return None


class Plant:
    def __init__(self) -> None:
        self.readings, self.letters, self.guard = MemoryReadings(), MemoryLetters(), Forgetful()
        self.pipeline = Pipeline(
            readings=self.readings,
            dead_letters=self.letters,
            sensors=MemorySensors(Sensor("P-1", Quantity.PRESSURE)),
            notebook=MemoryNotebook(),
            guard=self.guard,
        )


@pytest.fixture
def plant() -> Plant:
    """A plant whose guard refused the message, and was then started anew."""
    plant = Plant()
    assert plant.pipeline.process([MESSAGE]).dead == 1
    plant.guard.refuses = False
    return plant


def test_a_redelivery_of_what_was_refused_stays_dead(plant: Plant) -> None:
    outcome = plant.pipeline.process([replace(MESSAGE, is_redelivery=True)])
    assert (outcome.stored, outcome.dead, outcome.by_reason) == (0, 0, {"rate_limited": 1})
    assert plant.readings.kept == {}
    (letter,) = plant.letters.kept.values()
    assert (letter.reason, letter.detail, letter.times_seen) == ("rate_limited", "too fast", 2)


def test_what_is_published_again_on_purpose_is_taken(plant: Plant) -> None:
    assert plant.pipeline.process([MESSAGE]).stored == 1


def test_a_redelivery_of_what_was_never_seen_is_taken() -> None:
    plant = Plant()
    plant.guard.refuses = False
    assert plant.pipeline.process([replace(MESSAGE, is_redelivery=True)]).stored == 1


def test_nothing_has_happened_while_the_letters_cannot_be_asked(plant: Plant) -> None:
    again = [replace(MESSAGE, is_redelivery=True)]
    plant.letters.failure = away()
    with pytest.raises(UnavailableError):
        plant.pipeline.process(again)
    plant.letters.failure = None
    assert plant.readings.kept == {}
    assert plant.pipeline.process(again).by_reason == {"rate_limited": 1}
