from __future__ import annotations

import pytest
from data.drainage.small_models import example, one_street

from models.drainage.engine_units import units_of
from models.drainage.model_file import read_model
from twin.errors import InputError
from twin.network import LinkKind, NodeKind

QUALITY = "[POLLUTANTS]\nTSS MG/L 0 0 0 0 NO * 0 0 0\n[DWF]\nJ1 TSS 3\nJ1 FLOW 0.01\n[TREATMENT]\nJ1 TSS C=0\n"


def test_quality_files_and_drawing_never_reach_the_engine() -> None:
    extra = (
        QUALITY
        + '[FILES]\nSAVE OUTFLOWS "/tmp/x"\n[EVENTS]\n01/01/2020 0:00 01/02/2020 0:00\n[BACKDROP]\nFILE "/etc/passwd"\n'
    )

    model = read_model(one_street(extra=extra))

    text = model.inp.text()
    for word in ("POLLUTANTS", "TREATMENT", "TSS", "FILES", "EVENTS", "BACKDROP", "/tmp", "/etc", "TITLE"):
        assert word not in text
    assert "J1 FLOW 0.01" in text
    assert any("[FILES] was dropped" in note for note in model.notes)


def test_options_that_write_or_switch_off_are_taken_out() -> None:
    model = read_model(one_street(options='TEMPDIR "/var"\nIGNORE_RAINFALL YES\nTHREADS 8'))

    names = {line.tokens[0] for line in model.inp.lines("OPTIONS")}
    assert not names & {"TEMPDIR", "IGNORE_RAINFALL", "THREADS", "START_DATE", "END_TIME"}
    assert "ROUTING_STEP" in names
    assert any("IGNORE_RAINFALL" in note for note in model.notes)


def test_a_lid_report_file_is_not_written() -> None:
    lid = "[LID_USAGE]\nS1 L 1 10 1 0 0 0 secret.txt J2\n[LID_CONTROLS]\nL BC\nL REMOVALS TSS 90\n"

    text = read_model(one_street(extra=lid)).inp.text()

    assert "S1 L 1 10 1 0 0 0 * J2" in text
    assert "REMOVALS" not in text


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ("[TEMPERATURE]\nFILE clim.dat\n", r"\[TEMPERATURE\] comes from the file 'clim.dat'"),
        ("[EVAPORATION]\nFILE 1 1 1\n", r"\[EVAPORATION\] comes from the file"),
        ("[OPTIONS]\nFLOW_ROUTING NONE\n", "routes no water"),
        ("[OPTIONS]\nROUTING_STEP\n", "has no value"),
        ("[SUBCATCHMENTS]\nS3 NOGAGE J1 1 50 10 1 0\n", "rain gage 'NOGAGE' is not in"),
        ("[SUBCATCHMENTS]\nS3 G1 J1\n", "no complete line of"),
        ("[JUNCTIONS]\nJ9\n", "states no node"),
        ("[CONDUITS]\nC9 J1 J2 long\n", "states no link"),
        ("[RAINGAGES]\nG9 INTENSITY\n", "no complete line of"),
    ],
)
def test_models_that_cannot_be_run_are_refused_with_the_line(extra: str, words: str) -> None:
    with pytest.raises(InputError, match=r"line \d+: .*" + words):
        read_model(one_street(extra=extra))


def test_lengths_are_metres_whatever_the_model_is_in() -> None:
    metric, us = read_model(one_street(units="LPS")), read_model(one_street(units="GPM"))

    for model in (metric, us):
        assert model.network.nodes["J1"].elevation_m == pytest.approx(10.0)
        assert model.network.links["C1"].length_m == pytest.approx(100.0)
        assert model.network.links["C1"].diameter_m == pytest.approx(0.3)
    assert us.total_area * us.units.area_m2 == pytest.approx(60_000)
    assert metric.total_area * metric.units.area_m2 == pytest.approx(60_000)


@pytest.mark.parametrize(
    ("flow_units", "length_m", "rain_mm"),
    [("cfs", 0.3048, 25.4), ("GPM", 0.3048, 25.4), ("MGD", 0.3048, 25.4), ("CMS", 1, 1), ("lps", 1, 1), ("MLD", 1, 1)],
)
def test_the_flow_unit_decides_the_others(flow_units: str, length_m: float, rain_mm: float) -> None:
    units = units_of(flow_units)

    assert (units.length_m, units.rain_mm) == (length_m, rain_mm)
    assert units.volume_m3 == pytest.approx(length_m**3)


def test_an_unknown_flow_unit_is_refused() -> None:
    with pytest.raises(InputError, match="none of CFS, GPM, MGD, CMS, LPS, MLD"):
        units_of("FURLONGS")


def test_the_network_of_epas_example_3() -> None:
    network = read_model(example("Example3.inp")).network

    assert (len(network.nodes), len(network.links)) == (34, 33)
    assert network.nodes["SU1"].kind is NodeKind.STORAGE
    assert network.nodes["PSO"].kind is NodeKind.OUTFALL
    assert network.links["PUMP1"].kind is LinkKind.PUMP
    assert network.links["PUMP1"].length_m is None
    assert network.nodes["KRO3001"].elevation_m == pytest.approx(556.19 * 0.3048)
    assert network.nodes["KRO3001"].x == 1362408.25


def test_ponded_nodes_need_the_option_and_an_area() -> None:
    assert read_model(one_street(ponded_m2=50, allow_ponding=True)).ponded_nodes == {"J1", "J2"}
    assert read_model(one_street(ponded_m2=50)).ponded_nodes == set()
    assert read_model(one_street(allow_ponding=True)).ponded_nodes == set()


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(one_street(options="MIN_SURFAREA 2"), id="other options"),
        pytest.param(one_street(conduit="C9"), id="other ids"),
        pytest.param(one_street().replace(b"S2 G1 J2 1 50", b"S2 G1 J2 1 60"), id="other catchments"),
        pytest.param(
            one_street().replace(b"J1 10 2 0 0 0\nJ2 9 2 0 0 0", b"J2 9 2 0 0 0\nJ1 10 2 0 0 0"), id="other order"
        ),
    ],
)
def test_a_state_belongs_to_one_model(other: bytes) -> None:
    assert read_model(one_street()).state_key("SWMM") != read_model(other).state_key("SWMM")


def test_a_state_survives_what_it_does_not_depend_on() -> None:
    other = one_street().replace(b"01/01/2020", b"05/05/2021").replace(b"one street", b"the street").lower()

    assert read_model(one_street()).state_key("SWMM") == read_model(other).state_key("SWMM")
    assert read_model(one_street()).state_key("SWMM") != read_model(one_street()).state_key("SWMM 6")


def test_what_a_hot_start_forgets_is_said() -> None:
    rdii = "[HYDROGRAPHS]\nU G1\n[RDII]\nJ1 U 1\n"
    control = "[CONTROLS]\nRULE R\nIF SIMULATION TIME > 3\nTHEN CONDUIT C1 STATUS = CLOSED\n"

    words = " ".join(read_model(one_street(extra=rdii + control)).restart_weaknesses())

    assert "RDII" in words
    assert "SIMULATION TIME" in words
    assert read_model(one_street()).restart_weaknesses() == ()
