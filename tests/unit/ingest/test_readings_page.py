"""docs/readings.md tells operators all that the code knows, and nothing else."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ingest.decoders.base import Refusal
from ingest.files.sensors import COLUMNS, OPTIONAL
from ingest.quality.verdict import QUALITY
from twin.readings import Kind, Quality, Reason
from twin.units import Quantity

PAGE = (Path(__file__).parents[3] / "docs" / "readings.md").read_text(encoding="utf-8")


def rows(title: str) -> list[list[str]]:
    """Return the cells of the table in a section of the page."""
    section = PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def named(title: str) -> list[str]:
    return [name for row in rows(title) for name in re.findall(r"`(\w+)`", row[0])]


def test_every_column_of_the_sensors_file_is_explained() -> None:
    assert named("sensors.csv") == [*COLUMNS, *OPTIONAL]
    meaning = {row[0].strip("`"): row[1] for row in rows("sensors.csv")}
    assert meaning["quantity"].split(", ") == [str(quantity) for quantity in Quantity]
    assert all(str(kind) in meaning["kind"] for kind in Kind)


def test_every_reason_is_explained_with_its_quality() -> None:
    told = {name: row[1] for row in rows("Reasons") for name in re.findall(r"`(\w+)`", row[0])}
    expected = {str(reason): str(QUALITY.get(reason, Quality.GOOD)) for reason in Reason}
    assert told == {**expected, "interpolated": "estimated"}


@pytest.mark.parametrize("refusal", list(Refusal))
def test_every_dead_letter_says_what_to_do(refusal: Refusal) -> None:
    assert str(refusal) in named("Dead letters")


def test_no_dead_letter_is_made_up() -> None:
    assert set(named("Dead letters")) == {str(refusal) for refusal in Refusal}
