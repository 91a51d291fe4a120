"""What members say together, on look-aheads written by hand."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.supply.energy import PumpUse
from models.supply.ensemble import percentile, together
from models.supply.lookahead import Lookahead
from twin.forecasts import PredictedOutage, ShortageKind, TankOutlook

T0 = datetime(2026, 1, 5, tzinfo=UTC)
HOURS = 25


def an_outage(node: str, first_h: float, last_h: float | None, cause: str = "x") -> PredictedOutage:
    end = None if last_h is None else T0 + timedelta(hours=last_h)
    starts = T0 + timedelta(hours=first_h)
    return PredictedOutage(node, starts, end, ShortageKind.NO_SOURCE, cause, cause, 0.0, 0.0)


def ahead(*outages: PredictedOutage, empty_h: float | None = None, level_m: float = 2.0, kwh: float = 10) -> Lookahead:
    empty_at = None if empty_h is None else T0 + timedelta(hours=empty_h)
    tank = TankOutlook("T", level_m, 0.0, 5.0, empty_at, None, (level_m,) * HOURS)
    return Lookahead(HOURS, outages, (tank,), {"PU": PumpUse(1.0, 20.0, kwh, 0.4, None)}, (), 1.0, 1.0, ())


def hour(moment: datetime | None) -> float:
    assert moment is not None
    return (moment - T0).total_seconds() / 3600


def test_the_share_of_members_is_the_probability_and_their_order_the_percentiles() -> None:
    # of ten members two have none, one begins an hour late, one lasts beyond the horizon
    have = [ahead(an_outage("J", 5, 9))] * 6 + [ahead(an_outage("J", 6, 8))] + [ahead(an_outage("J", 4, None))]
    found = together(ahead(an_outage("J", 5, 9)), [*have, ahead(), ahead()], issued_at=T0)
    (outage,) = found.outages
    assert found.possible == ()
    assert outage.probability == 0.8
    assert (hour(outage.starts_at), hour(outage.ends_at)) == (5, 9)
    assert (hour(outage.starts_p10_at), hour(outage.starts_p90_at)) == (4, 6)
    assert (outage.duration_p10_s, outage.duration_p90_s) == (2 * 3600, None)


def test_an_outage_of_the_median_course_stays_even_if_no_member_has_it() -> None:
    (outage,) = together(ahead(an_outage("J", 5, 9)), [ahead()] * 10, issued_at=T0).outages
    assert (outage.probability, outage.starts_p10_at) == (0.0, None)


def test_what_most_members_have_is_expected_and_what_few_have_is_possible() -> None:
    members = [ahead(an_outage("often", 3, 4, "a"), *[an_outage("seldom", 10 + n, 12 + n, "b")] * (n < 3)) for n in
               range(10)]  # fmt: skip
    found = together(ahead(), members, issued_at=T0)
    assert [(one.node_id, one.probability, one.cause_key) for one in found.outages] == [("often", 1.0, "a")]
    (seldom,) = found.possible
    assert (seldom.node_id, seldom.probability, hour(seldom.starts_at), hour(seldom.ends_at)) == ("seldom", 0.3, 11, 13)
    assert (hour(seldom.starts_p10_at), hour(seldom.starts_p90_at)) == (10, 12)


def test_two_outages_of_a_node_are_told_apart_and_two_pieces_of_a_member_are_one() -> None:
    median = ahead(an_outage("J", 2, 4), an_outage("J", 14, 16))
    members = [ahead(an_outage("J", 2, 3), an_outage("J", 5, 6))] * 4 + [ahead(an_outage("J", 15, 17))] * 6
    early, late = together(median, members, issued_at=T0).outages
    assert (early.probability, early.duration_p10_s) == (0.4, 4 * 3600)
    assert (late.probability, hour(late.starts_p10_at)) == (0.6, 15)


def test_a_tank_is_empty_with_a_probability_and_an_interval() -> None:
    members = [ahead(empty_h=3 + n, level_m=float(n)) for n in range(6)] + [ahead(level_m=9.0)] * 4
    (tank,) = together(ahead(empty_h=6), members, issued_at=T0).tanks
    assert tank.empty is not None
    assert tank.full is not None
    assert (tank.empty.probability, tank.full.probability) == (0.6, 0.0)
    assert (hour(tank.empty.p10_at), hour(tank.empty.p50_at), tank.empty.p90_at) == (3, 7, None)
    assert (tank.level_p10_m, tank.level_p90_m) == ((0.0,) * HOURS, (9.0,) * HOURS)
    assert hour(tank.empty_at) == 6


def test_pumps_say_what_they_use_and_between_what() -> None:
    (pump,) = together(ahead(kwh=10), [ahead(kwh=n) for n in range(1, 11)], issued_at=T0).pumps
    assert (pump.energy_kwh, pump.energy_p10_kwh, pump.energy_p90_kwh, pump.kwh_m3) == (10, 1, 9, 0.5)


def test_nine_members_say_nothing() -> None:
    found = together(ahead(an_outage("J", 5, 9)), [ahead()] * 9, issued_at=T0)
    assert found.outages == (an_outage("J", 5, 9),)
    assert found.tanks[0].empty is None
    assert found.pumps[0].energy_p10_kwh is None


@given(values=st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60), share=st.sampled_from([0.1, 0.5, 0.9]))
def test_percentiles_are_those_of_the_empirical_distribution(values: Sequence[float], share: float) -> None:
    assert percentile(values, share) == pytest.approx(np.quantile(values, share, method="inverted_cdf"))
