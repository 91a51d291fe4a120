"""The ladder: which rung answers, how it is labelled, what is archived."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest

from ingest.weather.climatology import Climatology
from ingest.weather.ladder import WeatherLadder
from twin.errors import InputError, NaiveDatetimeError, UnavailableError
from twin.forecasts import Rung, WeatherEnsemble, WeatherMember

NOW = datetime(2026, 1, 1, 12, 20, tzinfo=UTC)


def an_ensemble(source="service", *, issued_at=NOW - timedelta(hours=2), hours=48, members=None, **changes):
    rain = members or [(1.0,) * hours, (0.0,) * hours, (2.0,) * hours]
    ensemble = WeatherEnsemble(
        source=source,
        issued_at=issued_at,
        available_at=NOW,
        gage_id="*",
        valid_from=NOW.replace(hour=0, minute=0),
        interval_s=3600,
        members=tuple(WeatherMember(str(i), tuple(row)) for i, row in enumerate(rain)),
    )
    return replace(ensemble, **changes)


@dataclass
class Given:
    """A source that answers what it is given, or fails with it."""

    answer: WeatherEnsemble | Exception
    name: str = "given"

    def fetch(self, *, now):
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@dataclass
class Kept:
    """An archive in memory."""

    saved: list[WeatherEnsemble] = field(default_factory=list)
    full: bool = False

    def save_weather(self, ensemble):
        if self.full:
            raise UnavailableError("the disk is full")
        self.saved.append(ensemble)

    def latest_weather(self, *, known_at, gage_id=None):
        known = [e for e in self.saved if e.available_at <= known_at]
        return max(known, key=lambda e: e.available_at, default=None)


DOWN = UnavailableError("timed out")


def climb(*answers, archive=None, now=NOW):
    rungs = zip((Rung.ENSEMBLE, Rung.DETERMINISTIC), map(Given, answers), strict=False)
    return WeatherLadder(list(rungs), archive or Kept()).fetch(now=now)


def test_the_best_rung_answers_and_is_archived():
    archive = Kept()
    found = climb(an_ensemble("good"), an_ensemble("worse"), archive=archive)
    assert (found.source, found.rung, found.causes) == ("good", Rung.ENSEMBLE, ())
    assert archive.saved == [found]


@pytest.mark.parametrize(
    ("first", "cause"),
    [
        pytest.param(DOWN, "timed out", id="away"),
        pytest.param(InputError("no JSON"), "no JSON", id="broken"),
        pytest.param(replace(an_ensemble(), members=()), "no members", id="no members"),
        pytest.param(an_ensemble(issued_at=NOW - timedelta(hours=25)), "older than", id="too old"),
        pytest.param(an_ensemble(issued_at=NOW + timedelta(hours=1)), "still to come", id="from the future"),
        pytest.param(an_ensemble(hours=13), "0 of 3 members", id="ends in an hour"),
        pytest.param(an_ensemble(valid_from=NOW + timedelta(hours=1)), "0 of 3 members", id="begins too late"),
    ],
)
def test_a_fallen_rung_leaves_its_cause_on_the_next(first, cause):
    found = climb(first, an_ensemble("plain"))
    assert (found.source, found.rung) == ("plain", Rung.DETERMINISTIC)
    (told,) = found.causes
    assert told.startswith("ensemble (given): ")
    assert cause in told


def test_half_of_the_members_must_know_the_hours_ahead():
    known, unknown = (1.0,) * 48, (1.0,) * 14 + (None,) + (1.0,) * 33
    assert climb(an_ensemble("half", members=[known, known, unknown, unknown]), DOWN).source == "half"
    assert climb(an_ensemble("less", members=[known, unknown, unknown]), DOWN).rung is Rung.CLIMATOLOGY


@pytest.mark.parametrize("alone", [1, 2])
def test_a_forecast_without_members_is_dressed_and_archived_as_it_was_issued(alone):
    """Without members no probability is ever stated: such a forecast would never warn."""
    archive = Kept()
    bare = an_ensemble("one", members=[(4.0,) * 48] * alone)
    found = climb(DOWN, bare, archive=archive)
    assert (found.source, found.rung) == ("one (dressed)", Rung.DETERMINISTIC)
    assert found.members[:alone] == bare.members
    assert len(found.members) == 20
    assert [(kept.source, kept.members) for kept in archive.saved] == [("one", bare.members)]
    last_good = climb(DOWN, DOWN, archive=archive)
    assert (last_good.rung, last_good.members) == (Rung.LAST_GOOD, found.members)


def test_one_member_is_deterministic_also_where_an_ensemble_was_asked_for():
    assert climb(an_ensemble("file", members=[(4.0,) * 48])).rung is Rung.DETERMINISTIC


def test_the_last_good_forecast_answers_while_it_covers_the_hours_ahead():
    archive = Kept([an_ensemble("kept", available_at=NOW - timedelta(hours=1), rung=Rung.ENSEMBLE)])
    found = climb(DOWN, DOWN, archive=archive)
    assert (found.source, found.rung) == ("kept", Rung.LAST_GOOD)
    assert len(found.causes) == 2
    assert len(archive.saved) == 1
    assert climb(DOWN, DOWN, archive=archive, now=NOW + timedelta(hours=30)).rung is Rung.CLIMATOLOGY


def test_what_became_known_only_later_is_no_last_good_forecast():
    archive = Kept([an_ensemble("later", available_at=NOW + timedelta(minutes=1))])
    assert climb(DOWN, archive=archive).rung is Rung.CLIMATOLOGY


def test_the_last_rung_always_answers_and_names_every_cause():
    found = climb(DOWN, DOWN)
    assert found.rung is Rung.CLIMATOLOGY
    assert [cause.split(":")[0] for cause in found.causes] == ["ensemble (given)", "deterministic (given)", "last_good"]
    assert found.valid_from <= NOW < found.valid_to


def test_climatology_is_never_archived_as_a_good_forecast():
    archive = Kept()
    climb(DOWN, archive=archive)
    assert archive.saved == []


def test_a_full_archive_costs_no_forecast(caplog):
    assert climb(an_ensemble("good"), archive=Kept(full=True)).source == "good"
    assert "could not be archived" in caplog.text


def test_a_mistake_of_ours_is_not_taken_for_bad_weather():
    with pytest.raises(ZeroDivisionError):
        climb(ZeroDivisionError())
    with pytest.raises(NaiveDatetimeError):
        climb(an_ensemble(), now=datetime(2026, 1, 1))  # noqa: DTZ001


def test_an_own_climatology_can_be_given():
    dry = Climatology([0.0] * 12, members=3)
    found = WeatherLadder([], Kept(), dry).fetch(now=NOW)
    assert [sum(member.rain_mm) for member in found.members] == [0, 0, 0]
