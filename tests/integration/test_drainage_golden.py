"""EPA's own examples through h2twin, against the engine's own report of the untouched file.

Tolerances: half the last digit that the report prints (0.01 ft, 0.01 h, 0.001 million gallons, 0.001 % continuity)
and a hair for rounding.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from data.drainage.small_models import HERE, example, rain_csv

from models.drainage.run import flood_run
from models.pool import EnginePool

FOOT_M = 0.3048
MILLION_GALLONS_M3 = 3785.411784
HAIR = 1.02
RUN_PLAIN = "import sys; from swmm.toolkit import solver; solver.swmm_run(*sys.argv[1:])"


@pytest.fixture(scope="module")
def pool() -> Iterator[EnginePool]:
    with EnginePool(1) as engines:
        yield engines


def plain_report(name: str, folder: Path) -> str:
    paths = [str(HERE / name), str(folder / "plain.rpt"), str(folder / "plain.out")]
    subprocess.run([sys.executable, "-c", RUN_PLAIN, *paths], check=True, capture_output=True, timeout=60)
    return Path(paths[1]).read_text()


def table(report: str, title: str) -> dict[str, list[str]]:
    """The rows of one table of the report, by the name in their first column."""
    body = report.split(title, 1)[1].split("-----\n", 2)
    if len(body) < 3 or "No nodes were flooded" in body[0]:
        return {}
    return {row.split()[0]: row.split()[1:] for row in body[2].split("\n  \n")[0].splitlines() if row.split()}


def continuity(report: str, title: str) -> float:
    return float(re.findall(r"Continuity Error \(%\) \.+ +(\S+)", report.split(title, 1)[1])[0])


# Example 1's own series: hourly intensities (in/h) from midnight on 1 January 1998.
EXAMPLE_1_RAIN_IN = [0, 0.25, 0.5, 0.8, 0.4, 0.1, *[0] * 22, 0.4, 0.2, *[0] * 6]

CASES = [
    pytest.param("Example1.inp", [inch * 25.4 for inch in EXAMPLE_1_RAIN_IN], "RG1", datetime(1998, 1, 1, tzinfo=UTC)),
    pytest.param("Example2.inp", [0.0] * 8, "*", datetime(2002, 1, 1, tzinfo=UTC)),
    pytest.param("Example3.inp", [0.0] * 24, "*", datetime(2001, 1, 1, tzinfo=UTC)),
    pytest.param("extran9.inp", [0.0] * 10, "*", datetime(2005, 4, 11, tzinfo=UTC)),
]


@pytest.mark.parametrize(("name", "rain_mm", "gage", "start"), CASES)
def test_an_example_gives_what_its_report_says(
    name: str, rain_mm: list[float], gage: str, start: datetime, pool: EnginePool, tmp_path: Path
) -> None:
    report = plain_report(name, tmp_path)
    length_m = 1.0 if "extran9" in name else FOOT_M
    depths, floods = table(report, "Node Depth Summary"), table(report, "Node Flooding Summary")

    answer, _ = flood_run(
        example(name), rain_csv(rain_mm, gage=gage, start=start), state_in=None, start=None, pool=pool
    )

    assert answer["nodes"].keys() == depths.keys()
    for node_id, row in depths.items():
        node = answer["nodes"][node_id]
        assert node["max_depth_m"] == pytest.approx(float(row[2]) * length_m, abs=0.005 * length_m * HAIR), node_id
        hours, volume = (float(floods[node_id][0]), float(floods[node_id][4])) if node_id in floods else (0.0, 0.0)
        assert node["flooded_h"] == pytest.approx(hours, abs=0.005 * HAIR), node_id
        assert node["flooded_m3"] == pytest.approx(
            volume * MILLION_GALLONS_M3, abs=0.0005 * MILLION_GALLONS_M3 * HAIR
        ), node_id
    assert (sum(node["first_flooded_at"] is not None for node in answer["nodes"].values())) == len(floods)
    flow = continuity(report, "Flow Routing Continuity")
    assert answer["continuity_error_pct"] == pytest.approx(flow, abs=0.0005 * HAIR)


def test_example_1_delivers_its_rain_and_loses_no_runoff(pool: EnginePool, tmp_path: Path) -> None:
    report = plain_report("Example1.inp", tmp_path)
    rain = rain_csv([inch * 25.4 for inch in EXAMPLE_1_RAIN_IN], gage="RG1", start=datetime(1998, 1, 1, tzinfo=UTC))

    answer, _ = flood_run(example("Example1.inp"), rain, state_in=None, start=None, pool=pool)

    reported_in = float(re.findall(r"Total Precipitation \.+ +\S+ +(\S+)", report)[0])
    assert answer["rain_in_mm"] == pytest.approx(sum(EXAMPLE_1_RAIN_IN) * 25.4)
    assert answer["rain_delivered_mm"] == pytest.approx(reported_in * 25.4, abs=0.0005 * 25.4 * HAIR)
    assert answer["runoff_continuity_error_pct"] == pytest.approx(
        continuity(report, "Runoff Quantity Continuity"), abs=0.0005 * HAIR
    )
