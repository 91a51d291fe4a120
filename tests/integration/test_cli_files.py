"""`h2twin import`, `supply`, `flood` and `weather`: files in, exit codes and JSON out."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pandas
import pytest
from command_line import CommandLine

from models.networks import ctown
from twin.network import NetworkKind
from twin.storage.registry import open_registry
from twin.valves import Valve

DATA = Path(__file__).parents[1] / "data"
SENSORS = "sensor_id,quantity,kind,unit,element_type,element_id,district,expected_every_s,low,high\n"
CUSTOMERS = "customer_id,connection_id,node_id,population,sensitive,language\n"


@pytest.fixture
def h2twin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(tmp_path, monkeypatch, capsys)


def _kept(h2twin: CommandLine) -> dict[str, Any]:
    registry = open_registry(f"sqlite:///{h2twin.data_dir / 'registry.db'}")
    try:
        files = {kind: registry.model_file(kind) for kind in NetworkKind}
        return {"sensors": registry.sensors(), "customers": registry.customers(), **files}
    finally:
        registry.close()


def test_a_city_is_imported_and_every_count_is_that_of_the_file(h2twin: CommandLine) -> None:
    def rows(path: Path) -> int:
        return len(path.read_text().splitlines()) - 1

    assert h2twin.ok("import", "sensors", ctown.SENSORS_CSV) == {"sensors": rows(ctown.SENSORS_CSV)}
    assert h2twin.ok("import", "customers", ctown.CUSTOMERS_CSV) == {"customers": rows(ctown.CUSTOMERS_CSV)}
    network = h2twin.ok("import", "network", ctown.SUPPLY_INP)
    assert network == {
        "nodes": 388 + 7 + 1,
        "links": 432 + 11 + 1,
    }  # as published: junctions, tanks, source; pipes, pumps, valves
    drainage = h2twin.ok("import", "drainage", ctown.DRAINAGE_INP)
    assert drainage["nodes"] > 0
    kept = _kept(h2twin)
    assert len(kept["sensors"]) == rows(ctown.SENSORS_CSV)
    assert kept[NetworkKind.SUPPLY].content == ctown.SUPPLY_INP.read_bytes()


VALVES = "valve_id,link_id,near_node,operable,normally_closed\n"


def test_valves_are_imported_if_they_have_a_place_in_the_network(h2twin: CommandLine, tmp_path: Path) -> None:
    def valves() -> list[Valve]:
        registry = open_registry(f"sqlite:///{h2twin.data_dir / 'registry.db'}")
        try:
            return registry.valves()
        finally:
            registry.close()

    file = tmp_path / "valves.csv"
    file.write_text(VALVES + "V1,P2,J2,true,false\n")
    assert h2twin.ok("import", "valves", file) == {"valves": 1}  # no network yet: nothing to compare with
    h2twin.ok("import", "network", ctown.SUPPLY_INP)
    for rows, named in (("V2,P9999,J1,true,false", "P9999"), ("V2,P446,J999,true,false", "J999")):
        file.write_text(f"{VALVES}{rows}\n")
        answer = h2twin("import", "valves", file)
        assert (answer.code, "V2" in answer.err, named in answer.err) == (3, True, True)
        assert [valve.valve_id for valve in valves()] == ["V1"]
    _, start, end, *_ = next(
        line.split() for line in ctown.SUPPLY_INP.read_text().splitlines() if line.startswith(" P446")
    )
    file.write_text(f"{VALVES}V1,P446,{start},FALSE,True\nV2,P446,{end},true,false\n")
    assert h2twin.ok("import", "valves", file) == {"valves": 2}
    assert valves() == [Valve("V1", "P446", start, False, True), Valve("V2", "P446", end)]


@pytest.mark.parametrize(
    ("kind", "text", "told"),
    [
        pytest.param("sensors", SENSORS + "P1,pressure,instant,m,node,J1,D1,60,,\nP2,presure,instant,m,,,,60,,\n",
                     "line 3", id="an unknown quantity"),
        pytest.param("sensors", "name,kind\nP1,instant\n", "sensor_id", id="missing columns"),
        pytest.param("valves", VALVES + "V1,P1,J1,true,false\nV2,P1,J1,maybe,false\n", "line 3", id="a maybe"),
        pytest.param("valves", VALVES + "V1,P1,J1,true,false\nV1,P1,J2,true,false\n", "line 3", id="a valve twice"),
        pytest.param("valves", "valve_id,link_id\nV1,P1\n", "near_node", id="valves without their places"),
        pytest.param("customers", CUSTOMERS + "C1,K1,J1,2,none,en\nC2,K2,J1,many,none,en\n", "line 3",
                     id="a population in words"),
        pytest.param("network", "[JUNCTIONS]\n J1 0 0\n\n[PIPES]\n P1 J1 NOWHERE 10 100 100 0 Open\n[END]\n", "line",
                     id="a pipe that ends nowhere"),
        pytest.param("network", "this is no model\n", "", id="no EPANET file at all"),
        pytest.param("drainage", "[JUNCTIONS]\nJ1 zero 2 0 0 0\n[END]\n", "line", id="no number for an elevation"),
        pytest.param("drainage", "\x00\x01\x02", "", id="no SWMM file at all"),
        pytest.param("weather", '{"source": "x"', "", id="half a weather document"),
        pytest.param("readings", "a,b\n1,2\n", "sensor_id", id="readings without their columns"),
    ],
)  # fmt: skip
def test_a_malformed_file_is_refused_with_its_line_and_nothing_is_imported(
    h2twin: CommandLine, tmp_path: Path, kind: str, text: str, told: str
) -> None:
    file = tmp_path / "file"
    file.write_text(text)
    answer = h2twin("import", kind, file, "--json")
    assert (answer.code, answer.out) == (3, "")
    assert told in answer.err
    assert "unexpected" not in answer.err
    assert not any(_kept(h2twin).values())


def test_a_refused_model_does_not_replace_the_one_in_use(h2twin: CommandLine, tmp_path: Path) -> None:
    h2twin.ok("import", "network", ctown.SUPPLY_INP)
    broken = tmp_path / "broken.inp"
    broken.write_bytes(
        ctown.SUPPLY_INP.read_bytes().replace(b"[PIPES]", b"[PIPES]\n PX NOWHERE J1 10 100 100 0 Open\n")
    )
    assert h2twin("import", "network", broken).code == 3
    assert _kept(h2twin)[NetworkKind.SUPPLY].content == ctown.SUPPLY_INP.read_bytes()


def test_bad_rows_of_readings_are_dead_letters_and_the_rest_is_stored(h2twin: CommandLine, tmp_path: Path) -> None:
    sensors = tmp_path / "sensors.csv"
    sensors.write_text(SENSORS + "P1,pressure,instant,m,node,J1,D1,60,0,100\n")
    h2twin.ok("import", "sensors", sensors)
    readings = tmp_path / "readings.csv"
    readings.write_text(
        "sensor_id,observed_at,value,unit\n"
        "P1,2026-01-01T00:00:00Z,30,m\n"
        "P1,2026-01-01T00:01:00Z,NaN,m\n"
        "P1,2026-01-01T00:02:00,31,m\n"
        "P9,2026-01-01T00:03:00Z,31,m\n"
        "P1,2026-01-01T00:04:00Z,3,bar\n"
        "P1,2026-01-01T00:00:00Z,30,m\n"
        "P1,2026-01-01T00:00:00Z,99,m\n"
    )
    assert h2twin.ok("import", "readings", readings) == {"stored": 2, "duplicates": 1, "dead_letters": 4}
    letters = h2twin.ok("dead", "list")["items"]
    assert len(letters) == 4
    assert {letter["topic"] for letter in letters} == {"import/readings.csv", "h2/import/P1", "h2/import/P9"}
    (unknown,) = (letter for letter in letters if letter["topic"] == "h2/import/P9")
    assert json.loads(unknown["payload"]) == {"observed_at": "2026-01-01T00:03:00Z", "value": 31.0, "unit": "m"}
    assert unknown["detail"].startswith("readings.csv, line 5: ")
    assert "conflict" in {letter["reason"] for letter in letters}
    again = h2twin.ok("import", "readings", readings)
    assert (again["stored"], again["duplicates"]) == (0, 3)
    assert len(h2twin.ok("dead", "list")["items"]) == 4
    assert {letter["times_seen"] for letter in h2twin.ok("dead", "list")["items"]} == {2}


def test_a_weather_file_is_imported_and_shown(h2twin: CommandLine, tmp_path: Path) -> None:
    assert h2twin.ok("weather", "show") is None
    file = tmp_path / "ensemble.json"
    file.write_text(json.dumps(_ensemble()))
    assert h2twin.ok("import", "weather", file) == {"members": 6, "steps": 6}
    shown = h2twin.ok("weather", "show")
    assert (shown["source"], len(shown["members"])) == ("test", 6)
    assert "test (ensemble)" in h2twin("weather", "show").out


def _ensemble() -> dict[str, Any]:
    members = [{"member": i, "rain_mm": [30.0 * i, 20.0, 0, 0, 0, 0], "temperature_c": [15.0] * 6} for i in range(6)]
    return {
        "source": "test", "issued_at": "2026-01-01T00:00:00Z", "gage_id": "G1", "valid_from": "2026-01-01T00:00:00Z",
        "interval_s": 3600, "members": members,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("provider", "file"),
    [
        ("open_meteo", "open_meteo/ensemble_shape_SYNTHETIC.json"),
        ("met_norway", "met_norway/lat40.7lon-74.0altitude10_compact.json"),
        ("nws", "nws/detailed_forecast.json"),
        ("ipma", "ipma/1010500.json"),
    ],
)
def test_every_provider_s_answer_is_read(h2twin: CommandLine, provider: str, file: str) -> None:
    path = DATA / "weather" / file
    answer = h2twin("weather", "parse", "--provider", provider, "--file", path, "--json")
    assert answer.code == 0, answer.err
    assert set(answer.json) == {"issued_at", "members"}
    for member in answer.json["members"]:
        assert all(set(step) == {"valid_from", "interval_s", "rain_mm"} for step in member["steps"])
    assert h2twin("weather", "parse", "--provider", provider, "--file", path).code == 0


def test_a_provider_nobody_knows_and_an_answer_of_another_are_refused(h2twin: CommandLine, tmp_path: Path) -> None:
    hourly = DATA / "weather" / "nws" / "gridpoints_forecast_hourly_si.json"
    assert "ask for /gridpoints" in h2twin("weather", "parse", "--provider", "nws", "--file", hourly).err
    file = tmp_path / "answer.json"
    file.write_text('{"error": true}')
    unknown = h2twin("weather", "parse", "--provider", "oracle", "--file", file, "--json")
    assert (unknown.code, unknown.out) == (3, "")
    assert "open_meteo" in unknown.err
    assert h2twin("weather", "parse", "--provider", "met_norway", "--file", file, "--json").code == 3


def test_a_supply_model_is_run_from_a_file(h2twin: CommandLine) -> None:
    answer = h2twin.ok("supply", "run", "--network", ctown.SUPPLY_INP, "--hours", "1")
    assert len(answer["nodes"]) == 396
    assert not h2twin.data_dir.exists(), "a run of a file leaves nothing behind"
    assert "lowest pressure" in h2twin("supply", "run", "--network", ctown.SUPPLY_INP, "--hours", "1").out


def test_closures_are_asked_of_a_file(h2twin: CommandLine) -> None:
    command = ("supply", "outage", "--network", ctown.SUPPLY_INP, "--hours", "2")
    together = h2twin.ok(*command, "--close", "v1,P1")
    assert (together["close"], len(together["junctions_short"]) > 5) == (["v1", "P1"], True)
    assert "short from (h)" in h2twin(*command, "--close", "v1").out
    lines = h2twin(*command, "--each", "P10,P100,P1", "--json").out.splitlines()
    assert [json.loads(line)["close"] for line in lines] == [["P10"], ["P100"], ["P1"]]
    unknown = h2twin(*command, "--each", "P10,NOWHERE", "--json")
    assert (unknown.code, unknown.out, "NOWHERE" in unknown.err, "Traceback" in unknown.err) == (3, "", True, False)
    for wrong in (("--close", ""), ("--close", "P1", "--each", "P1"), ("--close", "P1", "--start", "0.0001")):
        assert h2twin(*command, *wrong, "--json").code == 3


def test_a_drainage_model_is_run_with_rain_and_over_an_ensemble(h2twin: CommandLine, tmp_path: Path) -> None:
    rain, state, ensemble = tmp_path / "rain.csv", tmp_path / "state.bin", tmp_path / "ensemble.json"
    rain.write_text(
        "gage_id,observed_at,rain_mm,interval_s\nG1,2025-12-31T23:00:00Z,2.0,3600\nG1,2026-01-01T00:00:00Z,3.0,3600\n"
    )
    ensemble.write_text(json.dumps(_ensemble()))
    model = ("--model", ctown.DRAINAGE_INP)
    ran = h2twin.ok("flood", "run", *model, "--rain", rain, "--state-out", state)
    assert ran["rain_in_mm"] == pytest.approx(5.0)
    assert state.stat().st_size > 0
    told = h2twin.ok("flood", "forecast", *model, "--ensemble", ensemble, "--state-in", state)
    assert all(0 <= node["probability"] <= 1 for node in told["nodes"].values())
    wrong_state = h2twin("flood", "run", *model, "--rain", rain, "--state-in", rain, "--json")
    assert (wrong_state.code in (3, 5), wrong_state.out) == (True, "")
    rain.write_text("gage_id,observed_at,rain_mm,interval_s\nG1,2026-01-01T00:00:00Z,-3.0,3600\n")
    assert h2twin("flood", "run", *model, "--rain", rain, "--json").code == 3


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(("import", "network", "absent.inp"), id="import"),
        pytest.param(("supply", "run", "--network", "absent.inp"), id="supply run"),
        pytest.param(("flood", "run", "--model", "absent.inp", "--rain", "absent.csv"), id="flood run"),
        pytest.param(("weather", "parse", "--provider", "nws", "--file", "absent.json"), id="weather parse"),
        pytest.param(("restore", "absent.tar.gz"), id="restore"),
    ],
)
def test_a_missing_file_is_an_input_error_that_names_it(h2twin: CommandLine, arguments: tuple[str, ...]) -> None:
    answer = h2twin(*arguments)
    assert (answer.code, answer.out) == (3, "")
    assert "absent" in answer.err


def test_an_unknown_kind_of_import_names_the_known_ones(h2twin: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "x").write_text("")
    answer = h2twin("import", "meters", tmp_path / "x")
    assert answer.code == 3
    assert "sensors, customers, network" in answer.err


@pytest.mark.parametrize("ending", ["parquet", "csv", "CSV"])
def test_a_supply_run_is_written_as_a_long_table_with_every_value(
    h2twin: CommandLine, tmp_path: Path, ending: str
) -> None:
    table = tmp_path / f"run.{ending}"
    command = ("supply", "run", "--network", ctown.SUPPLY_INP, "--hours", "2")
    answer = h2twin(*command, "--out", table)
    assert answer.code == 0, answer.err
    rows = pandas.read_parquet(table) if ending == "parquet" else pandas.read_csv(table)
    assert list(rows.columns) == ["time_h", "element_type", "element_id", "quantity", "value"]
    told = h2twin.ok(*command)
    expected = {
        (hour, kind, name, quantity): float(value)
        for kind in ("node", "link")
        for name, element in told[f"{kind}s"].items()
        for quantity, values in element.items()
        if quantity != "type"
        for hour, value in zip(told["times_h"], values, strict=True)
    }
    written = {(t, kind, name, what): value for t, kind, name, what, value in rows.itertuples(index=False)}
    assert written == expected
    assert len(rows) == len(expected) == 3 * (3 * (388 + 7 + 1) + 2 * (432 + 11 + 1))


def test_a_supply_run_needs_pyarrow_for_parquet_and_says_so(
    h2twin: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    answer = h2twin("supply", "run", "--network", ctown.SUPPLY_INP, "--hours", "1", "--out", tmp_path / "run.parquet")
    assert answer.code == 2
    assert "pip install pyarrow" in answer.err


@pytest.mark.parametrize(
    ("name", "code", "told"), [("run.xlsx", 3, ".parquet or .csv"), ("no/such/folder/run.csv", 3, "no/such/folder")]
)
def test_a_file_that_cannot_be_written_is_refused_before_the_run(
    h2twin: CommandLine, tmp_path: Path, name: str, code: int, told: str
) -> None:
    answer = h2twin("supply", "run", "--network", ctown.SUPPLY_INP, "--hours", "1", "--out", tmp_path / name)
    assert answer.code == code
    assert told in answer.err
