"""What the public page shows: the published words and nothing else. No ids of places, customers or sensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from api.freshness import Freshness, latest_good
from api.grounds import doubts
from api.services import Services
from api.web.rendering import local_time
from api.web.words import KINDS, SEVERITIES
from twin.customers import public_count
from twin.forecasts import RunKind
from twin.network import NetworkKind
from twin.notices import IN_FORCE, Notice, NoticeState, NoticeStatus, NoticeText

SHOW_OVER_FOR = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class PublicNotice:
    """A published notice in one language. `count` None: withheld, fewer than 15."""

    notice_id: str
    text: NoticeText
    kind: str
    severity: str
    severity_word: str
    starts: str | None
    has_begun: bool
    ends: str | None
    is_overdue: bool
    count: int | None
    has_connections: bool
    sent: str
    is_exercise: bool


@dataclass(frozen=True, slots=True)
class PublicView:
    """The whole page. `ages` maps supply and drainage to the newest good forecast's freshness (None: none yet).

    `unsure` are those of them that rest on too little: what they do not foresee may well come.
    """

    in_force: tuple[PublicNotice, ...]
    over: tuple[PublicNotice, ...]
    ages: Mapping[str, Freshness | None]
    made: str
    unsure: frozenset[str] = frozenset()

    @property
    def is_stale(self) -> bool:
        """Whether a forecast that people rely on is out of date."""
        return any(age is not None and age.stale for age in self.ages.values())

    @property
    def has_forecast(self) -> bool:
        """Whether there is any forecast."""
        return any(age is not None for age in self.ages.values())

    @property
    def is_complete(self) -> bool:
        """Whether every model in use has a fresh forecast that rests on enough: only then is silence good news."""
        fresh = all(age is not None and not age.stale for age in self.ages.values())
        return bool(self.ages) and fresh and not self.unsure

    @property
    def all_is_well(self) -> str:
        """The word for knowing of nothing wrong: it speaks of what is foreseen here, and of nothing else."""
        return "nothing_fresh" if len(self.ages) == len(RunKind) else f"nothing_fresh_{next(iter(self.ages), 'supply')}"


def public_view(services: Services, language: str) -> PublicView:
    """Look up what the public may know now."""
    now = services.clock.now()
    in_force = sorted(services.registry.notices(states=sorted(IN_FORCE), limit=1000).items, key=_worst_first)
    ended = services.registry.notices(states=[NoticeState.ALL_CLEAR], limit=200).items
    over = [notice for notice in ended if now - notice.updated_at <= SHOW_OVER_FOR]
    ages, unsure = _forecasts(services)
    return PublicView(
        in_force=tuple(_public(notice, services, language, now) for notice in in_force),
        over=tuple(_public(notice, services, language, now) for notice in over),
        ages=ages,
        made=local_time(now, services.timezone, language),
        unsure=unsure,
    )


def _forecasts(services: Services) -> tuple[dict[str, Freshness | None], frozenset[str]]:
    """Return the freshness of each model that is in use here or ever ran, and which of them rest on too little."""
    ages: dict[str, Freshness | None] = {}
    unsure = set()
    for kind in RunKind:
        found = latest_good(kind, services)
        if found or services.registry.model_file(NetworkKind(kind.value)):
            ages[kind.value] = found[1] if found else None
        if found and doubts(found[0], services):
            unsure.add(kind.value)
    return ages, frozenset(unsure)


def _worst_first(notice: Notice) -> tuple[int, datetime]:
    return -notice.severity.rank, notice.starts_at or notice.created_at


def _public(notice: Notice, services: Services, language: str, now: datetime) -> PublicNotice:
    said = notice.revisions[-1]
    starts_at, ends_at = said.starts_at, said.ends_at
    return PublicNotice(
        notice_id=notice.notice_id,
        text=_text(said.texts, language),
        kind=KINDS[language][notice.kind],
        severity=notice.severity.value,
        severity_word=SEVERITIES[language][notice.severity],
        starts=local_time(starts_at, services.timezone, language) if starts_at else None,
        has_begun=starts_at is not None and starts_at <= now,
        ends=local_time(ends_at, services.timezone, language) if ends_at else None,
        is_overdue=notice.is_in_force and ends_at is not None and ends_at < now,
        count=public_count(said.connection_count),
        has_connections=said.connection_count > 0,
        sent=local_time(said.sent_at, services.timezone, language),
        is_exercise=notice.status is NoticeStatus.EXERCISE,
    )


def _text(texts: Mapping[str, NoticeText], language: str) -> NoticeText:
    return texts.get(language) or next(iter(texts.values()), NoticeText("", "", ""))
