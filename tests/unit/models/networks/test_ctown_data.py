"""The demo town's data against the network file, the published record, and hand calculations."""

from __future__ import annotations

import csv
import gzip
import math
from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from models.networks import ctown
from models.networks.ctown import make_customers, period
from models.networks.ctown.events import STATIONS, pump_trip
from models.networks.ctown.scada import ScadaRow, scada_rows
from models.networks.ctown.weather import SHIFT, weather_hours
from twin.errors import InputError
from twin.readings import ElementType, Kind
from twin.units import Quantity


def section(name: str) -> dict[str, list[str]]:
    """Read one section of the network file as {id: words}; an independent, deliberately plain reader."""
    found: dict[str, list[str]] = {}
    text = ctown.SUPPLY_INP.read_text(encoding="ascii")
    for part in text.split(f"[{name}]")[1:]:
        for line in part.split("\n[")[0].splitlines():
            words = line.split(";")[0].split()
            if words:
                found[words[0]] = words
    return found


def table(path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


# ------------------------------------------------------------------------------------------------- the record


def test_the_record_is_whole_hourly_and_utc():
    rows = list(scada_rows())
    assert rows[0].observed_at == datetime(2016, 7, 4, tzinfo=UTC)
    assert rows[-1].observed_at == datetime(2016, 12, 25, tzinfo=UTC)
    assert len(rows) == (rows[-1].observed_at - rows[0].observed_at) // timedelta(hours=1) + 1 == 4177


def test_the_first_row_carries_the_published_values_with_units():
    first = next(scada_rows())
    assert first.values["L_T1"] == (2.44, "m")
    assert first.values["F_PU1"] == (93.63, "L/s")
    assert first.values["S_PU1"] == (1.0, "1")
    assert first.values["P_J422"] == (29.64, "m")
    assert len(first.values) == 43


def test_attack_labels_are_never_read():
    assert all("ATT_FLAG" not in row.values and "DATETIME" not in row.values for row in scada_rows())


def test_rows_are_cut_start_inclusive_end_exclusive():
    rows = list(scada_rows(period.START, period.END))
    assert (rows[0].observed_at, rows[-1].observed_at) == (period.START, period.END - timedelta(hours=1))
    assert len(rows) == 72


# -------------------------------------------------------------------------------------------------- the sensors


def test_every_sensor_is_of_a_known_kind_and_sits_on_an_element_of_the_network():
    nodes = section("JUNCTIONS") | section("TANKS")
    links = section("PUMPS") | section("VALVES")
    for row in table(ctown.SENSORS_CSV):
        Quantity(row["quantity"])
        Kind(row["kind"])
        element = ElementType(row["element_type"])
        if element is ElementType.NODE:
            assert row["element_id"] in nodes
        if element is ElementType.LINK:
            assert row["element_id"] in links


def test_sensors_are_the_record_and_the_weather_station():
    names = [row["sensor_id"] for row in table(ctown.SENSORS_CSV)]
    assert len(set(names)) == len(names)
    assert set(names) == set(next(scada_rows()).values) | {"RAIN_1", "TEMP_1"}


def test_ordinary_data_lie_within_the_limits():
    sensors = {row["sensor_id"]: row for row in table(ctown.SENSORS_CSV)}
    outside = Counter()
    for row in scada_rows():
        for name, (value, unit) in row.values.items():
            assert unit == sensors[name]["unit"]  # limits are in the unit of their row
            outside[name] += not float(sensors[name]["low"]) <= value <= float(sensors[name]["high"])
    assert +outside == Counter({"F_PU7": 1})  # -0.88 L/s at 2016-12-08 01:00, during a labelled attack
    rain, temperature = sensors["RAIN_1"], sensors["TEMP_1"]
    for hour in weather_hours():
        assert float(rain["low"]) <= hour.rain_mm <= float(rain["high"])
        assert float(temperature["low"]) <= hour.temperature_c <= float(temperature["high"])


def test_tank_limits_follow_the_network():
    limits = {row["element_id"]: float(row["high"]) for row in table(ctown.SENSORS_CSV) if row["quantity"] == "level"}
    for name, words in section("TANKS").items():
        assert limits[name] == pytest.approx(float(words[4]) + 0.1)


# -------------------------------------------------------------------------------------------------- the weather


def test_the_weather_covers_the_record_hour_by_hour():
    hours = [hour.observed_at for hour in weather_hours()]
    assert hours[0] <= datetime(2016, 7, 4, tzinfo=UTC)
    assert hours[-1] >= datetime(2016, 12, 31, tzinfo=UTC)
    assert {later - hour for hour, later in pairwise(hours)} == {timedelta(hours=1)}


def test_the_shift_keeps_date_and_day_of_the_week():
    demo = period.STORM_BEGINS
    assert (demo + SHIFT).isocalendar().weekday == demo.isocalendar().weekday
    assert ((demo + SHIFT).month, (demo + SHIFT).day, (demo + SHIFT).year) == (demo.month, demo.day, 2022)


def test_the_demo_holds_the_largest_storm_of_the_half_year():
    rain = [hour for hour in weather_hours() if hour.rain_mm > 0]
    wettest = max(rain, key=lambda hour: hour.rain_mm)
    assert (wettest.observed_at, wettest.rain_mm) == (datetime(2016, 9, 8, 11, tzinfo=UTC), 45.7)
    storm = [hour.rain_mm for hour in rain if period.STORM_BEGINS < hour.observed_at <= period.STORM_ENDS]
    assert storm == [11.4, 45.7, 30.4]
    assert period.START + timedelta(hours=24) <= period.STORM_BEGINS
    assert period.START + timedelta(hours=48) >= period.STORM_ENDS


def test_no_labelled_attack_lies_in_the_demo_or_the_week_before_it():
    with gzip.open(ctown.SCADA_CSV, "rt", newline="") as file:
        attacks = [row["DATETIME"] for row in csv.DictReader(file) if row["ATT_FLAG"] == "1"]
    moments = [datetime.strptime(text, "%d/%m/%y %H").replace(tzinfo=UTC) for text in attacks]
    assert moments
    assert not [at for at in moments if period.START - timedelta(days=7) <= at < period.END]


# ------------------------------------------------------------------------------------------------- the customers


def test_the_register_is_what_the_script_writes(tmp_path, monkeypatch):
    monkeypatch.setattr(make_customers, "CUSTOMERS_CSV", tmp_path / "customers.csv")
    make_customers.main()
    assert (tmp_path / "customers.csv").read_bytes() == ctown.CUSTOMERS_CSV.read_bytes()


def test_connections_follow_base_demand_to_within_one():
    junctions = section("JUNCTIONS")
    total = sum(float(words[2]) for words in junctions.values())
    counts = make_customers.connections_by_junction()
    assert sum(counts.values()) == 4000
    assert set(counts) <= {name for name, words in junctions.items() if float(words[2]) > 0}
    for name, words in junctions.items():
        assert abs(counts.get(name, 0) - 4000 * float(words[2]) / total) < 1


def test_ids_are_unique_and_name_nobody():
    rows = table(ctown.CUSTOMERS_CSV)
    assert len({row["customer_id"] for row in rows}) == len({row["connection_id"] for row in rows}) == 4000
    assert all(not row["phone"] and not row["email"] and not row["channels"] for row in rows)


def test_every_kind_of_sensitive_customer_lives_in_the_district_that_goes_dry():
    district = {junction.node_id: junction.district for junction in make_customers.demand_junctions()}
    rows = [row for row in table(ctown.CUSTOMERS_CSV) if district[row["node_id"]] == "DMA3"]
    assert {"dialysis", "school", "care_home", "fire_service"} <= {row["sensitive"] for row in rows}


def test_languages_are_mostly_portuguese():
    languages = Counter(row["language"] for row in table(ctown.CUSTOMERS_CSV))
    assert set(languages) == {"pt", "en"}
    assert languages["pt"] / 4000 == pytest.approx(0.85, abs=0.02)


# ---------------------------------------------------------------------------------------------------- the trip

T0 = datetime(2016, 9, 7, 23, tzinfo=UTC)
AREA_M2 = math.pi * 13.73**2 / 4  # 148.06 m2


def a_row(hour: int, level_m: float, flow_ls: float, pressure_m: float = 72.0) -> ScadaRow:
    values = {"L_T3": (level_m, "m"), "P_J256": (pressure_m, "m"), "L_T1": (4.0, "m")}
    values |= {
        "F_PU4": (flow_ls, "L/s"),
        "S_PU4": (float(flow_ls > 0), "1"),
        "F_PU5": (0.0, "L/s"),
        "S_PU5": (0.0, "1"),
    }
    return ScadaRow(T0 + timedelta(hours=hour), values)


def levels(rows) -> list[float]:
    return [row.values["L_T3"][0] for row in rows]


def test_stations_agree_with_the_network_file():
    tanks, pumps, junctions = section("TANKS"), section("PUMPS"), section("JUNCTIONS")
    for station in STATIONS.values():
        assert set(station.pumps) <= set(pumps)
        _, bottom, _, low, _, diameter, *_ = tanks[station.tank]
        assert (station.tank_bottom_m, station.tank_diameter_m) == (float(bottom), float(diameter))
        assert station.tank_min_level_m == float(low)
        assert station.discharge_elevation_m == float(junctions[station.discharge_sensor.removeprefix("P_")][1])


def test_the_lowest_tap_of_each_station_s_district_lies_below_its_discharge_sensor():
    junctions = section("JUNCTIONS")
    for station in STATIONS.values():
        district = next(name for name, tanks in ctown.DISTRICT_TANKS.items() if station.tank in tanks)
        taps = [words for words in junctions.values() if len(words) > 3 and words[3] == f"{district}_pat"]
        assert min(float(words[1]) for words in taps if float(words[2]) > 0) < station.discharge_elevation_m


def test_level_falls_by_the_lost_inflow_over_the_area():
    # the published tank rises 0.40 m in an hour while 34 L/s flow in: 34e-3 * 3600 / 148.06 = 0.8267 m were pumped,
    # so customers drew 0.4267 m; without the pump the level falls by just that
    tripped = list(pump_trip([a_row(0, 3.62, 34), a_row(1, 4.02, 34)], "S2", T0))
    assert levels(tripped) == [3.62, round(3.62 + 0.40 - 0.034 * 3600 / AREA_M2, 2)] == [3.62, 3.19]


def test_pumps_stand_still_and_the_rest_of_the_row_is_untouched():
    rows = [a_row(0, 3.62, 34), a_row(1, 4.02, 34)]
    for row, published in zip(pump_trip(rows, "S2", T0), rows, strict=True):
        assert [row.values[name][0] for name in ("F_PU4", "S_PU4", "F_PU5", "S_PU5")] == [0, 0, 0, 0]
        assert row.values["L_T1"] == published.values["L_T1"]
        assert row.observed_at == published.observed_at


def test_discharge_pressure_is_the_tank_s_head_less_the_loss():
    was_running, was_still = pump_trip([a_row(0, 3.62, 34), a_row(1, 3.62, 0, pressure_m=71.0)], "S2", T0)
    assert was_running.values["P_J256"][0] == pytest.approx(112.9 + 3.62 - 40.0 - 4.855, abs=0.006)
    fallen = was_running.values["L_T3"][0] - was_still.values["L_T3"][0]
    assert was_still.values["P_J256"][0] == pytest.approx(71.0 - fallen, abs=0.011)


def test_a_tank_runs_empty_once_and_stays_there_with_no_pressure():
    rows = [a_row(0, 1.0, 34), a_row(1, 1.2, 34), a_row(2, 1.4, 34), a_row(3, 1.6, 34)]
    tripped = list(pump_trip(rows, "S2", T0))
    assert levels(tripped) == [1.0, 0.37, 0.0, 0.0]
    assert [row.values["P_J256"][0] for row in tripped][2:] == [0.0, 0.0]


def test_rows_before_the_trip_pass_unchanged():
    rows = [a_row(0, 3.0, 34), a_row(1, 3.4, 34), a_row(2, 3.8, 34)]
    assert list(pump_trip(rows, "S2", T0 + timedelta(hours=1)))[:1] == rows[:1]


def test_a_trip_between_two_rows_loses_only_the_part_after_it():
    tripped = list(pump_trip([a_row(0, 3.0, 34), a_row(1, 3.4, 34)], "S2", T0 + timedelta(minutes=45)))
    assert levels(tripped) == [3.0, round(3.4 - 0.034 * 900 / AREA_M2, 2)]


def test_a_pump_that_ran_between_two_rows_does_not_fill_a_tank_whose_pumps_tripped():
    rows = [a_row(0, 3.0, 0), a_row(1, 3.3, 0), a_row(2, 2.6, 0)]
    assert levels(pump_trip(rows, "S2", T0)) == [3.0, 3.0, 2.6]


def test_after_the_repair_the_tank_fills_until_it_meets_the_record():
    rows = [a_row(0, 1.0, 34)] + [a_row(hour, 1.0, 34) for hour in range(1, 4)]
    rows += [a_row(4, 0.6, 0), a_row(5, 0.4, 0)]  # drawn 0.4 + 0.413 m and 0.2 m; one pump gives 0.835 m
    rows += [a_row(6, 3.4, 200)]  # more than one pump could have given: the record is no longer touched
    tripped = list(pump_trip(rows, "S2", T0, repaired_at=T0 + timedelta(hours=2)))
    draw_m = 0.034 * 3600 / AREA_M2  # the published level stands still: all that is pumped is drawn
    gain_m = 0.03436 * 3600 / AREA_M2
    assert levels(tripped)[:3] == [1.0, round(1.0 - draw_m, 2), 0.0]
    assert levels(tripped)[3] == round(gain_m - draw_m, 2)
    assert tripped[3].values["F_PU4"] == (34.36, "L/s")
    last_m = gain_m - draw_m + gain_m - (0.4 + 0.017 * 3600 / AREA_M2)
    assert levels(tripped)[4] == round(last_m, 2)
    assert last_m + gain_m - 0.2 > 0.4
    assert tripped[5:] == rows[5:]


def test_an_unknown_station_or_a_repair_before_the_trip_is_refused():
    with pytest.raises(InputError, match="S2, S3, S4"):
        pump_trip([], "S5", T0)
    with pytest.raises(InputError, match="before the trip"):
        pump_trip([], "S2", T0, repaired_at=T0 - timedelta(hours=1))
    with pytest.raises(InputError, match="after the trip"):
        list(pump_trip([a_row(1, 3.0, 0)], "S2", T0))


def test_the_demo_s_trip_empties_t3_at_the_height_of_the_storm_and_is_repaired_in_time():
    rows = list(scada_rows(period.START, period.END))
    tripped = list(pump_trip(rows, period.TRIP_STATION, period.TRIP_AT, repaired_at=period.REPAIRED_AT))
    empty = [row.observed_at for row in tripped if row.values["L_T3"][0] == 0]
    assert empty[0] == datetime(2016, 9, 8, 10, tzinfo=UTC)
    assert empty[-1] == period.REPAIRED_AT
    assert tripped[:23] == rows[:23]
    assert tripped[-12:] == rows[-12:]
