from __future__ import annotations

import itertools
import random
from dataclasses import fields

import pytest
from contract.registry.records import SOMEWHERE_ELSE, a_model_file, a_state, an_ensemble, at

from twin.errors import InputError, NaiveDatetimeError
from twin.forecasts import WeatherEnsemble, WeatherMember
from twin.network import NetworkKind
from twin.storage.registry import SqlRegistry


def test_the_state_here_leaves_no_field_at_its_default() -> None:
    assert [field.name for field in fields(a_state()) if getattr(a_state(), field.name) == field.default] == []


@pytest.mark.parametrize("issued_at", [at(0), None], ids=["issued", "no time of issue"])
def test_weather_comes_back_as_it_was_and_the_same_again_changes_nothing(
    registry: SqlRegistry, issued_at: object
) -> None:
    registry.save_weather(an_ensemble(issued_at=issued_at))
    registry.save_weather(an_ensemble(issued_at=issued_at, members=(), attribution="other"))
    assert registry.latest_weather(known_at=at(600)) == an_ensemble(issued_at=issued_at)


def test_weather_that_was_not_yet_available_is_unknown(registry: SqlRegistry) -> None:
    registry.save_weather(an_ensemble(available_at=at(600)))
    assert registry.latest_weather(known_at=at(599.999999)) is None
    assert registry.latest_weather(known_at=at(600).astimezone(SOMEWHERE_ELSE)) is not None


def test_an_unknown_step_stays_unknown_and_never_becomes_dry(registry: SqlRegistry) -> None:
    registry.save_weather(an_ensemble(members=(WeatherMember("0", (None, 0.0, None)),)))
    kept = registry.latest_weather(known_at=at(600))
    assert kept is not None
    assert kept.members[0].rain_mm == (None, 0.0, None)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_rain_that_is_no_number_is_refused(registry: SqlRegistry, bad: float) -> None:
    with pytest.raises(InputError, match=r"members\[0\]\.rain_mm\[1\]"):
        registry.save_weather(an_ensemble(members=(WeatherMember("0", (0.0, bad)),)))
    assert registry.latest_weather(known_at=at(10_000)) is None


def test_the_newest_weather_is_the_one_issued_last_of_those_known(registry: SqlRegistry) -> None:
    """Every combination of gage, issue and availability, asked at every moment, against a plain search."""
    every = [
        an_ensemble(gage_id=gage, issued_at=issued and at(issued - 1), available_at=at(available), attribution=f"{n}")
        for n, (gage, issued, available) in enumerate(
            itertools.product(("G1", "G2", "*"), (None, 1, 301, 601), (300, 600, 900))
        )
    ]
    random.Random(3).shuffle(every)
    for ensemble in every:
        registry.save_weather(ensemble)

    def newness(ensemble: WeatherEnsemble) -> tuple[object, ...]:
        return (ensemble.issued_at or ensemble.available_at, ensemble.available_at, ensemble.gage_id != "*")

    for gage_id, known in itertools.product((None, "G1", "G2", "G3"), (0, 300, 450, 600, 900)):
        candidates = [
            ensemble
            for ensemble in every
            if ensemble.available_at <= at(known) and (gage_id is None or ensemble.gage_id in (gage_id, "*"))
        ]
        found = registry.latest_weather(known_at=at(known), gage_id=gage_id)
        if not candidates:
            assert found is None
            continue
        best = max(candidates, key=newness)
        assert found is not None
        assert found in candidates
        if gage_id is None:
            assert newness(found)[:2] == newness(best)[:2]
        else:
            assert newness(found) == newness(best)


def test_a_state_comes_back_as_it_was(registry: SqlRegistry) -> None:
    registry.save_state(a_state(1))
    plain = a_state(
        1, key="other", continuity_error_pct=None, available_at=None, cold=False, flooded_m3={}, content=b""
    )
    registry.save_state(plain)
    assert registry.latest_state("site", "swmm-5.2:abc", by=at(1)) == a_state(1)
    assert registry.latest_state("site", "other", by=at(9)) == plain


def test_a_state_of_another_model_or_key_or_of_later_is_not_returned(registry: SqlRegistry) -> None:
    registry.save_state(a_state(10))
    assert registry.latest_state("site", "swmm-5.2:abd", by=at(99)) is None
    assert registry.latest_state("Site", "swmm-5.2:abc", by=at(99)) is None
    assert registry.latest_state("site", "swmm-5.2:abc", by=at(9.999999)) is None


def test_the_newest_five_states_of_each_model_and_key_are_kept(registry: SqlRegistry) -> None:
    for number in (4, 8, 1, 7, 2, 6, 3, 5):
        registry.save_state(a_state(number))
        registry.save_state(a_state(number, key="other"))
        registry.save_state(a_state(number, model_id="other"))
    for model_id, key in (("site", "swmm-5.2:abc"), ("site", "other"), ("other", "swmm-5.2:abc")):
        found = [registry.latest_state(model_id, key, by=at(number)) for number in range(10)]
        assert [state and state.valid_at for state in found] == [None] * 4 + [at(4), at(5), at(6), at(7), at(8), at(8)]


def test_a_state_made_again_for_the_same_moment_replaces_the_first(registry: SqlRegistry) -> None:
    registry.save_state(a_state(1))
    registry.save_state(a_state(1, content=b"with the late rain", rain_mm=13.0))
    kept = registry.latest_state("site", "swmm-5.2:abc", by=at(1))
    assert kept == a_state(1, content=b"with the late rain", rain_mm=13.0)


def test_a_state_with_a_number_that_is_none_is_refused(registry: SqlRegistry) -> None:
    with pytest.raises(InputError):
        registry.save_state(a_state(1, rain_mm=float("nan")))
    with pytest.raises(InputError):
        registry.save_state(a_state(1, flooded_m3={"M1": float("inf")}))
    assert registry.latest_state("site", "swmm-5.2:abc", by=at(9)) is None


def test_the_model_file_in_use_is_the_one_saved_last(registry: SqlRegistry) -> None:
    first, second = a_model_file(b"\x00first\xff"), a_model_file(b"second", imported_at=at(1))
    supply = a_model_file(b"supply", kind=NetworkKind.SUPPLY)
    assert registry.model_file(NetworkKind.DRAINAGE) is None
    for file in (first, supply, second):
        registry.save_model_file(file)
    assert registry.model_file(NetworkKind.DRAINAGE) == second
    assert registry.model_file(NetworkKind.SUPPLY) == supply


def test_going_back_to_an_older_model_file(registry: SqlRegistry) -> None:
    first, second = a_model_file(b"first"), a_model_file(b"second", imported_at=at(1))
    for file in (first, second, a_model_file(b"first", imported_at=at(2), name="again.inp")):
        registry.save_model_file(file)
    assert registry.model_file(NetworkKind.DRAINAGE) == a_model_file(b"first", imported_at=at(2), name="again.inp")


def test_naive_times_are_errors_everywhere(registry: SqlRegistry) -> None:
    naive = at(0).replace(tzinfo=None)
    with pytest.raises(NaiveDatetimeError):
        registry.latest_weather(known_at=naive)
    with pytest.raises(NaiveDatetimeError):
        registry.latest_state("site", "k", by=naive)
    with pytest.raises(NaiveDatetimeError):
        registry.save_weather(an_ensemble(issued_at=naive))
    with pytest.raises(NaiveDatetimeError):
        registry.save_model_file(a_model_file(imported_at=naive))
