"""An edge node's life as the decoder sees it: births, aliases, lost messages, deaths, restarts of ours."""

from __future__ import annotations

import contextlib
import itertools
import json
import tracemalloc
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sparkplug_edge import BOOLEAN, FLOAT, INT16, Edge, M, ms, payload_bytes

from ingest.decoders.base import AllNames, Command, Decoded, Refusal, SourceOptions, UndecodableError
from ingest.decoders.sparkplug import SparkplugDecoder
from ingest.decoders.sparkplug_payload import rebirth_request
from ingest.mappings import parse_mappings
from ingest.topics import TopicTemplate
from twin.errors import ConfigError
from twin.events import EventKind

T0 = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
FLOW, PRESSURE, TEMPERATURE = "Porto/RTU-1/DMA-1/inlet/flow", "Porto/RTU-1/DMA-1/pressure", "Porto/RTU-1/cabinet"
NAMES = frozenset({FLOW, PRESSURE, TEMPERATURE})


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def a_decoder(*, names: frozenset[str] = NAMES, every_s: float = 30) -> SparkplugDecoder:
    return SparkplugDecoder(
        SourceOptions(TopicTemplate.parse("spBv1.0/Porto/#"), names, options={"rebirth_every_s": every_s})
    )


def flow(value: float | None, when: datetime, **changes: object) -> M:
    return M(**{"value": value, "alias": 1, "at_ms": ms(when), **changes})  # type: ignore[arg-type]


def births(edge: Edge, when: datetime) -> list[tuple[str, bytes]]:
    known = {"at_ms": ms(when)}
    return [
        edge.nbirth(when, M(21.5, name="cabinet", alias=9, datatype=FLOAT, **known)),  # type: ignore[arg-type]
        edge.dbirth(
            when,
            flow(80.0, when, name="inlet/flow", datatype=FLOAT, unit="m3/h"),
            M(65535, name="pressure", alias=2, datatype=INT16, field="int_value", **known),  # type: ignore[arg-type]
            M(True, name="valve/open", alias=3, datatype=BOOLEAN, field="boolean_value", **known),  # type: ignore[arg-type]
        ),
    ]


def introduced(decoder: SparkplugDecoder, edge: Edge, when: datetime = T0) -> list[Decoded]:
    return [decoder.decode(*message, when) for message in births(edge, when)]


def said(decoded: Decoded) -> list[tuple[str, datetime | None, float, str | None]]:
    return [(raw.name, raw.observed_at, raw.value, raw.unit) for raw in decoded.readings]


def asks(commands: object, when: datetime) -> bool:
    return list(commands) == [Command("spBv1.0/Porto/NCMD/RTU-1", rebirth_request(when))]  # type: ignore[call-overload]


# --------------------------------------------------------------------------------------------------- plain life


def test_births_give_values_names_types_and_units_to_what_follows() -> None:
    decoder, edge = a_decoder(), Edge()
    node, device = introduced(decoder, edge)
    assert said(node) == [(TEMPERATURE, T0, 21.5, None)]
    assert said(device) == [(FLOW, T0, 80.0, "m3/h"), (PRESSURE, T0, -1.0, None)]
    assert (node.commands, device.commands, node.gateway) == ([], [], "Porto:RTU-1")
    data = decoder.decode(
        *edge.ddata(at(5), flow(81.5, at(4)), M(2, alias=2, at_ms=ms(at(4)), field="int_value")), at(5)
    )
    assert said(data) == [(FLOW, at(4), 81.5, "m3/h"), (PRESSURE, at(4), 2.0, None)]
    assert data.commands == []
    assert said(decoder.decode(*edge.ndata(at(6), M(22.0, alias=9)), at(6))) == [(TEMPERATURE, at(6), 22.0, None)]


def test_the_recorded_edge_node_is_read() -> None:
    rows = json.loads((Path(__file__).parents[3] / "data" / "mqtt_payloads" / "sparkplug_b.json").read_text())
    names = frozenset({"Porto/RTU-001/DMA-12/inlet/flow_m3h", "Porto/RTU-001/DMA-12/inlet/pressure_bar"})
    decoder = a_decoder(names=names)
    told = [decoder.decode(row["topic"], bytes.fromhex(row["payload"]["hex"]), T0) for row in rows]
    _, birth, data, historical, death = [[(r.name[-8:], r.value) for r in one.readings] for one in told]
    refused = [(item.name, item.reason) for one in told for item in one.refused]
    assert birth == [("flow_m3h", 84.5), ("sure_bar", pytest.approx(4.2))]
    assert data == [("flow_m3h", 85.25), ("sure_bar", 4.125)]
    assert (historical, death) == ([("flow_m3h", 80.0)], [])
    assert refused == [("Porto/RTU-001/DMA-12/inlet/pressure_bar", Refusal.EMPTY)]
    assert set(told[-1].stale) == names


def test_metrics_that_nobody_mapped_are_no_matter() -> None:
    decoder, edge = a_decoder(), Edge()
    introduced(decoder, edge)
    told = decoder.decode(*edge.ddata(at(1), M(False, alias=3, field="boolean_value")), at(1))
    assert (told.readings, told.refused, told.commands, told.is_news) == ([], [], [], True)
    other = Edge(node="RTU-2")
    told = decoder.decode(*other.ddata(at(1), M(1.0, alias=77)), at(1))
    assert (told.readings, told.refused, told.commands, told.is_news) == ([], [], [], True)


def test_a_value_of_the_past_says_so() -> None:
    decoder, edge = a_decoder(), Edge()
    introduced(decoder, edge)
    told = decoder.decode(*edge.ddata(at(9), flow(70.0, at(-3600), historical=True)), at(9))
    assert [(raw.observed_at, raw.reasons) for raw in told.readings] == [(at(-3600), ("historical",))]


@pytest.mark.parametrize(
    ("metric", "reason", "says"),
    [
        (M(1.0, alias=1, null=True), Refusal.EMPTY, "is_null"),
        (M(float("nan"), alias=1), Refusal.NOT_FINITE, "finite"),
        (M(5, alias=1, field="int_value"), Refusal.UNDECODABLE, "birth says float"),
        (M("3.2", alias=1, field="string_value"), Refusal.UNDECODABLE, "carries a string"),
        (M(1.0, alias=1, datatype=10), Refusal.UNDECODABLE, "datatype"),
        (M(1.0, alias=1, at_ms=2**63), Refusal.IMPLAUSIBLE_TIME, "time"),
        (M(70_000, alias=2, field="int_value"), Refusal.UNDECODABLE, "does not fit"),
    ],
    ids=["null", "nan", "another field", "text", "another datatype", "time", "too large"],
)
def test_one_bad_metric_is_refused_by_name_and_its_neighbour_kept(metric: M, reason: Refusal, says: str) -> None:
    decoder, edge = a_decoder(), Edge()
    introduced(decoder, edge)
    told = decoder.decode(*edge.ddata(at(1), metric, flow(82.0, at(1))), at(1))
    assert [value for _, _, value, _ in said(told)] == [82.0]
    [item] = told.refused
    assert (item.name, item.reason) == (PRESSURE if metric.alias == 2 else FLOW, reason)
    assert says in item.detail
    assert isinstance(item.item, dict)
    assert "value" not in item.item  # a letter without its unit must not become a reading by requeuing


def test_the_senders_own_doubts_are_kept() -> None:
    decoder, edge = a_decoder(), Edge()
    introduced(decoder, edge)
    told = decoder.decode(*edge.ddata(at(1), flow(82.0, at(1), quality=0)), at(1))
    assert [raw.reasons for raw in told.readings] == [("device_alarm",)]
    told = decoder.decode(*edge.ddata(at(2), flow(82.0, at(1), quality=500)), at(2))
    assert (told.readings, told.stale, told.refused[0].reason) == ([], [FLOW], Refusal.EMPTY)
    told = decoder.decode(*edge.ddata(at(3), flow(82.0, at(3), quality=192)), at(3))
    assert [raw.reasons for raw in told.readings] == [()]


# ------------------------------------------------------------------------------------- lost messages, restarts


def test_a_lost_message_is_noticed_once_and_its_successors_are_kept() -> None:
    decoder, edge = a_decoder(), Edge()
    introduced(decoder, edge)
    edge.lose_one()
    told = decoder.decode(*edge.ddata(at(1), flow(82.0, at(1))), at(1))
    assert [value for _, _, value, _ in said(told)] == [82.0]
    assert asks(told.commands, at(1))
    assert decoder.decode(*edge.ddata(at(2), flow(83.0, at(2))), at(2)).commands == []


def test_requests_come_no_more_often_than_the_interval_allows() -> None:
    decoder, edge = a_decoder(every_s=30), Edge()
    introduced(decoder, edge)
    asked = []
    for second in range(100):
        edge.lose_one()
        if decoder.decode(*edge.ddata(at(second), flow(1.0, at(second))), at(second)).commands:
            asked.append(second)
    assert asked == [0, 30, 60, 90]


def test_numbers_go_round() -> None:
    decoder, edge = a_decoder(), Edge()
    introduced(decoder, edge)
    for second in range(600):
        told = decoder.decode(*edge.ddata(at(second), flow(1.0, at(second))), at(second))
        assert (told.commands, len(told.readings)) == ([], 1)


@pytest.mark.parametrize("missed", ["both births", "the node's birth", "the device's birth"])
def test_who_missed_births_asks_for_them_and_guesses_nothing(missed: str) -> None:
    decoder, edge = a_decoder(), Edge()
    of_node, of_device = births(edge, T0)
    data = edge.ddata(at(1), flow(82.0, at(1)))
    if missed == "both births":
        with pytest.raises(UndecodableError, match="before its birth") as refused:
            decoder.decode(*data, at(1))
        assert asks(refused.value.commands, at(1))
    elif missed == "the node's birth":  # the device's birth says all that its data need
        assert asks(decoder.decode(*of_device, T0).commands, T0)
        told = decoder.decode(*data, at(40))
        assert (len(told.readings), asks(told.commands, at(40))) == (1, True)
    else:
        assert decoder.decode(*of_node, T0).commands == []
        with pytest.raises(UndecodableError, match="before its birth") as refused:
            decoder.decode(*data, at(1))
        assert asks(refused.value.commands, at(1))
    introduced(decoder, edge, at(60))
    assert len(decoder.decode(*edge.ddata(at(61), flow(83.0, at(61))), at(61)).readings) == 1


def test_an_alias_that_no_birth_named_is_refused_alone() -> None:
    decoder, edge = a_decoder(), Edge()
    introduced(decoder, edge)
    told = decoder.decode(*edge.ddata(at(1), M(1.0, alias=44, at_ms=5), flow(82.0, at(1))), at(1))
    assert [value for _, _, value, _ in said(told)] == [82.0]
    assert [(item.name, item.reason) for item in told.refused] == [(None, Refusal.UNDECODABLE)]
    assert "44" in told.refused[0].detail
    assert asks(told.commands, at(1))


def test_a_new_birth_forgets_the_old_aliases() -> None:
    decoder, edge = a_decoder(), Edge()
    introduced(decoder, edge)
    decoder.decode(*edge.nbirth(at(1)), at(1))
    with pytest.raises(UndecodableError, match="before its birth"):
        decoder.decode(*edge.ddata(at(1), flow(2.0, at(1))), at(1))
    decoder.decode(*edge.dbirth(at(1), flow(3.0, at(1), name="pressure", datatype=FLOAT)), at(1))
    told = decoder.decode(*edge.ddata(at(2), flow(4.0, at(2))), at(2))
    assert said(told) == [(PRESSURE, at(2), 4.0, None)]


def test_a_birth_without_what_is_mapped_is_told() -> None:
    decoder, edge = a_decoder(), Edge()
    decoder.decode(*edge.nbirth(T0), T0)
    [event] = decoder.decode(*edge.dbirth(T0, flow(1.0, T0, name="inlet/flow", datatype=FLOAT)), T0).events
    assert (event.kind, event.subject) == (EventKind.DEVICE_STATUS, "Porto/RTU-1/DMA-1")
    assert PRESSURE in event.detail
    assert FLOW not in event.detail


# ------------------------------------------------------------------------------------------------------ deaths


def test_the_death_of_a_node_makes_all_its_sensors_stale() -> None:
    decoder, edge = a_decoder(), Edge()
    introduced(decoder, edge)
    told = decoder.decode(*edge.ndeath(at(9)), at(9))
    assert told.stale == sorted(NAMES)
    assert [(event.kind, event.subject) for event in told.events] == [(EventKind.SENSOR_STALE, "Porto/RTU-1")]
    assert told.commands == []
    with pytest.raises(UndecodableError, match="before its birth"):
        decoder.decode(*edge.ddata(at(10), flow(82.0, at(10))), at(10))
    assert decoder.decode(*edge.ndeath(at(9)), at(11)).stale == sorted(NAMES), "told again, it means the same"


def test_the_death_of_a_device_makes_its_sensors_stale() -> None:
    decoder, edge = a_decoder(), Edge()
    introduced(decoder, edge)
    told = decoder.decode(*edge.ddeath(at(9)), at(9))
    assert told.stale == [FLOW, PRESSURE]
    assert [event.subject for event in told.events] == ["Porto/RTU-1/DMA-1"]
    assert len(decoder.decode(*edge.ndata(at(10), M(22.0, alias=9)), at(10)).readings) == 1
    with pytest.raises(UndecodableError):
        decoder.decode(*edge.ddata(at(11), flow(82.0, at(11))), at(11))


def test_the_late_death_of_an_earlier_session_kills_nobody() -> None:
    decoder, edge = a_decoder(), Edge(bd_seq=3)
    introduced(decoder, edge)
    late = edge.ndeath(at(1))
    edge.bd_seq = 4
    introduced(decoder, edge, at(2))
    told = decoder.decode(*late, at(3))
    assert (told.stale, told.events, told.is_news) == ([], [], True)
    assert len(decoder.decode(*edge.ddata(at(4), flow(82.0, at(4))), at(4)).readings) == 1


def test_a_death_of_nobody_knows_which_session_is_believed_and_asked_about() -> None:
    decoder, edge = a_decoder(), Edge()
    told = decoder.decode(*edge.ndeath(at(9)), at(9))  # we have just been started
    assert (told.stale, asks(told.commands, at(9))) == (sorted(NAMES), True)
    introduced(decoder, edge, at(50))
    nameless = edge.topic("NDEATH"), payload_bytes([], seq=None)
    told = decoder.decode(*nameless, at(60))
    assert (told.stale, asks(told.commands, at(60))) == (sorted(NAMES), True)


# --------------------------------------------------------------------------------------------- what is not for us


@pytest.mark.parametrize(
    ("topic", "payload"),
    [
        ("spBv1.0/STATE/scada", b'{"online": true}'),
        ("spBv1.0/Porto/NCMD/RTU-1", b"\x08\x01"),
        ("spBv1.0/Porto/DCMD/RTU-1/DMA-1", b"\x08\x01"),
    ],
)
def test_what_others_tell_each_other_is_no_matter(topic: str, payload: bytes) -> None:
    told = a_decoder().decode(topic, payload, T0)
    assert (told.readings, told.refused, told.is_news) == ([], [], True)


@pytest.mark.parametrize(
    "topic",
    ["spAv1.0/Porto/NDATA/RTU-1", "spBv1.0/Porto/NDATA", "spBv1.0/Porto/NDATA/RTU-1/DMA-1", "spBv1.0/Porto/DDATA/RTU-1",
     "spBv1.0/Porto/XDATA/RTU-1", "spBv1.0/Porto/NDATA/R\x00U", "spBv1.0//NDATA/RTU-1"],
)  # fmt: skip
def test_other_topics_are_refused(topic: str) -> None:
    with pytest.raises(UndecodableError):
        a_decoder().decode(topic, b"", T0)


def test_a_compressed_payload_is_refused_with_advice() -> None:
    with pytest.raises(UndecodableError, match="compression"):
        a_decoder().decode("spBv1.0/Porto/NDATA/RTU-1", b"\x2a\x02zz", T0)


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ('topic = "spBv1.0/Porto/+/+/+"', "must end in #"),
        ('topic = "spBv1.0/#"\noptions = {rebirth = 3}', "unknown options"),
        ('topic = "spBv1.0/#"\noptions = {rebirth_every_s = 0}', "rebirth_every_s"),
        ('topic = "spBv1.0/#"\nzero_if_absent = ["x"]', "zero_if_absent"),
    ],
)
def test_a_mapping_that_cannot_work_is_refused(source: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        parse_mappings(f'[[source]]\ndecoder = "sparkplug_b"\n{source}\n[source.sensors]\n"g/n/m" = "S"\n')


def test_a_name_that_can_be_nobodys_is_refused() -> None:
    with pytest.raises(ConfigError, match="group/node"):
        a_decoder(names=frozenset({"flow"}))


def test_told_so_it_reads_all_there_is() -> None:
    decoder, edge = a_decoder(names=AllNames()), Edge()
    node, device = introduced(decoder, edge)
    assert [raw.name.split("/")[2] for raw in node.readings] == ["bdSeq", "Node Control", "cabinet"]
    assert [raw.name.rpartition("/")[2] for raw in device.readings] == ["flow", "pressure", "open"]


# -------------------------------------------------------------------------------------------------- memory, fuzz


def test_memory_stays_flat_under_strangers_and_births_without_end() -> None:
    decoder = a_decoder()
    edge = Edge()
    introduced(decoder, edge)

    def one_round(number: int) -> None:
        stranger = Edge(node=f"X-{number}")
        for who, device in ((stranger, "DMA-1"), (edge, f"D-{number}"), (edge, "DMA-1")):
            metrics = [M(1.0, name=f"m{number}/{n}", alias=n, datatype=FLOAT) for n in range(50)]
            decoder.decode(*who.dbirth(T0, *metrics, device=device), T0)

    for number in range(50):
        one_round(number)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for number in range(50, 450):
        one_round(number)
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert grown < 200_000


KINDS = st.sampled_from(["NBIRTH", "DBIRTH", "NDATA", "DDATA", "NDEATH", "DDEATH", "NCMD", "STATE", "?"])
TOPICS = st.builds(
    lambda kind, device: f"spBv1.0/Porto/{kind}/RTU-1" + (f"/{device}" if kind.startswith("D") else ""),
    KINDS,
    st.sampled_from(["DMA-1", "D2", ""]),
)
METRICS = st.builds(
    M,
    value=st.none() | st.floats(width=32),
    name=st.none() | st.sampled_from(["inlet/flow", "pressure", "bdSeq", "other"]),
    alias=st.none() | st.integers(0, 4),
    at_ms=st.none() | st.integers(0, 2**64 - 1),
    datatype=st.none() | st.integers(0, 20),
    historical=st.booleans(),
    null=st.booleans(),
    quality=st.none() | st.sampled_from([0, 192, 500, 7]),
)
PAYLOADS = st.builds(payload_bytes, st.lists(METRICS, max_size=4), seq=st.none() | st.integers(0, 300)) | st.binary(
    max_size=60
)


@settings(max_examples=150)
@given(st.lists(st.tuples(TOPICS, PAYLOADS), max_size=25))
def test_nothing_else_escapes_and_every_value_is_accounted_for(messages: list[tuple[str, bytes]]) -> None:
    decoder = a_decoder()
    asked: list[datetime] = []
    for number, (topic, payload) in enumerate(messages):
        commands: list[Command] = []
        with contextlib.suppress(UndecodableError):
            try:
                told = decoder.decode(topic, payload, at(number))
                commands = list(told.commands)
                assert {raw.name for raw in told.readings} | set(told.stale) <= NAMES
                assert all(raw.value == raw.value for raw in told.readings)
            except UndecodableError as error:
                commands = list(error.commands)
                raise
        asked += [at(number)] * len(commands)
    assert all(later - earlier >= timedelta(seconds=30) for earlier, later in itertools.pairwise(asked))
