"""hydrants.csv: where the supply network can be flushed and drained."""

from __future__ import annotations

from pathlib import Path

from ingest.files.tables import read_table
from twin.hydrants import Hydrant, HydrantKind

REQUIRED = ("hydrant_id", "node")
OPTIONAL = ("kind",)


def read_hydrants(path: Path) -> list[Hydrant]:
    """Read all hydrants or none; one without a kind is a fire hydrant. Whether its node exists the network must say.

    Raises:
        InputError: Naming file, line, column and reason of the first row that is not acceptable.
    """
    hydrants: list[Hydrant] = []
    lines: dict[str, int] = {}
    for row in read_table(path, required=REQUIRED, optional=OPTIONAL):
        hydrant_id = row.required("hydrant_id")
        if hydrant_id in lines:
            raise row.wrong("hydrant_id", f"{hydrant_id!r} is already in line {lines[hydrant_id]}")
        lines[hydrant_id] = row.line
        kind = HydrantKind(row.choice("kind", list(HydrantKind))) if row.text("kind") else HydrantKind.FIRE
        hydrants.append(Hydrant(hydrant_id, row.required("node"), kind))
    return hydrants
