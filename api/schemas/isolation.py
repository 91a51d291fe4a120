"""Cutting a pipe or node off."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import Field

from api.auth import Caller, Role
from api.schemas.base import In, Out, example


class SegmentOut(Out):
    """What is cut off."""

    nodes: list[str]
    links: list[str]


class ValvePlaceOut(Out):
    """A valve to close, on this link at the end by this node."""

    valve_id: str
    link_id: str
    near_node: str


class TankFedOut(Out):
    """Nodes that only these tanks still feed, and for how many hours (null: nobody there takes water)."""

    tanks: list[str]
    nodes: list[str]
    lasts_h: float | None


class RefeedLinkOut(Out):
    """A link that the model has closed and that would help if it were opened.

    `nodes` get water back. By a run of 24 h with it open, null without one: `min_pressure_m` at each node it helps,
    `nodes_still_low` of `nodes`, `no_longer_low` elsewhere, and `newly_low` who pays for it.
    """

    link_id: str
    nodes: list[str]
    min_pressure_m: dict[str, float] | None = None
    nodes_still_low: list[str] | None = None
    no_longer_low: list[str] | None = None
    newly_low: list[str] | None = None
    hydraulics_error: str | None = None


class RefeedOut(RefeedLinkOut):
    """A shut valve that would help if it were opened."""

    valve_id: str


class CustomersHitOut(Out):
    """Connections without water and with too little pressure; the ids of sensitive customers are for operators only."""

    count: int
    sensitive_count: int
    sensitive: list[str] | None
    low_pressure_count: int | None
    count_by_stuck_valves: int
    count_by_shut_valves: int


class IsolationOut(Out):
    """The valves to close, in order, and what that does.

    `valves_assumed`: no valve layer is imported, so every pipe is taken to have a valve at both ends. Null in
    `low_pressure_nodes`: not asked for, or `hydraulics_error` says why it is not known. `stuck_valves` cannot be turned
    and made the segment larger; without them only `dry_nodes_if_all_valves_turned` were dry; with
    the valves open that are shut already, only `dry_nodes_if_no_valve_shut`. `levels_at` is when the
    tank levels behind `lasts_h` were true (null: they are the model file's).
    """

    model_config = example(
        {
            "link": "P-12",
            "node": None,
            "valves": ["V-3", "V-7"],
            "valve_places": [
                {"valve_id": "V-3", "link_id": "P-12", "near_node": "J11"},
                {"valve_id": "V-7", "link_id": "P-13", "near_node": "J12"},
            ],
            "valves_assumed": False,
            "segment": {"nodes": ["J12"], "links": ["P-12"]},
            "dry_nodes": ["J12"],
            "unintended_nodes": [],
            "tank_fed": [{"tanks": ["T1"], "nodes": ["J14"], "lasts_h": 5.2}],
            "stuck_valves": [],
            "dry_nodes_if_all_valves_turned": ["J12"],
            "dry_nodes_if_no_valve_shut": ["J12"],
            "low_pressure_nodes": ["J14"],
            "hydraulics_error": None,
            "refeed": [],
            "refeed_links": [],
            "customers": {
                "count": 41,
                "sensitive_count": 1,
                "sensitive": ["C-0001"],
                "low_pressure_count": 12,
                "count_by_stuck_valves": 0,
                "count_by_shut_valves": 0,
            },
            "valves_not_in_network": [],
            "customer_nodes_not_in_network": [],
            "levels_at": "2026-01-01T00:00:00Z",
            "engine": "EPANET 2.3.5",
        }
    )

    link: str | None = None
    node: str | None = None
    valves: list[str]
    valve_places: list[ValvePlaceOut]
    valves_assumed: bool
    segment: SegmentOut
    dry_nodes: list[str]
    unintended_nodes: list[str]
    tank_fed: list[TankFedOut]
    stuck_valves: list[str]
    dry_nodes_if_all_valves_turned: list[str]
    dry_nodes_if_no_valve_shut: list[str]
    low_pressure_nodes: list[str] | None
    hydraulics_error: str | None = None
    refeed: list[RefeedOut]
    refeed_links: list[RefeedLinkOut]
    customers: CustomersHitOut
    valves_not_in_network: list[str]
    customer_nodes_not_in_network: list[str]
    levels_at: datetime | None
    engine: str


class IsolationIn(In):
    """A link or a node to cut off, and what is known of valves now: which cannot be turned, which are shut already."""

    model_config = example({"link": "P-12", "inoperable": ["V-3"], "closed": [], "hydraulics": True}, In)

    link: str | None = Field(default=None, min_length=1, max_length=200)
    node: str | None = Field(default=None, min_length=1, max_length=200)
    inoperable: list[str] = Field(default_factory=list, max_length=1000)
    closed: list[str] = Field(default_factory=list, max_length=1000)
    hydraulics: bool = True


def isolation_out(answer: Mapping[str, Any], caller: Caller) -> IsolationOut:
    """Show an isolation to a caller."""
    hit = answer["customers"]
    customers = {
        **hit,
        "sensitive_count": len(hit["sensitive"]),
        "sensitive": hit["sensitive"] if caller.may(Role.OPERATOR) else None,
    }
    return IsolationOut.model_validate({**answer, "customers": customers})
