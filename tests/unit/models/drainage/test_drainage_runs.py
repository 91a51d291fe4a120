"""What a run is made of, and which results are believed."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from data.drainage.small_models import HOUR, T0, one_street

from models.drainage.engine import EngineRun, NodeRun
from models.drainage.inp import parse_inp
from models.drainage.model_file import read_model
from models.drainage.runs import RunPlan, believed
from models.rainfall import RainSeries
from twin.errors import InputError, ModelError

FEED = "[INFLOWS]\nJ1 FLOW FEED\n"


def a_plan(
    model: bytes, *, hours: float = 2, rain_mm: tuple[float, ...] = (5.0, 0.0), interval_s: int = 3600
) -> RunPlan:
    rain = {"G1": RainSeries("G1", T0, interval_s, rain_mm)}
    return RunPlan(read_model(model), T0, T0 + hours * HOUR, rain, None)


def lines_of(plan: RunPlan, section: str) -> list[tuple[str, ...]]:
    return [line.tokens for line in parse_inp(plan.job().inp_text.encode()).lines(section)]


def test_the_gage_has_the_interval_of_its_rain_and_its_old_series_is_gone() -> None:
    plan = a_plan(one_street(gage="G1 VOLUME 0:05 1.2 TIMESERIES STORM"), interval_s=900, rain_mm=(1.0, 0.0, 2.0))

    assert lines_of(plan, "RAINGAGES") == [("G1", "INTENSITY", "0:15:00", "1.2", "TIMESERIES", "h2twin_rain0")]
    assert lines_of(plan, "TIMESERIES") == [
        ("h2twin_rain0", "03/07/2026", "00:00:00", "4.0"),
        ("h2twin_rain0", "03/07/2026", "00:30:00", "8.0"),
    ]


def test_a_gage_file_is_replaced_by_rain() -> None:
    plan = a_plan(one_street(gage='G1 VOLUME 0:05 1.0 FILE "rain.dat" STA1 MM'))

    assert "rain.dat" not in plan.job().inp_text


def test_rain_is_in_inches_for_a_model_in_us_units() -> None:
    assert float(lines_of(a_plan(one_street(units="CFS"), rain_mm=(25.4,)), "TIMESERIES")[0][3]) == pytest.approx(1.0)


def test_undated_entries_count_from_the_start_of_the_file() -> None:
    series = "[TIMESERIES]\nFEED 0:30 1 1.5 2\nFEED 02/02/2020 3:00 3 4:00 4\nFEED 5:00 5\n"

    entries = [
        line[1:] for line in lines_of(a_plan(one_street(extra=FEED + series)), "TIMESERIES") if line[0] == "FEED"
    ]

    assert entries == [
        ("01/01/2020", "0.5", "1"),
        ("01/01/2020", "1.5", "2"),
        ("02/02/2020", "3:00", "3"),
        ("02/02/2020", "4:00", "4"),
        ("02/02/2020", "5:00", "5"),
    ]


def test_a_series_that_also_feeds_a_node_stays_for_that() -> None:
    names = {line[0] for line in lines_of(a_plan(one_street(extra="[INFLOWS]\nJ1 FLOW storm\n")), "TIMESERIES")}

    assert names == {"STORM", "h2twin_rain0"}


def test_a_series_from_a_file_is_refused_by_name() -> None:
    with pytest.raises(InputError, match=r"time series 'FEED' comes from the file 'feed\.dat'"):
        a_plan(one_street(extra=FEED + "[TIMESERIES]\nFEED FILE feed.dat\n")).job()


def test_our_own_series_name_never_meets_one_of_the_model() -> None:
    extra = "[INFLOWS]\nJ1 FLOW H2TWIN_RAIN0\n[TIMESERIES]\nH2TWIN_RAIN0 0 1\n"

    assert lines_of(a_plan(one_street(extra=extra)), "RAINGAGES")[0][5] == "h2twin_rain_0"


def test_a_run_must_end_after_it_starts() -> None:
    with pytest.raises(InputError, match="must end after it starts"):
        a_plan(one_street(), hours=0).job()


def a_result(**changes: float) -> EngineRun:
    node = NodeRun(1.0, 0.5, 0.0, 0.0, 0.0, None)
    result = EngineRun((node, node, node), 5.0, 0.1, -0.1, None)
    return replace(result, **changes)  # type: ignore[arg-type]


def test_a_good_run_is_believed_without_a_word() -> None:
    assert believed(a_plan(one_street()), a_result()) == ()


@pytest.mark.parametrize("delivered_mm", [5.006, 4.994, 0.0])
def test_lost_or_invented_rain_is_not_believed(delivered_mm: float) -> None:
    with pytest.raises(ModelError, match="of rain went in"):
        believed(a_plan(one_street()), a_result(rain_delivered_mm=delivered_mm))


def test_a_tenth_of_a_per_cent_of_rain_is_tolerated() -> None:
    assert believed(a_plan(one_street()), a_result(rain_delivered_mm=5.0049)) == ()


@pytest.mark.parametrize("name", ["continuity_error_pct", "runoff_continuity_error_pct"])
def test_continuity_judges_long_cold_runs_only(name: str) -> None:
    bad, short = a_result(**{name: -5.1}), a_plan(one_street())
    day = replace(short, end=T0 + timedelta(hours=24))

    with pytest.raises(ModelError, match=r"continuity error is -5.1 %"):
        believed(day, bad)
    assert "a short run" in believed(short, bad)[0]
    assert "a warm run" in believed(replace(day, hotstart=b"x"), bad)[0]


@pytest.mark.parametrize("field", ["max_depth_m", "final_depth_m", "flooded_m3"])
def test_what_is_no_number_is_not_believed(field: str) -> None:
    node = replace(NodeRun(1.0, 0.5, 0.0, 0.0, 0.0, None), **{field: float("nan")})  # type: ignore[arg-type]
    bad = a_result()
    bad = replace(bad, nodes=(bad.nodes[0], node, bad.nodes[2]))

    with pytest.raises(ModelError, match="at node J2"):
        believed(a_plan(one_street()), bad)
