"""From caught messages to a mappings file that reads them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.decoders.base import UndecodableError
from ingest.mappings import parse_mappings
from ingest.message import Message
from ingest.sniff.catch import LONGEST_PAYLOAD, MOST_BYTES, MOST_TOPICS, Catch
from ingest.sniff.report import Report, report_on
from ingest.sniff.templates import common_filter, group, looks_like_id
from ingest.sniff.words import is_about_device, unit_in_name
from ingest.sniff.writing import quoted

DATA = Path(__file__).parents[3] / "data"
NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def caught(*messages: tuple[str, bytes]) -> Catch:
    catch = Catch()
    for topic, payload in messages:
        catch.take(Message(topic, payload, NOW))
    return catch


def samples(form: str) -> list[tuple[str, bytes]]:
    """Return what is recorded of one format."""
    rows: list[dict[str, Any]] = json.loads((DATA / "mqtt_payloads" / f"{form}.json").read_text())
    return [(row["topic"], _bytes(row["payload"])) for row in rows]


def _bytes(payload: object) -> bytes:
    if isinstance(payload, dict) and set(payload) == {"hex"}:
        return bytes.fromhex(payload["hex"])
    return json.dumps(payload).encode()


def decoders(report: Report) -> list[str]:
    return [proposal.decoder for proposal in report.proposals]


# What stands in the samples, counted by hand: names of measurements that the proposed mapping must hold.
NAMED = {
    "chirpstack": {"70b3d5e75e00a1c2/pressure_bar", "70b3d5e75e00a1c2/valve.open", "70b3d5e75e00a1c2/channels.0"},
    "tts": {"reservoir-north/level_m", "reservoir-north/flow.out_lps", "reservoir-north/pump_on"},
    "senml": {
        "urn:dev:ow:10e2073a01080063",
        "urn:dev:ow:0024befffe804ff1:flow",
        "urn:dev:ow:0024befffe804ff1:flow#sum",
    },
    "wmbusmeters": {"41200317/total_m3", "41200317/max_flow_m3h", "21240099/total_m3"},
    "sensorthings": {"Datastreams(5)", "Datastreams('weir-7')"},
    "sparkplug_b": {"Porto/RTU-001/DMA-12/inlet/flow_m3h", "Porto/RTU-001/DMA-12/inlet/pressure_bar"},
    "json_path": {"pump-house/pressure", "pump-house/flow.out"},
}


@pytest.mark.parametrize("form", NAMED)
def test_the_recorded_samples_of_each_format_are_recognised_and_read(form: str) -> None:
    report = report_on(caught(*samples(form)))
    assert decoders(report) == [form]
    [source] = parse_mappings(report.toml)
    assert source.sensors is not None
    assert NAMED[form] <= source.sensors.keys()
    assert report.readings > 0
    values = {
        raw.name
        for topic, payload in samples(form)
        if source.template.match(topic) is not None
        for raw in _readings(source, topic, payload)
    }
    assert NAMED[form] <= values, "the printed mapping, loaded back, decodes the samples"


def _readings(source: Any, topic: str, payload: bytes) -> list[Any]:
    try:
        return list(source.decoder.decode(topic, payload, NOW).readings)
    except UndecodableError:  # the samples hold messages that must be refused
        return []


def test_all_formats_at_once_do_not_disturb_each_other() -> None:
    report = report_on(caught(*(message for form in NAMED for message in samples(form)), *samples("native")))
    assert sorted(decoders(report)) == sorted(NAMED)
    assert report.native == len(samples("native"))
    assert len(parse_mappings(report.toml)) == len(NAMED)


def test_a_time_under_an_unusual_key_is_known_by_its_values_and_is_no_reading() -> None:
    rows = [
        ("plant/ph-17/tele", json.dumps({"booted": 1767000000, "when": 1767268800123 + n, "p_bar": 4.5}).encode())
        for n in range(3)
    ]
    [proposal] = report_on(caught(*rows)).proposals
    assert proposal.options["time"] == "when"
    assert proposal.options["time_format"] == "epoch_ms"
    assert proposal.options["fields"] == {"p_bar": "bar"}
    assert proposal.doubts == ("its time is taken to be 'when', because of its values",)


def test_a_number_that_is_long_but_no_recent_time_stays_a_reading() -> None:
    [proposal] = report_on(caught(("plant/ph-17/tele", b'{"ts": 1767268800, "pulses": 1700000000}'))).proposals
    assert proposal.options["fields"] == {"pulses": ""}


@pytest.mark.parametrize(
    ("units", "unit", "doubt"),
    [
        pytest.param(("m3/h", "m3/h"), "m3/h", "", id="one unit"),
        pytest.param(("furlong", "furlong"), "", "does not know the unit 'furlong'", id="unknown"),
        pytest.param(("m3/h", "L/s"), "", "differs from message to message", id="two units"),
    ],
)
def test_a_unit_that_stands_beside_its_value_is_taken_or_told(units: tuple[str, ...], unit: str, doubt: str) -> None:
    rows = [
        ("plant/ph-17/tele", json.dumps({"ts": 1767268800, "flow": {"value": 12.5, "unit": one}}).encode())
        for one in units
    ]
    [proposal] = report_on(caught(*rows)).proposals
    assert proposal.options["fields"] == {"flow.value": unit}
    assert doubt in " ".join(proposal.doubts)
    assert bool(proposal.doubts) is bool(doubt)


def test_what_h2twin_says_itself_is_not_looked_at() -> None:
    report = report_on(
        caught(("h2twin/heartbeat/h2twin-ingest", b""), ("h2twin/home_assistant/x/state", b'{"value": 1}'))
    )
    assert (report.caught, report.proposals, report.unread) == (0, (), ())


def test_any_json_gets_paths_time_sender_and_units() -> None:
    rows = [
        (
            f"site/{name}/data",
            json.dumps({"ts": 1767268800000 + n, "flow": {"m3h": 3.5 + n}, "rssi": -80, "n": n}).encode(),
        )
        for n, name in enumerate(["tank7", "roof", "weir", "inlet"])
    ]
    [proposal] = (report := report_on(caught(*rows))).proposals
    assert proposal.topic == "site/{device}/data"
    assert proposal.options == {
        "id": "{device}",
        "time": "ts",
        "time_format": "epoch_ms",
        "fields": {"flow.m3h": "m3/h", "rssi": "", "n": ""},
    }
    assert '"roof/flow.m3h" = "roof-flow.m3h"  # 4.5 by its name: m3/h' in report.toml
    assert '# "roof/rssi" = ' in report.toml  # tells of the device: a person must decide
    assert report.read == 4


def test_json_that_names_its_sender_and_holds_items() -> None:
    payload = {"gateway": "x", "values": [{"deviceId": "a1", "time": "2026-01-01T11:00:00Z", "level_m": 2.5, "seq": 4}]}
    [proposal] = report_on(caught(("plc/out", json.dumps(payload).encode()))).proposals
    assert proposal.options == {
        "id": "deviceId", "items": "values", "time": "time", "time_format": "iso", "seq": "seq",
        "fields": {"level_m": "m"},
    }  # fmt: skip
    assert list(proposal.seen) == ["a1/level_m"]


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ({"id": "a", "v": 1.5, "time": "2026-01-01 11:00:00"}, "no zone"),
        ({"id": "a", "v": 1.5}, "states no time"),
    ],
)
def test_a_time_that_cannot_be_used_is_for_a_person_to_decide(document: object, says: str) -> None:
    report = report_on(caught(("x/y", json.dumps(document).encode())))
    assert says in report.toml
    assert "# Decide: " in report.toml
    assert "time" not in report.proposals[0].options


def test_what_nobody_reads_is_named_with_the_reason() -> None:
    births_missed = samples("sparkplug_b")[2]
    report = report_on(caught(("raw/pump", b"23.5"), ("log/a", b'{"text": "on"}'), births_missed))
    why = {one.topic: one.why for one in report.unread}
    assert why.keys() == {"raw/pump", "log/a", "spBv1.0/Porto/DDATA/#"}
    assert "sparkplug_b: Porto/RTU-001/DMA-12 sent data before its birth" in why["spBv1.0/Porto/DDATA/#"]
    assert why["log/a"].startswith("its JSON holds no number")
    assert parse_mappings(report.toml) == ()
    assert report.toml.count("# Not read: ") == 3


def test_a_source_of_nothing_but_device_facts_is_commented_out() -> None:
    report = report_on(caught(("gw/stat", b'{"id": "g1", "rssi": -70, "uptime": 55}')))
    assert parse_mappings(report.toml) == ()
    assert '# topic = "gw/stat"' in report.toml


def test_nothing_caught_gives_an_empty_mapping() -> None:
    report = report_on(Catch())
    assert (report.caught, report.read, parse_mappings(report.toml)) == (0, 0, ())


def test_an_uplink_of_raw_bytes_is_nobodys_measurement() -> None:
    """What is in it beside the bytes is radio; a mapping that reads it would look right and be wrong."""
    radio = [{"gatewayId": "0016c001f153a14c", "uplinkId": 4217106255, "rssi": -36, "snr": 10.5}]
    chirpstack = {"time": "2026-01-01T00:00:00Z", "deviceInfo": {"devEui": "70b3d5e75e00a1c2"}, "data": "qg=="}
    uplink = {"received_at": "2026-01-01T00:00:00Z", "f_cnt": 7, "frm_payload": "gkHe", "rx_metadata": radio}
    tts = {"end_device_ids": {"device_id": "weir"}, "uplink_message": uplink}
    report = report_on(
        caught(
            ("application/a/device/70b3d5e75e00a1c2/event/up", json.dumps({**chirpstack, "rxInfo": radio}).encode()),
            ("v3/a@t/devices/weir/up", json.dumps(tts).encode()),
        )
    )
    assert report.proposals == ()
    assert [one.why.partition(":")[0] for one in report.unread] == ["chirpstack", "tts"]
    assert "add a codec" in report.unread[0].why
    assert "add a payload formatter" in report.unread[1].why


def test_a_meter_is_named_by_its_topic_where_the_payload_says_the_same() -> None:
    def telegram(number: str) -> bytes:
        fields = {"id": number, "media": "water", "timestamp": "2026-01-01T00:00:00Z", "total_m3": 5.5}
        return json.dumps(
            {**fields, "target_m3": 4.5, "consumption_7_months_ago_m3": 1, "January_total_m3": 1}
        ).encode()

    [proposal] = report_on(caught(*((f"wm/{n}/x{n}/a", telegram(f"4120031{n}")) for n in range(2)))).proposals
    assert (proposal.topic, len(proposal.doubts)) == ("wm/#", 1)
    report = report_on(caught(*((f"wm/4120031{n}/x{n}/a", telegram(f"4120031{n}")) for n in range(2))))
    [proposal] = report.proposals
    assert (proposal.topic, proposal.doubts) == ("wm/{id}/+/a", ())
    [source] = parse_mappings(report.toml)
    assert source.sensors is not None
    assert source.sensors.keys() == {"41200310/total_m3", "41200311/total_m3"}, "none of an earlier date"
    with pytest.raises(UndecodableError, match="the payload says '41200310'"):
        source.decoder.decode("wm/41200311/x/a", telegram("41200310"), NOW)


def test_json_that_names_the_sender_of_its_topic_is_held_to_it() -> None:
    rows = [
        (f"site/{name}/data", json.dumps({"id": "x", "device": {"name": name}, "level_m": 2.5}).encode())
        for name in ["tank7", "roof", "weir", "inlet"]
    ]
    [proposal] = (report := report_on(caught(*rows))).proposals
    assert (proposal.options["id"], proposal.options["claimed_id"]) == ("{device}", "device.name")
    [source] = parse_mappings(report.toml)
    with pytest.raises(UndecodableError, match="the payload says 'tank7'"):
        source.decoder.decode("site/roof/data", rows[0][1], NOW)


def test_names_that_nothing_ties_to_their_topic_are_for_a_person_to_decide() -> None:
    assert "# Decide: nothing ties the names to the topic" in report_on(caught(*samples("senml"))).toml


# ------------------------------------------------------------------------------------------------------- parts


@pytest.mark.parametrize(
    ("topics", "template"),
    [
        (["a/70b3d5e75e00a1c2/up", "a/70b3d5e75e00a1c3/up"], "a/{device}/up"),
        (["a/17"], "a/{device}"),
        (["p/9/dev/0a1b2c3d/x"], "p/{group}/dev/{device}/x"),
        (["a/w/x", "a/v/x", "a/u/x", "a/t/x"], "a/{device}/x"),
        (["a/{w}/x"], "a/+/x"),
    ],
)
def test_topics_that_differ_in_names_only_are_one_template(topics: list[str], template: str) -> None:
    assert group(topics) == {template: sorted(topics)}


def test_few_names_stay_apart() -> None:
    assert sorted(group(["a/level", "a/flow", "b/level"])) == ["a/flow", "a/level", "b/level"]


@pytest.mark.parametrize("level", ["70b3d5e75e00a1c2", "17", "rtu-001", "AA:BB:CC:DD:EE:FF", "meter_42", "41200317"])
def test_ids_are_recognised(level: str) -> None:
    assert looks_like_id(level)


@pytest.mark.parametrize("level", ["pump", "event", "up", "devices", "beefbeef", "P-1", "tank7", ""])
def test_words_are_no_ids(level: str) -> None:
    assert not looks_like_id(level)


def test_a_branch_is_narrowed_to_what_its_topics_share() -> None:
    assert common_filter(["a/b/c", "a/b/d/e"]) == "a/b/#"
    assert common_filter(["a/b", "a/b"]) == "a/b"
    assert common_filter(["a/70b3d5e75e00a1c2/up"]) == "a/#"


@pytest.mark.parametrize(
    ("name", "unit"),
    [("a/flow_m3h", "m3/h"), ("total_m3", "m3"), ("p.bar", "bar"), ("flowM3H", "m3/h"), ("temp_c", "degC"),
     ("level_m", "m"), ("pressure", None), ("alarm", None), ("rpm", None), ("barometer", None)],
)  # fmt: skip
def test_units_are_read_off_names_only_where_they_stand_there(name: str, unit: str | None) -> None:
    assert unit_in_name(name) == unit


def test_what_is_about_the_device() -> None:
    assert all(map(is_about_device, ["x/rssi", "battery_y", "rxInfo.0.snr", "n/bdSeq", "Node Control/Rebirth"]))
    assert not any(map(is_about_device, ["flow", "channels.0", "pressure_bar", "total_m3", "level"]))


def test_the_catch_is_bounded_and_keeps_the_first_and_the_newest() -> None:
    catch = Catch()
    for number in range(100):
        catch.take(Message("a", str(number).encode(), NOW))
    assert [message.payload for message in catch] == [b"0", b"1", b"2", b"98", b"99"]
    assert (catch.messages, catch.topics, catch.left_out) == (100, 1, 95)
    for number in range(MOST_TOPICS + 50):
        catch.take(Message(f"t/{number}", b"x", NOW))
    assert catch.topics == MOST_TOPICS
    big = Catch()
    for number in range(200):
        big.take(Message(f"t/{number}", b"x" * LONGEST_PAYLOAD, NOW))
    big.take(Message("huge", b"x" * (LONGEST_PAYLOAD + 1), NOW))
    assert sum(len(message.payload) for message in big) <= MOST_BYTES


@given(st.text(max_size=50))
def test_every_text_can_be_quoted(text: str) -> None:
    import tomllib

    assert tomllib.loads(f"{quoted(text)} = {quoted(text)}") == {text: text}


LEVELS = ["a", "b", "17", "{x}", "v3", "spBv1.0", "NDATA", "devices", "up", "ü", "\x01", ""]
TOPIC = st.lists(st.sampled_from(LEVELS), min_size=1, max_size=5).map("/".join)
KEYS = ["id", "ts", "time", "v", "n", "a.b", "flow_m3h", "\ud800", "seq", "x"]
NUMBER = st.integers(-(10**20), 10**20) | st.floats()
JSON = st.recursive(
    st.none() | st.booleans() | NUMBER | st.text(max_size=8) | st.just("2026-01-01T00:00:00Z"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=8,
)
PAYLOAD = JSON.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=40)


@settings(max_examples=120)
@given(st.lists(st.tuples(TOPIC, PAYLOAD), max_size=8))
def test_whatever_comes_the_printed_mapping_can_be_loaded(messages: list[tuple[str, bytes]]) -> None:
    report = report_on(caught(*messages))
    sources = parse_mappings(report.toml)
    assert report.read <= report.caught
    assert len(sources) <= len(report.proposals)
