"""The pages' words: complete in both languages, times as people of the city read them."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

import api.web
from api.web.rendering import duration, local_time
from api.web.words import KINDS, LANGUAGES, SEVERITIES, WORDS, choose_language
from twin.incidents import IncidentKind, Severity


def test_both_languages_have_the_same_words_and_none_is_empty() -> None:
    assert set(WORDS["pt"]) == set(WORDS["en"])
    assert all(text for language in LANGUAGES for text in WORDS[language].values())


def test_every_kind_and_severity_has_a_word() -> None:
    for language in LANGUAGES:
        assert set(KINDS[language]) == set(IncidentKind)
        assert set(SEVERITIES[language]) == set(Severity)


def test_the_page_uses_only_words_that_exist_and_no_word_is_left_over() -> None:
    template = (Path(api.web.__file__).parent / "templates" / "public.html").read_text()
    used = set(re.findall(r"words\.(\w+)", template)) | set(re.findall(r'words\["(\w+)"\]', template))
    chosen = {"supply", "drainage", "nothing_fresh", "nothing_fresh_supply", "nothing_fresh_drainage"}
    assert used | chosen == set(WORDS["pt"])


@pytest.mark.parametrize(
    ("asked", "accepted", "language"),
    [
        pytest.param(None, "", "pt", id="nothing said"),
        pytest.param(None, "en-GB,en;q=0.9", "en", id="English browser"),
        pytest.param(None, "pt-PT", "pt", id="Portuguese browser"),
        pytest.param(None, "de-DE,de;q=0.9,en;q=0.5,pt;q=0.4", "en", id="German who reads English"),
        pytest.param(None, "fr", "pt", id="neither"),
        pytest.param(None, "en;q=0", "pt", id="English refused"),
        pytest.param(None, "en;q=x", "pt", id="broken weight"),
        pytest.param("en", "pt", "en", id="asked for wins"),
        pytest.param("xx", "en", "en", id="unknown is ignored"),
    ],
)
def test_the_language_is_chosen(asked: str | None, accepted: str, language: str) -> None:
    assert choose_language(asked, accepted) == language


@given(st.text())
def test_any_header_gives_a_language(header: str) -> None:
    assert choose_language(None, header) in LANGUAGES


@pytest.mark.parametrize(
    ("utc", "text"),
    [
        (datetime(2026, 10, 25, 0, 30, tzinfo=UTC), "Sun 25 Oct 2026, 01:30 WEST"),
        (datetime(2026, 10, 25, 1, 30, tzinfo=UTC), "Sun 25 Oct 2026, 01:30 WET"),
    ],
    ids=["before the clocks go back", "the same hour again"],
)
def test_the_hour_that_comes_twice_can_be_told_apart(utc: datetime, text: str) -> None:
    assert local_time(utc, ZoneInfo("Europe/Lisbon"), "en") == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "less than 1 min"),
        (59, "less than 1 min"),
        (60, "1 min"),
        (3599, "59 min"),
        (3600, "1 h"),
        (5400, "1 h 30 min"),
        (86400, "1 d"),
        (97200, "1 d 3 h"),
    ],
)
def test_lengths_of_time_are_said_as_people_say_them(seconds: float, text: str) -> None:
    assert duration(seconds) == text
