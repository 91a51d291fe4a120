"""The Detector: from findings of many cycles to incidents that open once, change, and close once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twin.customers import Customer, Sensitivity
from twin.detection import Delays, Detector, Rules
from twin.findings import Finding
from twin.incidents import Incident, IncidentKind, IncidentState, Severity, acknowledge

T0 = datetime(2026, 1, 10, 6, 0, tzinfo=UTC)
ALL_KINDS = frozenset(IncidentKind)
OBSERVED, PREDICTED = IncidentKind.OUTAGE_OBSERVED, IncidentKind.OUTAGE_PREDICTED
FLOOD, SILENT = IncidentKind.FLOOD_PREDICTED, IncidentKind.SENSOR_SILENT


def minutes(number: float) -> timedelta:
    return timedelta(minutes=number)


def a_finding(
    kind: IncidentKind = OBSERVED,
    *nodes: str,
    key: str = "tank_empty:T7",
    confidence: float = 0.9,
    starts_at: datetime | None = T0,
    band: tuple[str, ...] = (),
    unknown: bool = False,
) -> Finding:
    return Finding(
        kind, key, "why", Severity.MODERATE, confidence, starts_at, None, nodes, band_ids=band, unknown=unknown
    )


def a_silence(sensor_id: str, *, unknown: bool = False, gateway: str = "") -> Finding:
    key = f"sensor:{sensor_id}"
    silence = Finding(SILENT, key, "silent", Severity.MINOR, 1.0, T0, sensor_ids=(sensor_id,), unknown=unknown)
    return replace(silence, gateway_id=gateway)


class Cycles:
    """Runs a Detector cycle by cycle every five minutes, and keeps incidents as the registry would."""

    def __init__(self, customers: Sequence[Customer] = (), rules: Rules | None = None) -> None:
        self.detector = Detector(rules)
        self.customers = customers
        self.incidents: dict[str, Incident] = {}
        self.now = T0

    def turn(self, *findings: Finding, judged: Iterable[IncidentKind] = ALL_KINDS) -> list[Incident]:
        self.now += minutes(5)
        changed = self.detector.judge(findings, self.open(), frozenset(judged), self.customers, now=self.now)
        self.incidents |= {incident.incident_id: incident for incident in changed}
        return changed

    def open(self) -> list[Incident]:
        return [incident for incident in self.incidents.values() if incident.state is IncidentState.OPEN]


def test_an_observed_outage_opens_at_once_and_closes_after_two_clean_cycles() -> None:
    cycles = Cycles()
    (opened,) = cycles.turn(a_finding(OBSERVED, "A"))
    assert (opened.opened_at, opened.state) == (T0 + minutes(5), IncidentState.OPEN)
    assert cycles.turn() == []
    (closed,) = cycles.turn()
    assert (closed.incident_id, closed.state, closed.closed_at) == (
        opened.incident_id, IncidentState.CLOSED, T0 + minutes(15),
    )  # fmt: skip


def test_one_clean_cycle_between_findings_does_not_count_towards_the_next_gap() -> None:
    cycles = Cycles()
    cycles.turn(a_finding(OBSERVED, "A"))
    for _ in range(5):
        cycles.turn()
        cycles.turn(a_finding(OBSERVED, "A"))
    assert len(cycles.incidents) == len(cycles.open()) == 1


@pytest.mark.parametrize(
    ("confidence", "cycles_needed"), [pytest.param(0.6, 1, id="sure"), pytest.param(0.59, 2, id="doubtful")]
)
def test_a_doubtful_flood_must_last_two_cycles(confidence: float, cycles_needed: int) -> None:
    cycles = Cycles()
    finding = a_finding(FLOOD, "N1", key="storm:sewer", confidence=confidence)
    opened_in = next(n for n in range(1, 5) if cycles.turn(finding))
    assert opened_in == cycles_needed


def test_a_doubtful_flood_that_comes_and_goes_never_opens() -> None:
    cycles = Cycles()
    for _ in range(5):
        assert cycles.turn(a_finding(FLOOD, "N1", key="storm:sewer", confidence=0.4)) == []
        assert cycles.turn() == []


def test_a_storm_seen_in_consecutive_cycles_is_one_incident_whatever_nodes_it_floods() -> None:
    cycles = Cycles()
    for nodes in (("N1",), ("N1", "N2"), ("N3",), ("N2",)):
        cycles.turn(a_finding(FLOOD, *nodes, key="storm:sewer"))
    (incident,) = cycles.incidents.values()
    assert incident.node_ids == ("N2",)


def test_nodes_in_the_band_stay_if_they_were_in_and_do_not_join() -> None:
    cycles = Cycles()
    cycles.turn(a_finding(FLOOD, "N1", "N2", key="storm:sewer"))
    cycles.turn(a_finding(FLOOD, "N2", key="storm:sewer", band=("N1", "N9")))
    assert [incident.node_ids for incident in cycles.open()] == [("N1", "N2")]


def test_a_band_alone_keeps_an_incident_open_and_opens_none() -> None:
    cycles = Cycles()
    in_band = a_finding(FLOOD, key="storm:sewer", band=("N1",))
    assert cycles.turn(in_band) == []
    cycles.turn(a_finding(FLOOD, "N1", key="storm:sewer"))
    for _ in range(5):
        cycles.turn(in_band)
    assert [incident.node_ids for incident in cycles.open()] == [("N1",)]


@pytest.mark.parametrize("unknown_by", ["not judged", "unknown finding"])
def test_unknown_is_no_all_clear(unknown_by: str) -> None:
    cycles = Cycles()
    (opened,) = cycles.turn(a_finding(FLOOD, "N1", key="storm:sewer"))
    for _ in range(10):
        if unknown_by == "not judged":
            assert cycles.turn(judged=ALL_KINDS - {FLOOD}) == []
        else:
            assert cycles.turn(a_finding(FLOOD, key="storm:sewer", unknown=True)) == []
    assert cycles.open() == [opened]


def blind(kind: IncidentKind, *elements: str, area: tuple[str, ...] = ()) -> Finding:
    return Finding(kind, "assumed", "", Severity.MINOR, 0.0, band_ids=area, unknown=True, blind_to=elements)


@pytest.mark.parametrize(
    ("kind", "key", "unseen", "is_held"),
    [
        pytest.param(OBSERVED, "pump_down:PU4", blind(OBSERVED, "PU4", area=("Z",)), True, id="the cause is unseen"),
        pytest.param(OBSERVED, "tank_empty:T3", blind(OBSERVED, "PU4", area=("B", "Z")), True, id="one of its nodes"),
        pytest.param(OBSERVED, "tank_empty:T3", blind(OBSERVED, "PU4"), True, id="nobody knows which nodes"),
        pytest.param(OBSERVED, "tank_empty:T3", blind(OBSERVED, "PU8", area=("Z",)), False, id="another area"),
        pytest.param(PREDICTED, "tank_empty:T3", blind(PREDICTED, "T3", area=("A",)), True, id="a predicted cut"),
        pytest.param(PREDICTED, "tank_empty:T3", blind(OBSERVED, "T3", area=("A",)), False, id="another kind"),
    ],
)
def test_what_could_rest_on_something_unseen_is_held_and_says_so(
    kind: IncidentKind, key: str, unseen: Finding, is_held: bool
) -> None:
    cycles = Cycles()
    (opened,) = cycles.turn(a_finding(kind, "A", "B", key=key))
    for _ in range(5):
        cycles.turn(unseen)
    if not is_held:
        assert cycles.open() == []
        return
    (held,) = cycles.open()
    words = "why; held open, there is no fresh measurement of " + ", ".join(unseen.blind_to)
    assert held == replace(opened, cause=words, updated_at=T0 + minutes(10))
    assert cycles.turn() == []
    (closed,) = cycles.turn()
    assert (closed.state, closed.cause) == (IncidentState.CLOSED, "why")


def test_no_node_leaves_a_held_outage_though_others_are_still_found() -> None:
    cycles = Cycles()
    cycles.turn(a_finding(OBSERVED, "A", "B"))
    cycles.turn(a_finding(OBSERVED, "A", "C"), blind(OBSERVED, "PU4", area=("B",)))
    (held,) = cycles.open()
    assert held.node_ids == ("A", "B", "C")
    assert held.cause.endswith("no fresh measurement of PU4")
    assert all(spell.ends_at is None for spell in held.dry_spells)
    cycles.turn(a_finding(OBSERVED, "A", "C"))
    (seen,) = cycles.open()
    assert (seen.node_ids, seen.cause) == (("A", "C"), "why")


def test_a_cut_that_is_held_is_not_foretold_as_well() -> None:
    cycles = Cycles()
    cycles.turn(a_finding(OBSERVED, "A", "B"))
    cycles.turn(a_finding(PREDICTED, "A"), blind(OBSERVED, "T7"))
    assert [incident.kind for incident in cycles.open()] == [OBSERVED]
    cycles.turn(a_finding(PREDICTED, "A", "Z"), blind(OBSERVED, "T7"))
    assert {incident.kind: incident.node_ids for incident in cycles.open()} == {
        OBSERVED: ("A", "B"), PREDICTED: ("A", "Z"),
    }  # fmt: skip


def test_a_prediction_that_goes_on_at_t0_keeps_its_start() -> None:
    cycles = Cycles()
    for _ in range(24):
        cycles.turn(a_finding(PREDICTED, "A", starts_at=cycles.now + minutes(5)))
    assert [incident.starts_at for incident in cycles.open()] == [T0 + minutes(5)]


def test_an_unjudged_cycle_neither_counts_as_clean_nor_as_found() -> None:
    cycles = Cycles()
    cycles.turn(a_finding(FLOOD, "N1", key="storm:sewer"))
    cycles.turn()
    cycles.turn(judged=ALL_KINDS - {FLOOD})
    assert len(cycles.open()) == 1
    cycles.turn()
    assert cycles.open() == []


def test_a_predicted_outage_that_begins_closes_as_the_observed_one_opens() -> None:
    cycles = Cycles()
    (predicted,) = cycles.turn(a_finding(PREDICTED, "A", starts_at=T0 + minutes(10)))
    changed = {incident.kind: incident for incident in cycles.turn(a_finding(OBSERVED, "A"))}
    assert changed[OBSERVED].state is IncidentState.OPEN
    assert changed[PREDICTED].state is IncidentState.CLOSED
    assert changed[PREDICTED].incident_id == predicted.incident_id
    assert changed[OBSERVED].incident_id in changed[PREDICTED].cause


def test_the_part_of_a_cause_still_to_come_stays_predicted() -> None:
    cycles = Cycles()
    cycles.turn(a_finding(PREDICTED, "A", "B"))
    cycles.turn(a_finding(OBSERVED, "A"), a_finding(PREDICTED, "B"))
    assert {incident.kind: incident.node_ids for incident in cycles.open()} == {OBSERVED: ("A",), PREDICTED: ("B",)}


def test_a_prediction_that_vanishes_while_other_nodes_of_the_cause_are_dry_waits_its_delay() -> None:
    cycles = Cycles()
    cycles.turn(a_finding(OBSERVED, "A"), a_finding(PREDICTED, "B"))
    cycles.turn(a_finding(OBSERVED, "A"))
    assert {incident.kind for incident in cycles.open()} == {OBSERVED, PREDICTED}
    cycles.turn(a_finding(OBSERVED, "A"))
    assert {incident.kind for incident in cycles.open()} == {OBSERVED}


def test_what_goes_on_keeps_its_start_and_what_is_to_come_follows_the_forecast() -> None:
    cycles = Cycles()
    cycles.turn(a_finding(OBSERVED, "A"), a_finding(PREDICTED, "B", starts_at=T0 + minutes(60)))
    cycles.turn(
        a_finding(OBSERVED, "A", starts_at=T0 + minutes(5)), a_finding(PREDICTED, "B", starts_at=T0 + minutes(90))
    )
    assert {i.kind: i.starts_at for i in cycles.open()} == {OBSERVED: T0, PREDICTED: T0 + minutes(90)}


def test_a_cut_at_a_fixed_moment_is_not_told_anew_because_forecasts_step_by_the_hour() -> None:
    """The cut runs from 08:20 to 11:50; each forecast knows it by whole hours from its own issue, never too early."""
    cycles = Cycles()
    begins, ends, hour = T0 + minutes(140), T0 + minutes(350), minutes(60)
    said = []
    for _ in range(24):
        issued = cycles.now + minutes(5)
        finding = replace(
            a_finding(PREDICTED, "A", starts_at=issued - (issued - begins) // hour * hour),
            expected_end_at=issued - (issued - ends) // hour * hour,
            resolution=hour,
        )
        cycles.turn(finding)
        (incident,) = cycles.open()
        assert incident.starts_at is not None
        assert begins <= incident.starts_at < begins + hour
        said.append((incident.starts_at, incident.expected_end_at))
    assert len(set(said)) <= 4


def test_an_incident_found_unchanged_is_not_changed() -> None:
    cycles = Cycles()
    cycles.turn(a_finding(OBSERVED, "A"))
    assert cycles.turn(replace(a_finding(OBSERVED, "A"), run_id="another run")) == []


def test_acknowledgement_survives_changes() -> None:
    cycles = Cycles()
    (opened,) = cycles.turn(a_finding(OBSERVED, "A"))
    cycles.incidents[opened.incident_id] = acknowledge(opened, by="ana", now=cycles.now)
    (changed,) = cycles.turn(a_finding(OBSERVED, "A", "B"))
    assert (changed.acknowledged_by, changed.node_ids) == ("ana", ("A", "B"))


# ------------------------------------------------------------------------------------------------ customers


def test_a_cut_at_a_dialysis_centre_is_severe_and_lists_it() -> None:
    customers = [Customer("K1", "C1", "A"), Customer("K2", "C2", "A", sensitive=Sensitivity.DIALYSIS)]
    (opened,) = Cycles(customers).turn(a_finding(OBSERVED, "A"))
    assert opened.severity is Severity.SEVERE
    assert opened.connection_ids == ("C1", "C2")
    assert opened.sensitive_connection_ids == ("C2",)


def test_drainage_nodes_with_the_name_of_a_supply_node_concern_none_of_its_customers() -> None:
    (opened,) = Cycles([Customer("K1", "C1", "J1")]).turn(a_finding(FLOOD, "J1", key="storm:sewer"))
    assert opened.connection_ids == ()


NODES = st.sampled_from("ABCDEF")


@given(
    dry=st.sets(NODES, min_size=1),
    homes=st.lists(st.tuples(NODES, st.sampled_from(Sensitivity)), max_size=30),
)
def test_every_customer_of_a_dry_node_is_listed_exactly_once(
    dry: set[str], homes: list[tuple[str, Sensitivity]]
) -> None:
    customers = [Customer(f"K{i}", f"C{i:02}", node, sensitive=s) for i, (node, s) in enumerate(homes)]
    (opened,) = Cycles(customers).turn(a_finding(OBSERVED, *sorted(dry)))
    expected, sensitive = [], []
    for i, (node, sensitivity) in enumerate(homes):
        if node in dry:
            expected.append(f"C{i:02}")
            if sensitivity != "none":
                sensitive.append(f"C{i:02}")
    assert list(opened.connection_ids) == expected
    assert list(opened.sensitive_connection_ids) == sensitive


# ---------------------------------------------------------------------------------------------- dry spells


def test_dry_spells_say_when_each_node_was_dry() -> None:
    """Cycle at 5: A. At 10: A and B. At 15: B. At 20 and 25: nothing, so the water was back at 20."""
    cycles = Cycles()
    cycles.turn(a_finding(OBSERVED, "A"))
    cycles.turn(a_finding(OBSERVED, "A", "B"))
    cycles.turn(a_finding(OBSERVED, "B"))
    cycles.turn()
    cycles.turn()
    (incident,) = cycles.incidents.values()
    assert [(spell.node_id, spell.starts_at, spell.ends_at) for spell in incident.dry_spells] == [
        ("A", T0, T0 + minutes(15)),
        ("B", T0 + minutes(10), T0 + minutes(20)),
    ]


# ------------------------------------------------------------------------------------------ silent sensors


def test_three_sensors_that_fall_silent_together_are_one_incident_that_shrinks() -> None:
    cycles = Cycles()
    (opened,) = cycles.turn(a_silence("S3"), a_silence("S1"), a_silence("S2"))
    assert opened.sensor_ids == ("S1", "S2", "S3")
    (changed,) = cycles.turn(a_silence("S1"), a_silence("S2"))
    assert (changed.incident_id, changed.sensor_ids) == (opened.incident_id, ("S1", "S2"))
    cycles.turn()
    (closed,) = cycles.turn()
    assert closed.incident_id == opened.incident_id
    assert len(cycles.incidents) == 1


def test_two_sensors_that_fall_silent_together_are_two_incidents() -> None:
    assert len(Cycles().turn(a_silence("S1"), a_silence("S2"))) == 2


def test_sensors_that_fall_silent_later_join_no_earlier_incident() -> None:
    cycles = Cycles()
    cycles.turn(a_silence("S1"))
    cycles.turn(a_silence("S1"), a_silence("S2"), a_silence("S3"))
    assert sorted(incident.sensor_ids for incident in cycles.open()) == [("S1",), ("S2",), ("S3",)]


#   cycle    1         2 (all of G1)        3 .. 4            5 (S2 is back)
#   silent   S1        S1 S2                S1 S2             S1
def test_a_gateway_that_falls_silent_is_one_incident_of_all_its_sensors() -> None:
    cycles = Cycles()
    cycles.turn(a_silence("S1"))
    for _ in range(3):
        cycles.turn(a_silence("S1", gateway="G1"), a_silence("S2", gateway="G1"))
    (of_gateway,) = cycles.open()
    assert (of_gateway.cause_key, of_gateway.sensor_ids) == ("gateway:G1", ("S1", "S2"))
    assert "gateway G1" in of_gateway.cause
    cycles.turn(a_silence("S1"))
    assert [(i.cause_key, i.sensor_ids) for i in cycles.open()] == [("gateway:G1", ("S1",))]


def test_a_restart_clears_no_silence() -> None:
    cycles = Cycles()
    (opened,) = cycles.turn(a_silence("S1"), a_silence("S2"), a_silence("S3"))
    cycles.detector = Detector()
    for _ in range(5):
        assert cycles.turn(*(a_silence(s, unknown=True) for s in ("S1", "S2", "S3"))) == []
    assert cycles.open() == [opened]


# ----------------------------------------------------------------------------------------------- properties

FINDINGS = st.lists(
    st.builds(
        lambda kind, nodes, key, confidence: replace(
            a_finding(kind, *sorted(nodes), key=key, confidence=confidence), cause=f"seen at {sorted(nodes)}"
        ),
        st.sampled_from([OBSERVED, PREDICTED, FLOOD, IncidentKind.TANK_LOW]),
        st.sets(NODES, min_size=1),
        st.sampled_from(["k1", "k2"]),
        st.sampled_from([0.3, 0.7, 0.9]),
    )
    | st.builds(a_silence, NODES),
    max_size=6,
)


@given(history=st.lists(FINDINGS, max_size=8))
def test_never_two_open_incidents_with_one_key(history: list[list[Finding]]) -> None:
    cycles = Cycles()
    for findings in history:
        cycles.turn(*findings)
        keys = [(incident.kind, incident.cause_key) for incident in cycles.open()]
        assert len(keys) == len(set(keys))
        silent = [sensor for i in cycles.open() if i.kind is SILENT for sensor in i.sensor_ids]
        assert len(silent) == len(set(silent))


@given(history=st.lists(FINDINGS, max_size=5), seed=st.randoms(use_true_random=False))
def test_the_order_of_findings_does_not_matter(history: list[list[Finding]], seed: object) -> None:
    straight, shuffled = Cycles(), Cycles()
    for findings in history:
        mixed = list(findings)
        seed.shuffle(mixed)  # type: ignore[attr-defined]
        assert straight.turn(*findings) == shuffled.turn(*mixed)


@given(found=st.lists(st.booleans(), max_size=30), on=st.integers(1, 4), off=st.integers(1, 4))
def test_nothing_opens_or_closes_before_its_delay(found: list[bool], on: int, off: int) -> None:
    """Against a brute-force look at the last `on` or `off` cycles."""
    cycles = Cycles(rules=Rules({OBSERVED: Delays(open_after=on, close_after=off)}))
    is_open = False
    for i, now_found in enumerate(found):
        cycles.turn(*([a_finding(OBSERVED, "A")] if now_found else []))
        if not is_open and found[max(i + 1 - on, 0) : i + 1] == [True] * on:
            is_open = True
        elif is_open and found[max(i + 1 - off, 0) : i + 1] == [False] * off:
            is_open = False
        assert bool(cycles.open()) is is_open
