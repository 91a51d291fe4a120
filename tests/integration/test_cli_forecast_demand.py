"""`supply forecast-demand` and `backtest-demand` as another program calls them."""

import json
import math
import subprocess
import sys
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest

ROME = ZoneInfo("Europe/Rome")
FIRST = datetime(2022, 7, 1, tzinfo=ROME)
ORIGIN = datetime(2022, 10, 28, tzinfo=ROME)
HOURS = (ORIGIN - FIRST) // timedelta(hours=1) + 168


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "api", "supply", *map(str, arguments)], capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("tables")
    times = pd.date_range(FIRST, periods=HOURS, freq="h")
    rng = np.random.default_rng(1)
    day = 10 + 5 * np.sin((times.hour - 6) / 24 * 2 * math.pi)
    frames = {
        "inflows": pd.DataFrame({"Upper town": day + rng.normal(0, 0.3, HOURS), "Port": 3 * day}, index=times),
        "weather": pd.DataFrame({"Rain": 0.0, "Temperature": 20 + day}, index=times),
        "calendar": pd.DataFrame(
            {"CEST": [t.dst() != timedelta(0) for t in times], "Holiday": False, "remark": "-"}, index=times
        ),
    }
    for name, frame in frames.items():
        frame.to_csv(folder / f"{name}.csv", index_label="time")
        frame.to_parquet(folder / f"{name}.parquet")
    return {path.name: path for path in folder.iterdir()}


def arguments(tables: dict[str, Path], ending: str) -> list[object]:
    names = ("inflows", "weather", "calendar")
    return [part for name in names for part in (f"--{name}", tables[f"{name}.{ending}"])]


@pytest.fixture(scope="module")
def answered(tables: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, dict[str, object]]:
    out = tmp_path_factory.mktemp("out")
    done = run(
        "forecast-demand",
        *arguments(tables, "csv"),
        *(
            "--origin",
            ORIGIN.isoformat(),
            "--hours",
            168,
            "--out",
            out / "f.csv",
            "--quantiles",
            out / "q.csv",
            "--json",
        ),
    )
    assert done.returncode == 0, done.stderr
    return out / "f.csv", out / "q.csv", json.loads(done.stdout)


def test_one_column_a_district_named_as_in_the_inflows_and_times_with_offset(
    answered: tuple[Path, Path, dict[str, object]],
) -> None:
    lines = answered[0].read_text(encoding="utf-8").splitlines()
    assert lines[0] == "time,Upper town,Port"
    assert len(lines) == 1 + 168
    assert lines[1].startswith("2022-10-28T00:00:00+02:00,")
    times = [datetime.fromisoformat(line.split(",")[0]) for line in lines[1:]]
    assert [later - earlier for earlier, later in pairwise(times)] == [timedelta(hours=1)] * 167
    assert lines[-1].startswith("2022-11-03T22:00:00+01:00,")


def test_the_forecast_follows_the_day(answered: tuple[Path, Path, dict[str, object]]) -> None:
    frame = pd.read_csv(answered[0], index_col=0)
    hours = np.array([datetime.fromisoformat(str(time)).hour for time in frame.index])
    expected = 10 + 5 * np.sin((hours - 6) / 24 * 2 * math.pi)
    np.testing.assert_allclose(frame["Port"], 3 * expected, rtol=0.03)
    np.testing.assert_allclose(frame["Upper town"], expected, rtol=0.15)


def test_quantiles_have_a_column_for_each_district_and_level(answered: tuple[Path, Path, dict[str, object]]) -> None:
    frame = pd.read_csv(answered[1], index_col=0)
    assert [name for name in frame.columns if name.startswith("Port")] == [
        "Port|0.05",
        "Port|0.25",
        "Port|0.5",
        "Port|0.75",
        "Port|0.95",
    ]
    assert (frame["Upper town|0.05"] <= frame["Upper town|0.95"]).all()


def test_the_answer_says_what_each_district_stands_on(answered: tuple[Path, Path, dict[str, object]]) -> None:
    answer = answered[2]
    assert answer["origin"] == "2022-10-27T22:00:00Z"
    assert [(d["district"], d["stands_on"], d["unknown_hours"]) for d in answer["districts"]] == [  # type: ignore[attr-defined]
        ("Upper town", "learned", 0),
        ("Port", "learned", 0),
    ]


def test_parquet_in_and_out_says_the_same(
    tables: dict[str, Path], answered: tuple[Path, Path, dict[str, object]], tmp_path: Path
) -> None:
    out = tmp_path / "f.parquet"
    done = run("forecast-demand", *arguments(tables, "parquet"), "--origin", ORIGIN.isoformat(), "--out", out)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    ours, theirs = pd.read_parquet(out), pd.read_csv(answered[0], index_col=0)
    assert list(ours.columns) == ["Upper town", "Port"]
    assert list(ours.index) == [pd.Timestamp(time).tz_convert("UTC") for time in theirs.index]
    np.testing.assert_allclose(ours["Port"], theirs["Port"], rtol=1e-5)


def test_what_is_wrong_is_one_sentence_and_writes_nothing(tables: dict[str, Path], tmp_path: Path) -> None:
    out = tmp_path / "f.csv"
    for origin, words in (
        ("2022-10-28T00:00:00", "has no zone"),
        ("2022-10-28T00:30:00Z", "not the beginning of an hour"),
        ("2020-01-01T00:00:00Z", "no inflow is known before"),
        ("2023-01-01T00:00:00Z", "the calendar says nothing of"),
    ):
        done = run("forecast-demand", *arguments(tables, "csv"), "--origin", origin, "--out", out)
        assert done.returncode == 3
        assert words in done.stderr
        assert "Traceback" not in done.stderr
        assert not out.exists()


def test_a_back_test_compares_with_what_came_and_with_the_last_four_weeks(tables: dict[str, Path]) -> None:
    done = run(
        "backtest-demand",
        *arguments(tables, "parquet"),
        "--origins",
        "2022-10-20T00:00:00+02:00",
        "--hours",
        48,
        "--json",
    )
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert [(f["district"], f["origin"]) for f in answer["forecasts"]] == [
        ("Upper town", "2022-10-19T22:00:00Z"),
        ("Port", "2022-10-19T22:00:00Z"),
    ]
    frame = pd.read_parquet(tables["inflows.parquet"])["Upper town"]
    begin = frame.index.get_loc(pd.Timestamp("2022-10-20", tz=ROME))
    weeks = np.mean([frame.iloc[begin - 168 * k : begin - 168 * k + 24] for k in (1, 2, 3, 4)], axis=0)
    error = np.abs(weeks - frame.iloc[begin : begin + 24])
    assert answer["forecasts"][0]["baseline"]["pi1"] == pytest.approx(error.mean())
    assert answer["forecasts"][0]["baseline"]["pi2"] == pytest.approx(error.max())
    assert 0 < answer["mean"]["scores"]["pi1"] < 0.5
