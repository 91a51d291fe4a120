"""The rule that lays steps of mixed lengths on a regular grid, checked by hand and by conservation of mass."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.weather.parsing import PROVIDERS, parse_steps, steps_document
from ingest.weather.steps import ForecastMember, ForecastStep, ParsedForecast, checked_member, checked_members, regular
from twin.errors import InputError

T0 = datetime(2026, 1, 1, tzinfo=UTC)


def a_step(hour: float, length_h: float, rain_mm: float | None) -> ForecastStep:
    return ForecastStep(T0 + timedelta(hours=hour), int(length_h * 3600), rain_mm)


def a_forecast(*members: list[ForecastStep]) -> ParsedForecast:
    return ParsedForecast("test", None, tuple(ForecastMember(str(i), tuple(m)) for i, m in enumerate(members)))


def rain(*members: list[ForecastStep], interval_s: int = 3600) -> list[tuple[float | None, ...]]:
    return [m.rain_mm for m in regular(a_forecast(*members), now=T0, interval_s=interval_s).members]


def test_a_longer_step_is_shared_evenly():
    assert rain([a_step(0, 1, 1.0), a_step(1, 3, 6.0)]) == [(1.0, 2.0, 2.0, 2.0)]


def test_shorter_steps_are_summed_into_their_cell():
    assert rain([a_step(0, 0.5, 1.0), a_step(0.5, 0.5, 2.0)]) == [(3.0,)]


def test_a_cell_that_is_not_wholly_known_is_unknown():
    assert rain([a_step(0, 1, 1.0), a_step(1, 0.5, 1.0), a_step(2, 1, 4.0)]) == [(1.0, None, 4.0)]


def test_unknown_steps_inside_stay_and_the_tail_is_cut_for_all_alike():
    known = [a_step(0, 1, 1.0), a_step(1, 1, None), a_step(2, 1, 0.0), a_step(3, 1, None)]
    shorter = [a_step(0, 1, 5.0)]
    assert rain(known, shorter) == [(1.0, None, 0.0), (5.0, None, None)]


def test_the_grid_begins_with_the_first_known_step():
    ensemble = regular(a_forecast([a_step(0, 1, None), a_step(1, 1, 2.0)]), now=T0)
    assert ensemble.valid_from == T0 + timedelta(hours=1)
    assert ensemble.members[0].rain_mm == (2.0,)


def test_a_forecast_that_knows_nothing_has_no_steps():
    assert regular(a_forecast([a_step(0, 1, None)]), now=T0).steps == 0


@given(
    st.lists(st.tuples(st.integers(1, 24), st.one_of(st.none(), st.integers(0, 500))), min_size=1, max_size=30),
    st.sampled_from([900, 1800, 3600]),
)
def test_mass_is_conserved_and_nothing_is_invented(parts, interval_s):
    steps, hour = [], 0
    for length_h, tenths in parts:
        steps.append(a_step(hour, length_h, None if tenths is None else tenths / 10))
        hour += length_h
    (cells,) = rain(steps, interval_s=interval_s)
    known = [(length, Fraction(tenths, 10)) for length, tenths in parts if tenths is not None]
    assert sum(cell for cell in cells if cell is not None) == pytest.approx(float(sum(mm for _, mm in known)))
    assert sum(cell is not None for cell in cells) == sum(length for length, _ in known) * 3600 // interval_s


def test_overlapping_steps_and_steps_without_length_are_refused():
    with pytest.raises(InputError, match="overlaps"):
        checked_member("0", [a_step(0, 6, 1.0), a_step(5, 1, 1.0)])
    with pytest.raises(InputError, match="no length"):
        checked_member("0", [a_step(0, 0, 1.0)])


def test_two_members_of_one_name_are_refused():
    with pytest.raises(InputError, match="twice: a"):
        checked_members([ForecastMember("a", ()), ForecastMember("a", ())])


def test_a_forecast_of_centuries_is_refused():
    with pytest.raises(InputError, match="too long"):
        rain([a_step(0, 1, 1.0), ForecastStep(T0.replace(year=9000), 3600, 1.0)])


def test_the_printed_document_has_the_agreed_keys():
    body = b'{"source":"x","issued_at":"2026-01-01T00:00:00Z","gage_id":"*","valid_from":"2026-01-01T01:00:00+01:00",'
    body += b'"interval_s":600,"members":[{"member":7,"rain_mm":[0.5,null]}]}'
    assert steps_document(parse_steps("file", body)) == {
        "issued_at": "2026-01-01T00:00:00Z",
        "members": [
            {
                "member": "7",
                "steps": [
                    {"valid_from": "2026-01-01T00:00:00Z", "interval_s": 600, "rain_mm": 0.5},
                    {"valid_from": "2026-01-01T00:10:00Z", "interval_s": 600, "rain_mm": None},
                ],
            }
        ],
    }


def test_an_unknown_provider_is_refused_by_naming_the_known_ones():
    with pytest.raises(InputError, match=", ".join(PROVIDERS)):
        parse_steps("frog", b"{}")
