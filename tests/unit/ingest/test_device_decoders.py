"""ChirpStack, The Things Stack, wmbusmeters and SensorThings: what the shared samples do not show."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from ingest.decoders.base import Decoded, Refusal, UndecodableError
from ingest.mappings import parse_mappings
from twin.errors import ConfigError
from twin.events import EventKind

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
AT = datetime(2026, 1, 1, tzinfo=UTC)
MAPPING = """
[[source]]
topic = "{topic}"
decoder = "{decoder}"
zero_if_absent = {zero}
[source.options]
{options}
[source.sensors]
"{name}" = "S-1"
"""


def decode(decoder: str, topic: str, payload: object, name: str, **more: str) -> Decoded:
    fields = {"topic": "#", "zero": "[]", "options": "", **more}
    (source,) = parse_mappings(MAPPING.format(decoder=decoder, name=name, **fields))
    return source.decoder.decode(topic, json.dumps(payload).encode(), NOW)


def told(decoded: Decoded) -> list[tuple[EventKind, str, str]]:
    return [(event.kind, event.subject, event.detail) for event in decoded.events]


# -------------------------------------------------------------------------------------------------- ChirpStack

EUI = "70b3d5e75e00a1c2"


def chirpstack(what: str, name: str = f"{EUI}/p", **fields: object) -> Decoded:
    payload = {"deviceInfo": {"devEui": EUI}, "time": "2026-01-01T00:00:00Z", **fields}
    return decode("chirpstack", f"application/a/device/{EUI}/event/{what}", payload, name)


@pytest.mark.parametrize(
    ("what", "fields", "detail"),
    [
        pytest.param("status", {"margin": 10, "batteryLevel": 19.9}, "battery at 19.9 %", id="battery low"),
        pytest.param("status", {"margin": 10, "batteryLevel": 20.0}, None, id="battery well"),
        pytest.param("status", {"margin": 10, "externalPowerSource": True, "batteryLevel": 0}, None, id="mains"),
        pytest.param("status", {"batteryLevelUnavailable": True, "batteryLevel": 0}, None, id="unknown battery"),
        pytest.param("status", {"batteryLevel": True}, None, id="no number"),
        pytest.param(
            "join", {"devAddr": "00189440"}, "joined the network (it restarted, or lost its session)", id="join"
        ),
        pytest.param(
            "log", {"level": "ERROR", "code": "UPLINK_CODEC", "description": "x"}, "ERROR UPLINK_CODEC: x", id="e"
        ),
        pytest.param("log", {"level": "INFO", "code": "OTAA", "description": "x"}, None, id="idle talk"),
        pytest.param("ack", {"acknowledged": True}, None, id="acknowledgement"),
    ],
)
def test_chirpstack_tells_of_a_device(what: str, fields: dict[str, object], detail: str | None) -> None:
    decoded = chirpstack(what, **fields)
    assert decoded.is_news
    assert decoded.readings == []
    assert told(decoded) == ([] if detail is None else [(EventKind.DEVICE_STATUS, EUI, detail)])


def test_chirpstack_notes_nothing_of_devices_that_nobody_mapped() -> None:
    assert told(chirpstack("status", "0000000000000000/p", batteryLevel=1)) == []


def test_a_dev_eui_is_one_in_upper_and_lower_case() -> None:
    decoded = chirpstack("up", f"{EUI.upper()}/p", object={"p": 3})
    assert [(raw.name, raw.value) for raw in decoded.readings] == [(f"{EUI.upper()}/p", 3.0)]
    assert decoded.gateway == EUI


@pytest.mark.parametrize("value", [None, "12", {"x": 1}])
def test_a_mapped_value_that_is_no_number_is_refused_with_its_uplink(value: object) -> None:
    (refused,) = chirpstack("up", object={"p": value}, deduplicationId="d-1").refused
    assert (refused.name, refused.reason) == (f"{EUI}/p", Refusal.UNDECODABLE)
    assert refused.item == {"observed_at": "2026-01-01T00:00:00Z", "value": value, "deduplicationId": "d-1"}


@pytest.mark.parametrize(
    ("topic", "payload"),
    [
        ("application/a/device/x/event/up/more", {}),
        ("application/a/device/x/event/unheard", {"deviceInfo": {"devEui": "x"}}),
        (f"application/a/device/{EUI}/event/up", {"devEUI": EUI}),
        (f"application/a/device/{EUI}/event/up", {"deviceInfo": {"devEui": EUI}, "object": {"p": 1}}),
        (f"application/a/device/{EUI}/event/up", [1]),
    ],
)
def test_what_is_not_chirpstack_v4_is_refused(topic: str, payload: object) -> None:
    with pytest.raises(UndecodableError):
        decode("chirpstack", topic, payload, f"{EUI}/p")


# --------------------------------------------------------------------------------------------- The Things Stack


def tts(name: str = "d1/p", zero: str = "[]", options: str = "", **uplink: object) -> Decoded:
    message = {"received_at": "2026-01-01T00:00:00.5Z", "decoded_payload": {"p": 1}, **uplink}
    payload = {"end_device_ids": {"device_id": "d1"}, "uplink_message": message}
    return decode("tts", "v3/app/devices/d1/up", payload, name, zero=zero, options=options)


@pytest.mark.parametrize(
    ("gateway_time", "expected"),
    [
        pytest.param("2026-01-01T00:00:00.25Z", AT + timedelta(milliseconds=250), id="a gateway's clock"),
        pytest.param("1980-01-06T00:00:11Z", AT + timedelta(milliseconds=500), id="a clock that was never set"),
        pytest.param("2026-01-01T00:02:00Z", AT + timedelta(milliseconds=500), id="a clock that is wrong"),
        pytest.param("nonsense", AT + timedelta(milliseconds=500), id="no time"),
        pytest.param(None, AT + timedelta(milliseconds=500), id="null"),
    ],
)
def test_tts_believes_a_gateways_clock_within_a_minute(gateway_time: str | None, expected: datetime) -> None:
    assert tts(settings={"time": gateway_time}).readings[0].observed_at == expected


def test_tts_leaves_zeros_out_and_only_where_configured_they_are_put_in() -> None:
    assert tts(decoded_payload={}).readings == []
    assert [raw.value for raw in tts(zero='["p"]', decoded_payload={}).readings] == [0.0]
    assert [raw.value for raw in tts("d1/a.b", zero='["a.b"]', decoded_payload={"c": 1}).readings] == [0.0]


def test_an_uplink_of_another_kind_is_no_flow_of_zero() -> None:
    def read(**uplink: object) -> list[float]:
        decoded = tts(zero='["p"]', options="zero_ports = [2, 7]", **uplink)
        return [raw.value for raw in decoded.readings]

    assert read(f_port=7, decoded_payload={}) == [0.0]
    assert read(f_port=85, decoded_payload={"battery": 3.6}) == []
    assert read(decoded_payload={}) == []
    assert read(f_port=85, decoded_payload={"p": 4}) == [4.0]


@pytest.mark.parametrize("ports", ["[]", "[0]", "[256]", "2", '["2"]', "[true]"])
def test_ports_that_are_none_are_refused(ports: str) -> None:
    with pytest.raises(ConfigError, match="zero_ports"):
        tts(zero='["p"]', options=f"zero_ports = {ports}")
    with pytest.raises(ConfigError, match="zero_if_absent"):
        tts(options="zero_ports = [2]")


def test_tts_simulated_uplinks_are_no_measurements() -> None:
    with pytest.raises(UndecodableError, match="simulated"):
        tts(simulated=True)
    uplink = {"received_at": "2026-01-01T00:00:00Z", "decoded_payload": {"p": 1}}
    payload = {"end_device_ids": {"device_id": "d1"}, "simulated": True, "uplink_message": uplink}
    with pytest.raises(UndecodableError, match="simulated"):
        decode("tts", "v3/app/devices/d1/up", payload, "d1/p")


def test_tts_warnings_of_the_formatter_and_joins_are_told() -> None:
    assert told(tts(decoded_payload_warnings=["cut off"]))[0][:2] == (EventKind.DEVICE_STATUS, "d1")
    joined = decode("tts", "v3/app@t/devices/d1/join", {"end_device_ids": {"device_id": "d1"}}, "d1/p")
    assert (joined.is_news, told(joined)) == (True, [(EventKind.DEVICE_STATUS, "d1", "joined the network")])
    sent = decode("tts", "v3/app@t/devices/d1/down/sent", {"end_device_ids": {"device_id": "d1"}}, "d1/p")
    assert (sent.is_news, sent.events) == (True, [])


# --------------------------------------------------------------------------------------------------- wmbusmeters


def wmbus(name: str = "m1/total_m3", **fields: object) -> Decoded:
    payload = {"id": "m1", "media": "water", "timestamp": "2026-01-01T00:00:00Z", "total_m3": 5, **fields}
    return decode("wmbusmeters", "wmbusmeters/m1", payload, name)


@pytest.mark.parametrize(
    ("fields", "reason", "words"),
    [
        ({"status": "OK"}, None, ""),
        ({"status": ""}, None, ""),
        ({"current_alarms": "no_alarm"}, None, ""),
        ({"status": None}, None, ""),
        ({"status": "PERMANENT_ERROR"}, "device_alarm", "PERMANENT_ERROR"),
        ({"status": "TEMPORARY_ERROR"}, "device_status", "TEMPORARY_ERROR"),
        ({"status": "POWER_LOW"}, "device_status", "POWER_LOW"),
        ({"status": "UNKNOWN_MFCT_STATUS_2"}, "device_status", "UNKNOWN_MFCT_STATUS_2"),
        ({"status": "METER_BLOCKED UNDERFLOW"}, "device_alarm", "METER_BLOCKED UNDERFLOW"),
        ({"current_alarms": "meter_blocked,underflow"}, "device_alarm", "meter_blocked underflow"),
        ({"current_status": "DRY", "status": "DRY"}, "device_alarm", "DRY"),
        ({"current_alarms": "leakage_previously"}, "device_status", "leakage_previously"),
        ({"status": "TEMPORARY_ERROR PERMANENT_ERROR"}, "device_alarm", "TEMPORARY_ERROR PERMANENT_ERROR"),
        ({"status": "NEW_WORD"}, "device_status", "NEW_WORD"),
        ({"status": "OK", "error_flags": "SOMETHING"}, "device_status", "SOMETHING"),
        ({"status": "LEAKING METER_BLOCKED"}, "device_alarm", "LEAKING METER_BLOCKED"),
    ],
)
def test_what_a_meter_says_of_itself_goes_with_its_reading(
    fields: dict[str, object], reason: str | None, words: str
) -> None:
    decoded = wmbus(**fields)
    assert [raw.reasons for raw in decoded.readings] == [() if reason is None else (reason,)]
    assert told(decoded) == ([] if reason is None else [(EventKind(reason), "m1", words)])


@pytest.mark.parametrize("words", ["LEAKING", "BURST", "REVERSED", "back_flow", "LEAKING TEMPORARY_ERROR"])
def test_an_alarm_about_the_water_is_told_and_the_register_still_believed(words: str) -> None:
    decoded = wmbus(current_alarms=words)
    assert [raw.reasons for raw in decoded.readings] == [("device_status",)]
    assert told(decoded) == [(EventKind.DEVICE_ALARM, "m1", words)]


@pytest.mark.parametrize(
    ("field", "unit"),
    [
        ("total_m3", "m3"),
        ("volume_l", "L"),
        ("max_flow_m3h", "m3/h"),
        ("flow_lh", "L/h"),
        ("flow_temperature_c", "degC"),
        ("pressure_bar", "bar"),
        ("power_kw", "kW"),
    ],
)
def test_the_fields_name_tells_its_unit(field: str, unit: str) -> None:
    assert [raw.unit for raw in wmbus(f"m1/{field}", **{field: 1}).readings] == [unit]


@pytest.mark.parametrize("field", ["battery_y", "voltage_v", "status", "total"])
def test_a_field_without_a_known_unit_is_refused_at_the_start(field: str) -> None:
    with pytest.raises(ConfigError, match=field):
        wmbus(f"m1/{field}")
    assert decode_with_unit(field).readings[0].unit == "1"


def decode_with_unit(field: str) -> Decoded:
    payload = {"id": "m1", "timestamp": "2026-01-01T00:00:00Z", field: 3}
    return decode("wmbusmeters", "wmbusmeters/m1", payload, f"m1/{field}", options=f'units = {{ "{field}" = "1" }}')


def alarm(payload: bytes, options: str = "alarms = true") -> Decoded:
    (source,) = parse_mappings(
        MAPPING.format(decoder="wmbusmeters", name="m1/total_m3", topic="wm/alarm", zero="[]", options=options)
    )
    return source.decoder.decode("wm/alarm", payload, NOW)


def test_an_alarm_of_the_receiver_is_an_event() -> None:
    decoded = alarm(b"DeviceInactivity bus 1: nothing heard\n")
    assert (decoded.readings, decoded.refused, decoded.is_news) == ([], [], True)
    assert told(decoded) == [(EventKind.DEVICE_ALARM, "wm.alarm", "DeviceInactivity bus 1: nothing heard")]


@pytest.mark.parametrize("payload", [b"", b"  ", b"\xff"])
def test_an_alarm_that_is_no_text_is_refused(payload: bytes) -> None:
    with pytest.raises(UndecodableError, match="an alarm of wmbusmeters must"):
        alarm(payload)
    with pytest.raises(ConfigError, match="alarms must be true or false"):
        alarm(payload, "alarms = 1")


def test_neighbours_and_other_media_leave_no_trace() -> None:
    assert wmbus("m2/total_m3", status="DRY") == Decoded("m1", many=True)
    with pytest.raises(UndecodableError, match="'heat', not water"):
        wmbus("m1/volume_l", media="heat")
    assert wmbus("m1/total_m3", media="heat").readings[0].value == 5.0


# -------------------------------------------------------------------------------------------------- SensorThings


def observation(topic: str = "v1.1/Datastreams(5)/Observations", **fields: object) -> Decoded:
    return decode("sensorthings", topic, {"result": 1, **fields}, "Datastreams(5)", options=fields.pop("options", ""))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        pytest.param(None, None, id="none: the time of receipt"),
        pytest.param("2026-01-01T00:00:00Z", AT, id="an instant"),
        pytest.param("2026-01-01T01:00:00+01:00", AT, id="an instant elsewhere"),
        pytest.param("2025-12-31T23:45:00Z/2026-01-01T00:00:00Z", AT, id="an interval is true at its end"),
    ],
)
def test_an_observation_is_true_when_its_phenomenon_was(time: str | None, expected: datetime | None) -> None:
    assert observation(phenomenonTime=time).readings[0].observed_at == expected


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"result": "21"}, "undecodable"),
        ({"result": None}, "undecodable"),
        ({"phenomenonTime": "2026-01-01T00:00:00"}, "naive_time"),
        ({"phenomenonTime": "2026-01-01T00:00:00Z/2025-01-01T00:00:00Z"}, "undecodable"),
        ({"phenomenonTime": 5}, "undecodable"),
    ],
)
def test_an_observation_that_is_no_reading_is_refused_by_name(fields: dict[str, object], reason: str) -> None:
    (refused,) = observation(**fields).refused
    assert (refused.name, str(refused.reason)) == ("Datastreams(5)", reason)


def test_a_selection_by_frost_in_the_topic_changes_nothing() -> None:
    topic = "x/v1.1/Datastreams(5)/Observations?$select=result&$filter=result gt 5/2"
    assert observation(topic).readings[0].value == 1.0


@pytest.mark.parametrize("topic", ["v1.1/Observations", "v1.1/Datastreams(5)", "Observations"])
def test_an_observation_of_nobody_is_refused(topic: str) -> None:
    with pytest.raises(UndecodableError):
        observation(topic)


def test_units_of_the_mapping_overrule_the_symbol() -> None:
    stream = {"@iot.id": 5, "unitOfMeasurement": {"symbol": "°C"}}
    assert observation(Datastream=stream).readings[0].unit == "°C"
    payload = {"result": 1, "Datastream": stream}
    overruled = decode(
        "sensorthings", "v1.1/Observations", payload, "Datastreams(5)", options='units = { "Datastreams(5)" = "K" }'
    )
    assert overruled.readings[0].unit == "K"


# ------------------------------------------------------------------------------------------------------- options


@pytest.mark.parametrize("decoder", ["chirpstack", "tts", "wmbusmeters"])
@pytest.mark.parametrize(
    ("name", "more", "named"),
    [
        ("no-path", {}, "device/path"),
        ("d/p_m3", {"zero": '["q"]'}, "q"),
        ("d/p_m3", {"options": 'units = { "q" = "m" }'}, "q"),
        ("d/p_m3", {"options": 'units = { "p_m3" = "furlong" }'}, "furlong"),
        ("d/p_m3", {"options": "units = 5"}, "units"),
        ("d/p_m3", {"options": "unit = 5"}, "unit"),
    ],
)
def test_a_mistake_in_the_mapping_is_refused_by_name(decoder: str, name: str, more: dict[str, str], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        decode(decoder, "x", {}, name, **more)
