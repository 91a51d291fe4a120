"""valves.csv: the isolation valves of the supply network."""

from __future__ import annotations

from pathlib import Path

from ingest.files.tables import read_table
from twin.valves import Valve

REQUIRED = ("valve_id", "link_id", "near_node", "operable", "normally_closed")
_TRUTH = {"true": True, "false": False}


def read_valves(path: Path) -> list[Valve]:
    """Read all valves or none. Whether their links and nodes exist is for the network to say.

    Raises:
        InputError: Naming file, line, column and reason of the first row that is not acceptable.
    """
    valves: dict[str, Valve] = {}
    lines: dict[str, int] = {}
    for row in read_table(path, required=REQUIRED, optional=()):
        valve = Valve(
            valve_id=row.required("valve_id"),
            link_id=row.required("link_id"),
            near_node=row.required("near_node"),
            operable=_TRUTH[row.choice("operable", list(_TRUTH))],
            normally_closed=_TRUTH[row.choice("normally_closed", list(_TRUTH))],
        )
        if valve.valve_id in lines:
            raise row.wrong("valve_id", f"{valve.valve_id!r} is already in line {lines[valve.valve_id]}")
        lines[valve.valve_id] = row.line
        valves[valve.valve_id] = valve
    return list(valves.values())
