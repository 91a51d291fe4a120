"""The public page and feeds: what is wrong, since when, until when; nothing about persons, the network or sensors."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import httpx
import pytest
from lxml import etree
from served import (
    T0,
    House,
    a_drainage_run,
    a_failed_run,
    a_model_file,
    a_notice,
    a_reading,
    a_sensor,
    a_supply_run,
    an_incident,
    furnish,
    served,
)

from twin.forecasts import Run, Rung, RunStatus
from twin.incidents import IncidentKind, Severity
from twin.network import NetworkKind
from twin.notices import NoticeState, NoticeStatus, NoticeText
from twin.readings import Quality
from twin.units import Quantity

FEEDS = ("/public/notices.json", "/public/notices.atom", "/public/notices/n-1.cap")
ATTACK = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>{{7*7}}&amp;"


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with served(tmp_path) as house:
        yield house


def _page(house: House, path: str = "/", **headers: str) -> str:
    answer = httpx.get(house.url + path, headers=headers)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    return answer.text


def _fresh(house: House) -> None:
    registry = house.services.registry
    for kind in NetworkKind:
        registry.save_model_file(a_model_file(kind))
    registry.save_run(a_supply_run(issued_at=house.clock.now()))
    registry.save_run(a_drainage_run(issued_at=house.clock.now()))


def _drainage_with(*, status: RunStatus = RunStatus.OK, **basis: Any) -> Run:
    run = a_drainage_run("drainage-9", T0)
    assert run.drainage is not None
    provenance = replace(run.drainage.provenance, **basis)
    return replace(run, status=status, drainage=replace(run.drainage, status=status, provenance=provenance))


def _supply_with(**changes: Any) -> Run:
    run = a_supply_run("supply-9", T0)
    assert run.supply is not None
    return replace(run, supply=replace(run.supply, **changes))


class TestWhenNothingIsWrong:
    def test_with_fresh_forecasts_it_says_so(self, house: House) -> None:
        _fresh(house)
        page = _page(house, "/?lang=en")
        assert "No notices are in force." in page
        assert "We know of no water cuts or floods" in page
        assert "banner" not in page

    def test_without_any_forecast_silence_is_not_good_news(self, house: House) -> None:
        page = _page(house, "/?lang=en")
        assert "No forecast has been made yet." in page
        assert "This does not mean that all is well" in page
        assert "We know of no" not in page

    def test_with_a_stale_forecast_silence_is_not_good_news(self, house: House) -> None:
        _fresh(house)
        house.clock.advance_to(T0 + timedelta(hours=3))
        page = _page(house, "/?lang=en")
        assert "Our data are not up to date." in page
        assert "3 h old" in page
        assert "OUT OF DATE" in page
        assert "We know of no" not in page

    def test_with_one_of_two_models_silent_silence_is_not_good_news(self, house: House) -> None:
        registry = house.services.registry
        for kind in NetworkKind:
            registry.save_model_file(a_model_file(kind))
        registry.save_run(a_supply_run(issued_at=T0))
        page = _page(house, "/?lang=en")
        assert "none has been made yet" in page
        assert "We know of no" not in page

    @pytest.mark.parametrize(
        "run",
        [
            pytest.param(_drainage_with(status=RunStatus.INSUFFICIENT), id="too few members"),
            pytest.param(_drainage_with(weather_rung=Rung.CLIMATOLOGY), id="no forecast of the weather"),
            pytest.param(_drainage_with(weather_issued_at=T0 - timedelta(hours=25)), id="old weather"),
            pytest.param(_supply_with(assumed=("N-TANK-2",)), id="a silent tank"),
            pytest.param(_supply_with(measured=()), id="nothing measured"),
        ],
    )
    def test_a_forecast_that_rests_on_too_little_is_no_good_news(self, house: House, run: Run) -> None:
        _fresh(house)
        house.services.registry.save_run(run)
        for language, words in (("en", "We do not have all the data"), ("pt", "Não temos todos os dados")):
            page = _page(house, f"/?lang={language}")
            assert words in page
            assert "INCOMPLET" in page
            assert "We know of no" not in page
            assert "Não temos conhecimento" not in page
            assert 'class="status good"' not in page
            assert "N-TANK" not in page

    def test_models_without_one_reading_are_no_good_news_until_something_is_measured(self, house: House) -> None:
        _fresh(house)
        house.services.registry.save_run(_supply_with(measured=()))
        house.services.registry.upsert_sensors([a_sensor(f"L{i}", quantity=Quantity.LEVEL) for i in range(30)])
        stale = a_reading("L7", T0 - timedelta(hours=1))
        bad = a_reading("L28", T0, quality=Quality.BAD, reasons=("out_of_range",))
        house.services.readings.append([stale, bad])
        assert "We know of no" not in _page(house, "/?lang=en")
        house.services.readings.append([a_reading("L29", T0 - timedelta(minutes=15))])
        house.clock.advance_to(T0 + timedelta(seconds=3))
        assert "We know of no" not in _page(house, "/?lang=en")
        house.services.readings.append([a_reading("L29", T0)])
        assert "We know of no" in _page(house, "/?lang=en")

    def test_it_speaks_only_of_what_is_foreseen_here(self, house: House) -> None:
        house.services.registry.save_model_file(a_model_file(NetworkKind.SUPPLY))
        house.services.registry.save_run(a_supply_run(issued_at=T0))
        page = _page(house, "/?lang=en")
        assert "We know of no water cuts, neither now nor expected. Floods are not foreseen here." in page

    def test_a_failed_run_counts_as_stale(self, house: House) -> None:
        _fresh(house)
        house.services.registry.save_run(a_failed_run(issued_at=T0 + timedelta(seconds=1)))
        house.clock.advance_to(T0 + timedelta(seconds=2))
        assert "Our data are not up to date." in _page(house, "/?lang=en")


class TestANotice:
    def test_says_what_since_when_until_when_and_for_how_many(self, house: House) -> None:
        house.services.registry.save_notice(a_notice(count=20))
        page = _page(house, "/?lang=en")
        assert "1 notice in force" in page
        assert "Water cut in Rua de Camões" in page
        assert "Sun 1 Mar 2026, 14:00 WET" in page
        assert "Sun 1 Mar 2026, 18:00 WET" in page
        assert "<dd>20</dd>" in page
        assert "severe" in page

    @pytest.mark.parametrize(("count", "shown"), [(14, "fewer than 15"), (15, "<dd>15</dd>"), (1, "fewer than 15")])
    def test_small_counts_are_withheld(self, house: House, count: int, shown: str) -> None:
        house.services.registry.save_notice(a_notice(count=count))
        page = _page(house, "/?lang=en")
        assert shown in page
        assert count >= 15 or f">{count}<" not in page
        item = httpx.get(house.url + FEEDS[0]).json()["items"][0]
        assert item["connections"] == (count if count >= 15 else None)

    def test_past_its_end_without_an_all_clear_is_said_to_be_unconfirmed(self, house: House) -> None:
        house.services.registry.save_notice(a_notice())
        house.clock.advance_to(T0 + timedelta(hours=6, minutes=1))
        page = _page(house, "/?lang=en")
        assert "The expected end has passed" in page
        assert "Since" in page

    def test_an_unknown_end_is_said_to_be_unknown(self, house: House) -> None:
        house.services.registry.save_notice(a_notice(ends_at=None))
        assert "not known yet" in _page(house, "/?lang=en")

    def test_the_worst_stands_first(self, house: House) -> None:
        registry = house.services.registry
        for i, severity in enumerate((Severity.MINOR, Severity.EXTREME, Severity.MODERATE, Severity.SEVERE)):
            text = NoticeText(f"Headline-{severity}", "d", "i")
            registry.save_notice(a_notice(f"n-{i}", severity=severity, texts={"pt": text, "en": text}))
        order = re.findall(r"Headline-(\w+)", _page(house))
        assert order == ["extreme", "severe", "moderate", "minor"]

    def test_an_all_clear_is_shown_for_a_day(self, house: House) -> None:
        house.services.registry.save_notice(a_notice(to=NoticeState.ALL_CLEAR))
        assert "Over within the last 24 hours" in _page(house, "/?lang=en")
        house.clock.advance_to(T0 + timedelta(hours=24, seconds=1))
        assert "Over within the last 24 hours" not in _page(house, "/?lang=en")

    @pytest.mark.parametrize("state", [NoticeState.DRAFT, NoticeState.APPROVED, NoticeState.CANCELLED])
    def test_what_is_not_published_is_nowhere(self, house: House, state: NoticeState) -> None:
        house.services.registry.save_notice(a_notice(to=state))
        house.services.registry.save_incidents([an_incident()])
        shown = _page(house) + "".join(httpx.get(house.url + path).text for path in FEEDS[:2])
        assert "Camões" not in shown
        assert "n-1" not in shown
        assert httpx.get(house.url + FEEDS[2]).status_code == 404

    def test_words_of_the_next_step_are_not_shown_before_they_are_published(self, house: House) -> None:
        draft_of_update = {"pt": NoticeText("Rascunho", "r", "r"), "en": NoticeText("Unpublished words", "d", "i")}
        house.services.registry.save_notice(replace(a_notice(), texts=draft_of_update))
        shown = _page(house, "/?lang=en") + "".join(httpx.get(house.url + path).text for path in FEEDS)
        assert "Unpublished words" not in shown
        assert "Water cut in Rua de Camões" in shown


def test_the_language_follows_the_browser_and_can_be_chosen(house: House) -> None:
    assert '<html lang="pt">' in _page(house)
    assert '<html lang="en">' in _page(house, **{"Accept-Language": "en-GB,en;q=0.9"})
    assert '<html lang="pt">' in _page(house, "/?lang=pt", **{"Accept-Language": "en"})
    assert "Accept-Language" in httpx.get(house.url + "/").headers["vary"]


def test_an_exercise_says_so_on_every_page_and_notice(tmp_path: Path) -> None:
    with served(tmp_path, exercise=True) as house:
        house.services.registry.save_notice(a_notice(status=NoticeStatus.EXERCISE))
        assert _page(house, "/?lang=en").count("EXERCISE") >= 3
        assert "EXERCÍCIO" in _page(house, "/?lang=pt")
        assert httpx.get(house.url + FEEDS[0]).json()["exercise"] is True
        assert "<status>Exercise</status>" in httpx.get(house.url + FEEDS[2]).text
        assert "EXERCISE" in httpx.get(house.url + "/ops/login").text


def test_real_notices_carry_no_exercise(house: House) -> None:
    house.services.registry.save_notice(a_notice())
    assert "EXERC" not in _page(house)


def test_nothing_public_tells_of_persons_network_or_sensors(house: House) -> None:
    furnish(house)
    registry = house.services.registry
    kinds = [IncidentKind.OUTAGE_OBSERVED, IncidentKind.FLOOD_PREDICTED]
    for i, kind in enumerate(kinds, 2):
        registry.save_notice(a_notice(f"n-{i}", kind=kind, incident_id=f"i-{i}", count=3))
    secrets = [
        "CONNECTION-",
        "CUSTOMER-",
        "N-JUNCTION",
        "N-TANK",
        "L-VALVE",
        "mail.example",
        "900 000",
        "P1",
        "M7",
        *house.keys.values(),
    ]
    secrets += [key.name for key in registry.keys()] + ["the night shift", "unknown_sensor"]  # noqa: SIM118
    paths = [
        "/",
        "/?lang=en",
        *FEEDS,
        "/public/notices/n-2.cap",
        "/public/notices/n-3.cap",
        "/docs",
        "/ops/login",
        "/healthz",
    ]
    for path in paths:
        answer = httpx.get(house.url + path)
        assert answer.status_code == 200
        assert [secret for secret in secrets if secret in answer.text + str(answer.headers)] == [], path


class _Tags(HTMLParser):
    """Collects tags, attributes and addresses, as a browser would find them."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs


def _parsed(page: str) -> _Tags:
    tags = _Tags()
    tags.feed(page)
    return tags


def test_markup_in_a_notice_stays_text(house: House) -> None:
    text = NoticeText(ATTACK, ATTACK, ATTACK)
    house.services.registry.save_notice(a_notice(texts={"pt": text, "en": text}))
    page = _page(house)
    tags = _parsed(page)
    assert "script" not in tags.tags
    assert "img" not in tags.tags
    assert not [name for name, _ in tags.attributes if name.startswith("on")]
    assert "{{7*7}}" in page
    etree.fromstring(httpx.get(house.url + FEEDS[1]).content)
    etree.fromstring(httpx.get(house.url + FEEDS[2]).content)
    assert httpx.get(house.url + FEEDS[0]).json()["items"][0]["texts"]["pt"]["headline"] == ATTACK


def test_the_page_is_light_needs_no_script_and_asks_nobody_else(house: House) -> None:
    registry = house.services.registry
    for i in range(50):
        registry.save_notice(a_notice(f"n-{i}"))
    page = _page(house)
    style = httpx.get(house.url + "/static/twin.css")
    assert style.headers["content-type"].startswith("text/css")
    assert len(page.encode()) + len(style.content) < 100_000
    tags = _parsed(page)
    assert not {"script", "iframe", "object", "style"} & set(tags.tags)
    addresses = [value for name, value in tags.attributes if name in ("href", "src", "action") and value]
    assert addresses
    assert all(value.startswith(("/", "#")) and not value.startswith("//") for value in addresses)
    assert "url(" not in style.text
    assert "@import" not in style.text
    assert ("name", "viewport") in tags.attributes
    assert "prefers-color-scheme: dark" in style.text


@pytest.mark.parametrize(
    ("path", "media_type"),
    [
        (FEEDS[0], "application/json"),
        (FEEDS[1], "application/atom+xml; charset=utf-8"),
        (FEEDS[2], "application/cap+xml; charset=utf-8"),
    ],
)
def test_feeds_have_their_type_and_may_be_kept_for_a_short_while(house: House, path: str, media_type: str) -> None:
    house.services.registry.save_notice(a_notice())
    first = httpx.get(house.url + path)
    assert first.headers["content-type"] == media_type
    assert first.headers["cache-control"] == "public, max-age=30"
    again = httpx.get(house.url + path, headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    house.services.registry.save_notice(a_notice(to=NoticeState.UPDATED))
    assert httpx.get(house.url + path, headers={"If-None-Match": first.headers["etag"]}).status_code == 200


def test_the_feed_names_the_public_address_and_forgets_what_ended_long_ago(house: House) -> None:
    house.services.registry.save_notice(a_notice(to=NoticeState.ALL_CLEAR))
    (item,) = json.loads(httpx.get(house.url + FEEDS[0]).content)["items"]
    assert item["cap"] == "https://water.example.org/public/notices/n-1.cap"
    assert item["state"] == "all_clear"
    house.clock.advance_to(T0 + timedelta(days=7, seconds=1))
    assert httpx.get(house.url + FEEDS[0]).json()["items"] == []
