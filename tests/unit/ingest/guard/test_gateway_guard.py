"""The guard through the pipeline: what is refused, what is only told, and what must never be held against anybody."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from fakes import MemoryLetters, MemoryNotebook, MemoryReadings, MemorySensors, away

from ingest.decoders.base import Decoded, RawReading
from ingest.guard.gateways import GatewayGuard
from ingest.guard.rate import BURST_S
from ingest.guard.recent import Recent
from ingest.guard.replays import MANY
from ingest.mappings import native_sources, parse_mappings
from ingest.message import Message
from ingest.pipeline import Pipeline
from twin.clock import format_time
from twin.errors import UnavailableError
from twin.events import EventKind
from twin.gaps import Gap
from twin.readings import Sensor
from twin.units import Quantity

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
RATE = 20.0
BURST = int(RATE * BURST_S)


def later(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


class Plant:
    """A pipeline with a guard over stores in memory."""

    def __init__(self, *, rate_per_s: float = RATE, mappings: str = "") -> None:
        self.readings, self.letters, self.notebook = MemoryReadings(), MemoryLetters(), MemoryNotebook()
        self.sensors = MemorySensors(
            Sensor("P-1", Quantity.PRESSURE), Sensor("P-2", Quantity.PRESSURE, gateway_id="g2")
        )
        self.guard = GatewayGuard(self.notebook, rate_per_s=rate_per_s)
        self.pipeline = Pipeline(
            readings=self.readings,
            dead_letters=self.letters,
            sensors=self.sensors,
            notebook=self.notebook,
            mappings=native_sources() + parse_mappings(mappings),
            guard=self.guard,
            observers=(self.guard,),
        )

    def send(self, *messages: Message) -> None:
        for start in range(0, len(messages), 100):
            self.pipeline.process(messages[start : start + 100])

    @property
    def buried(self) -> Counter[str]:
        return Counter(letter.reason for letter in self.letters.kept.values())

    @property
    def told(self) -> dict[tuple[EventKind, str], int]:
        return Counter((event.kind, event.subject) for event in self.notebook.noted_events)


def a_message(
    observed_at: datetime,
    received_at: datetime,
    *,
    gateway: str = "g1",
    sensor: str = "P-1",
    value: float = 3.0,
    is_redelivery: bool = False,
) -> Message:
    payload = json.dumps({"observed_at": format_time(observed_at), "value": value}).encode()
    return Message(f"h2/{gateway}/{sensor}", payload, received_at, is_redelivery)


def flood(seconds: float, per_s: float, **more: object) -> list[Message]:
    """Live messages, each as true as it is received."""
    moments = [later(number / per_s) for number in range(int(seconds * per_s))]
    return [a_message(moment, moment, **more) for moment in moments]  # type: ignore[arg-type]


# ------------------------------------------------------------------------------------------------------- rate


def test_a_gateway_at_its_rate_is_let_through_for_as_long_as_it_likes() -> None:
    plant = Plant()
    plant.send(*flood(60, RATE))
    assert len(plant.readings.kept) == 60 * RATE
    assert plant.told == {}


def test_beyond_its_rate_a_gateway_has_its_burst_and_then_its_rate_and_the_rest_is_dead() -> None:
    plant = Plant()
    sent = flood(30, 10 * RATE)
    plant.send(*sent)
    let_through = len(plant.readings.kept)
    assert let_through == pytest.approx(BURST + 30 * RATE, abs=2)
    assert plant.buried == {"rate_limited": len(sent) - let_through}
    assert set(plant.told) == {(EventKind.RATE_LIMITED, "g1")}


def test_a_clock_of_whole_seconds_gives_no_second_allowance() -> None:
    """Its tokens come once a second, those of the arrivals in between: together they must not be twice the rate."""
    guard = GatewayGuard(MemoryNotebook(), rate_per_s=RATE)
    passed = 0
    for message in flood(60, 10 * RATE):
        reading = RawReading("P-1", message.received_at.replace(microsecond=0), 1.0)
        passed += guard.refuse_message(message, Decoded("g1", [reading])) is None
    assert passed == pytest.approx(BURST + 60 * RATE, rel=0.05)


def test_a_flood_of_one_gateway_touches_no_other() -> None:
    plant = Plant()
    quiet = flood(30, 1, gateway="g2", sensor="P-2")
    plant.send(*sorted(flood(30, 10 * RATE) + quiet, key=lambda message: message.received_at))
    assert sum(key[0] == "P-2" for key in plant.readings.kept) == 30
    assert {subject for _, subject in plant.told} == {"g1"}


def test_what_piled_up_while_we_were_away_is_never_too_fast() -> None:
    """59 s at the full rate, all handed over within the same second."""
    plant = Plant()
    backlog = [a_message(later(number / RATE), later(60 + number / 10_000)) for number in range(int(59 * RATE))]
    old = [a_message(later(-3600 + number / 100), later(61)) for number in range(3000)]
    plant.send(*old, *backlog)
    assert plant.buried == {}
    assert len(plant.readings.kept) == len(old) + len(backlog)


def test_a_clock_that_stands_still_is_no_flood() -> None:
    plant = Plant()
    frozen = [a_message(NOON, later(number / (RATE / 2)), sensor="P-1") for number in range(500)]
    plant.send(*frozen[:10], *[message for message in frozen[10:] if message.received_at < later(50)])
    assert plant.buried == {}


def test_redeliveries_are_never_too_fast() -> None:
    plant = Plant()
    plant.send(*flood(30, 10 * RATE, is_redelivery=True))
    assert plant.buried == {}


@pytest.mark.parametrize("ledger_away", [False, True], ids=["a gap is open", "nobody can tell"])
def test_backfill_of_an_open_gap_is_never_too_fast(ledger_away: bool) -> None:
    plant = Plant()
    plant.notebook.save_gaps([Gap("P-1", "g1", later(-1), later(30), 9, 9, NOON)])
    if ledger_away:
        plant.notebook.save_gaps([Gap("P-1", "g1", later(-1), later(-0.5), 9, 9, NOON)])
        plant.notebook.open_gaps = _away  # type: ignore[method-assign]
    plant.send(*[a_message(later(number / 1000), later(31 + number / 100_000)) for number in range(3000)])
    assert plant.buried == {}
    assert len(plant.readings.kept) == 3000


def _away() -> list[Gap]:
    raise away()


def test_a_rate_of_zero_lets_everything_pass() -> None:
    plant = Plant(rate_per_s=0)
    plant.send(*flood(30, 10 * RATE))
    assert plant.buried == {}


def test_a_batch_is_one_message_however_many_readings_it_holds() -> None:
    plant = Plant()
    items = [{"sensor_id": "P-1", "observed_at": format_time(later(n / 1000)), "value": 1} for n in range(3000)]
    plant.send(Message("h2/g1", json.dumps({"readings": items}).encode(), later(3)))
    assert len(plant.readings.kept) == 3000


def test_messages_are_counted_once_although_the_registry_was_away() -> None:
    plant = Plant()
    messages = flood(BURST / (10 * RATE) * 0.9, 10 * RATE)
    plant.sensors.failure = away()
    for _ in range(5):
        with pytest.raises(UnavailableError):
            plant.pipeline.process(messages)
    plant.sensors.failure = None
    plant.pipeline.process(messages)
    assert plant.buried == {}
    assert len(plant.readings.kept) == len(messages)


# ---------------------------------------------------------------------------------------------------- identity


def test_a_gateway_may_not_send_for_a_sensor_of_another() -> None:
    plant = Plant()
    plant.send(a_message(NOON, NOON, gateway="g1", sensor="P-2"), a_message(NOON, NOON, gateway="g2", sensor="P-2"))
    assert list(plant.readings.kept) == [("P-2", NOON)]
    assert plant.buried == {"forged_identity": 1}
    assert plant.told == {(EventKind.FORGED_IDENTITY, "h2/g1/P-2"): 1}


def test_a_row_of_a_file_may_come_back_for_any_sensor() -> None:
    plant = Plant()
    plant.send(a_message(NOON, NOON, gateway="import", sensor="P-2"))
    assert plant.buried == {}


@pytest.mark.parametrize(
    ("topic", "payload"),
    [
        ("h2/g1/P-1", {"observed_at": "2026-03-01T12:00:00Z", "value": 1, "sensor_id": "P-2"}),
        ("h2/g1/P-1", {"observed_at": "2026-03-01T12:00:00Z", "value": 1, "gateway_id": "g2"}),
        ("h2/g1", {"gateway_id": "g2", "readings": []}),
        ("h2/g1", {"readings": [{"sensor_id": "P-1", "gateway_id": "g2", "observed_at": "x", "value": 1}]}),
        (
            "application/a/device/0101010101010101/event/up",
            {"deviceInfo": {"devEui": "0101010101010102"}, "time": "2026-03-01T12:00:00Z", "object": {"p": 1}},
        ),
        (
            "v3/app@t/devices/d1/up",
            {"end_device_ids": {"device_id": "d2"}, "uplink_message": {"decoded_payload": {"p": 1}}},
        ),
        (
            "v3/app@t/devices/d1/up",
            {"end_device_ids": {"device_id": "d1", "application_ids": {"application_id": "other"}}},
        ),
        ("wmbusmeters/123", {"id": "124", "total_m3": 1, "media": "water", "timestamp": "2026-03-01T12:00:00Z"}),
        ("senml/d1", [{"bn": "urn:d2:", "n": "p", "v": 1}]),
        ("v1.1/Datastreams(5)/Observations", {"result": 1, "Datastream": {"@iot.id": 6}}),
        ("plant/d1", {"who": "d2", "p": 1}),
    ],
)
def test_a_payload_that_names_another_than_its_topic_is_forged(topic: str, payload: object) -> None:
    plant = Plant(mappings=MAPPINGS)
    plant.send(Message(topic, json.dumps(payload).encode(), NOON))
    assert plant.readings.kept == {}
    assert plant.buried == {"forged_identity": 1}
    assert plant.told == {(EventKind.FORGED_IDENTITY, topic): 1}


MAPPINGS = """
[[source]]
topic = "application/+/device/{device}/event/{event}"
decoder = "chirpstack"
[source.sensors]
"0101010101010101/p" = "P-1"
"0101010101010102/p" = "P-1"
[[source]]
topic = "v3/+/devices/{device}/up"
decoder = "tts"
[source.sensors]
"d1/p" = "P-1"
"d2/p" = "P-1"
[[source]]
topic = "wmbusmeters/{id}"
decoder = "wmbusmeters"
[source.sensors]
"123/total_m3" = "P-1"
"124/total_m3" = "P-1"
[[source]]
topic = "senml/{device}"
decoder = "senml"
[source.options]
names_begin_with = "urn:{device}:"
[source.sensors]
"urn:d1:p" = "P-1"
"urn:d2:p" = "P-1"
[[source]]
topic = "v1.1/{datastream}/Observations"
decoder = "sensorthings"
[source.sensors]
"Datastreams(5)" = "P-1"
"Datastreams(6)" = "P-1"
[[source]]
topic = "plant/{device}"
decoder = "json_path"
[source.options]
id = "{device}"
claimed_id = "who"
fields = { "p" = "m" }
[source.sensors]
"d1/p" = "P-1"
"d2/p" = "P-1"
"""


# ---------------------------------------------------------------------------------------------------- replays


def a_day(received_at: datetime, **more: object) -> list[Message]:
    """A day of readings, one every five minutes, received in one go."""
    return [
        a_message(later(300 * number), received_at, value=float(number), **more)  # type: ignore[arg-type]
        for number in range(288)
    ]


def test_a_day_that_is_played_again_is_told_once_and_absorbed() -> None:
    plant = Plant()
    end = later(86_400)
    plant.send(*a_day(end), *a_day(end + timedelta(minutes=5)))
    assert len(plant.readings.kept) == 288
    assert plant.buried == {}
    assert plant.told == {(EventKind.REPLAYED, "g1"): 1}
    assert plant.guard.figures() == {"replayed": 287.0}  # the day's last reading is not behind itself


def test_a_day_that_is_played_again_with_other_values_is_a_conflict_as_ever() -> None:
    plant = Plant()
    end = later(86_400)
    plant.send(*a_day(end))
    plant.send(*[a_message(later(300 * n), end, value=-1.0) for n in range(288)])
    assert plant.buried == {"conflict": 288}
    assert plant.told == {(EventKind.REPLAYED, "g1"): 1}


@pytest.mark.parametrize("why", ["redelivered", "asked for", "few", "among many new ones", "another sensor's past"])
def test_late_readings_with_a_good_reason_are_no_replay(why: str) -> None:
    plant = Plant()
    end = later(86_400)
    if why == "redelivered":
        plant.send(*a_day(end), *a_day(end, is_redelivery=True))
    elif why == "asked for":
        plant.notebook.save_gaps([Gap("P-1", "g1", later(-1), end, 288, 288, end)])
        plant.send(a_message(end, end), *a_day(end))
    elif why == "few":
        plant.send(*a_day(end), *a_day(end)[: MANY - 1])
    elif why == "among many new ones":
        plant.send(*flood(30, RATE), *[a_message(later(-n), later(30)) for n in range(288)])
    else:
        plant.send(a_message(end, end, sensor="P-9"), *a_day(end))
    assert plant.told == {}


# ---------------------------------------------------------------------------------------------------- memory


def test_strangers_cannot_fill_the_memory_and_those_heard_of_last_stay_known() -> None:
    known: Recent[str, int] = Recent(100)
    for number in range(10_000):
        known.put(f"stranger-{number}", number)
        known.put("friend", 7)
    assert len(known) <= 200
    assert known.get("friend") == 7
    assert known.get("stranger-9999") == 9999
    assert known.get("stranger-0") is None
