"""valves.csv: the isolation valves of the supply network."""

from __future__ import annotations

from pathlib import Path

from ingest.files.tables import Row, read_table
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
            operable=_truth(row, "operable"),
            normally_closed=_truth(row, "normally_closed"),
        )
        if valve.valve_id in lines:
            raise row.wrong("valve_id", f"{valve.valve_id!r} is already in line {lines[valve.valve_id]}")
        lines[valve.valve_id] = row.line
        valves[valve.valve_id] = valve
    return list(valves.values())


def _truth(row: Row, column: str) -> bool:
    """Read true or false; spreadsheets write them in capitals."""
    text = row.text(column)
    if text.lower() not in _TRUTH:
        raise row.wrong(column, f"{text!r} is neither true nor false")
    return _TRUTH[text.lower()]
