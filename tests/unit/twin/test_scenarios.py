import json
import math
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twin.errors import InputError
from twin.scenarios import Action, ActionKind, Scenario, parse_scenario


def test_a_sequence_in_time() -> None:
    found = parse_scenario(
        {
            "name": " burst, then shut ",
            "hours": 12,
            "required_pressure_m": 15,
            "actions": [
                {"kind": "burst", "node": "J1", "diameter_mm": 100, "until_h": 1.5},
                {"kind": "close", "links": ["P1", "P2", "P1"], "from_h": 1.5},
                {"kind": "power_cut", "station": "PU1"},
                {"kind": "demand_surge", "factor": 1.2},
            ],
        }
    )
    assert found == Scenario(
        "burst, then shut",
        (
            Action(ActionKind.BURST, ("J1",), 0, 5400, math.pi / 4 * 0.01),
            Action(ActionKind.CLOSE, ("P1", "P2"), 5400),
            Action(ActionKind.POWER_CUT, ("PU1",)),
            Action(ActionKind.DEMAND_SURGE, (), amount=1.2),
        ),
        12 * 3600,
        15.0,
    )
    assert found.base == Scenario("base", (), 12 * 3600, 15.0)


@pytest.mark.parametrize(
    ("words", "cause"),
    [
        ([], "scenario must be an object"),
        ({}, "scenario.name must be a text"),
        ({"name": "s", "acts": []}, "scenario has an unknown field 'acts'; known are name, actions"),
        ({"name": "s", "actions": {}}, "scenario.actions must be a list"),
        ({"name": "s", "hours": 400}, "scenario.hours must be from 0.0166667 to 336, not 400"),
        ({"name": "s", "hours": 1.01}, "scenario.hours must be whole minutes, in hours; 1.01 h is not"),
        ({"name": "s", "hours": "24"}, "scenario.hours must be a number"),
        ({"name": "s", "actions": [{"kind": "explode"}]}, r"actions\[0\].kind must be one of close, open, pump_trip"),
        ({"name": "s", "actions": [{"kind": "close"}]}, r"actions\[0\].links must be a list of ids"),
        ({"name": "s", "actions": [{"kind": "close", "links": ["P"], "node": "J"}]}, "unknown field 'node'"),
        ({"name": "s", "actions": [{"kind": "burst", "node": "J"}]}, "either as diameter_mm or as area_m2"),
        ({"name": "s", "actions": [{"kind": "burst", "node": "J", "area_m2": True}]}, "area_m2 must be a number"),
        ({"name": "s", "actions": [{"kind": "fire_flow", "node": "J"}]}, r"actions\[0\].flow_m3s must be a number"),
        ({"name": "s", "actions": [{"kind": "demand_surge", "factor": -1}]}, "factor must be from 0 to 100, not -1"),
        ({"name": "s", "actions": [{"kind": "demand_surge", "factor": math.nan}]}, "factor must be a number"),
        ({"name": "s", "actions": [{"kind": "close", "links": ["P"], "from_h": 24}]}, "must begin before it ends"),
        (
            {"name": "s", "actions": [{"kind": "close", "links": ["P"], "from_h": 3, "until_h": 3}]},
            "must begin before it ends",
        ),
    ],
)
def test_what_is_not_understood_is_said_with_its_place(words: Any, cause: str) -> None:
    with pytest.raises(InputError, match=cause):
        parse_scenario(words)


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8) | st.sampled_from(list(ActionKind)),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["name", "actions", "kind", "links", "node", "factor", "from_h", "until_h", "hours"]),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)


@given(JSON)
def test_anything_is_understood_or_refused_by_name(words: Any) -> None:
    with suppress(InputError):
        found = parse_scenario(words)
        for action in found.actions:
            assert 0 <= action.from_s < found.duration_s
            assert action.until_s is None or action.from_s < action.until_s
            assert math.isfinite(action.amount)
        assert json.dumps(found.required_pressure_m)
