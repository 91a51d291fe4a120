"""Can h2twin do its work? Each check asks one part and says in words what it found."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from api.freshness import LATE_AFTER_CYCLES, latest_good
from api.grounds import WEATHER_MAX_AGE, doubts, has_weather, weather_made_at
from api.ingesters import INGEST, ingesters
from api.schemas.health import CheckOut, ReadyOut
from api.services import Services
from api.store_watch import FILLING, FULLNESS_FIGURE, NEARLY_FULL
from twin.errors import TwinError
from twin.forecasts import RunKind, RunStatus
from twin.network import NetworkKind
from twin.ports import Beat

BEAT_LIMIT_S = 60.0
"""A role that is well leaves a sign of life far more often than this (the cycle: at each turn)."""

STORE_TROUBLE = "readings: "
"""With these words the ingest role begins what is wrong with the store of readings (`api.roles`)."""


def readiness(services: Services) -> ReadyOut:
    """Make every check; one that fails does not keep the others from being made."""
    checks = [
        _checked("readings", lambda: _answers(services.readings.check)),
        _checked("registry", lambda: _answers(services.registry.check)),
        _checked("broker", lambda: _ingest(services)),
        _checked("cycle", lambda: _beat("cycle", _cycle_limit_s(services), "turns in time", services)),
        *(_checked(f"{kind}_cycle", lambda kind=kind: _cycle(kind, services)) for kind in RunKind),  # type: ignore[misc]
        _checked("weather", lambda: _weather(services)),
        *_spool(services),
        *_room(services),
    ]
    return ReadyOut(status="ready" if all(check.ok for check in checks) else "not_ready", checks=checks)


def without_details(answer: ReadyOut) -> ReadyOut:
    """Return the answer for strangers: details name hosts, files and causes."""
    return ReadyOut(status=answer.status, checks=[CheckOut(name=check.name, ok=check.ok) for check in answer.checks])


Found = tuple[bool, str, float | None]


def _checked(name: str, ask: Callable[[], Found]) -> CheckOut:
    try:
        ok, detail, age_s = ask()
    except TwinError as error:
        ok, detail, age_s = False, str(error), None
    return CheckOut(name=name, ok=ok, detail=detail, age_s=age_s)


def _answers(check: Callable[[], None]) -> Found:
    check()
    return True, "answers and can be written", None


def _beat(role: str, limit_s: float, well: str, services: Services) -> Found:
    beat = services.registry.beats().get(role)
    if beat is None:
        return _never_heard(role)
    return _told_by(beat, limit_s, well, services)


def _never_heard(role: str) -> Found:
    return False, f"the {role} role has never left a sign of life: is it running?", None


def _told_by(beat: Beat, limit_s: float, well: str, services: Services) -> Found:
    role, age_s = beat.role, (services.clock.now() - beat.at).total_seconds()
    if age_s > limit_s:
        return False, f"the {role} role has been silent for {age_s:.0f} s; it last said: {beat.detail or 'ok'}", age_s
    return beat.ok, beat.detail or (well if beat.ok else f"the {role} role is not well"), age_s


def _ingest(services: Services) -> Found:
    """Judge all ingesters: a share of the messages waits for each of them."""
    beats = _ingesters(services)
    if not beats:
        return _never_heard(INGEST)
    limit_s = _cycle_limit_s(services) if services.exercise else BEAT_LIMIT_S  # a replay's clock leaps by a cycle
    found = [_told_by(beat, limit_s, "connected", services) for beat in beats]
    if len(found) == 1:
        return found[0]
    told = "; ".join(f"{beat.role}: {detail}" for beat, (_, detail, _) in zip(beats, found, strict=True))
    return all(ok for ok, _, _ in found), told, max(age_s for _, _, age_s in found if age_s is not None)


def _ingesters(services: Services) -> list[Beat]:
    return ingesters(services.registry.beats(), now=services.clock.now())


def _cycle_limit_s(services: Services) -> float:
    """Return after how long the cycle is silent: it leaves a sign of life at the end of each turn only."""
    return max(BEAT_LIMIT_S, LATE_AFTER_CYCLES * services.cycle_s)


def _cycle(kind: RunKind, services: Services) -> Found:
    if services.registry.model_file(NetworkKind(kind.value)) is None:
        return True, f"no {kind} model was imported: nothing to run", None
    found = latest_good(kind, services)
    if found is None:
        return False, f"no good {kind} run yet", None
    run, freshness = found
    in_time = freshness.age_s <= LATE_AFTER_CYCLES * services.cycle_s
    told = [freshness.because or "in time", *doubts(run, services)]
    return in_time and run.status is not RunStatus.INSUFFICIENT, "; ".join(told), freshness.age_s


def _weather(services: Services) -> Found:
    """Judge what the newest good drainage run knew of the weather; without a service wanted, the season is enough."""
    if services.registry.model_file(NetworkKind.DRAINAGE) is None:
        return True, "no drainage model was imported: no weather is needed", None
    found = latest_good(RunKind.DRAINAGE, services)
    forecast = found[0].drainage if found else None
    if not services.weather_in_use and (forecast is None or not has_weather(forecast)):
        return True, "climatology only, as set (TWIN_WEATHER=none): floods are not judged", None
    if forecast is None:
        return False, "no good drainage run yet", None
    if not has_weather(forecast):
        causes = "; ".join(warning for warning in forecast.provenance.warnings if warning.startswith("weather: "))
        return False, f"climatology only: floods are not judged. {causes}".strip(), None
    made_at = weather_made_at(forecast)
    age = services.clock.now() - made_at if made_at else None
    known = f"{forecast.provenance.weather_rung} of {forecast.provenance.weather_source}"
    age_s = age.total_seconds() if age else None
    return age is None or age <= WEATHER_MAX_AGE, known, age_s


def _spool(services: Services) -> list[CheckOut]:
    """Judge the durable spools by what the ingest role sees of them: only where its signs of life speak of one."""
    try:
        beats = [beat for beat in _ingesters(services) if "spool_pending" in (beat.figures or {})]
    except TwinError:
        return []  # the registry's own check tells why
    return [_checked("spool", lambda: _spools_of(beats))] if beats else []


def _room(services: Services) -> list[CheckOut]:
    """Judge how full the store of readings is, by what the ingest role sees of its limits."""
    try:
        shares = fullness_in(_ingesters(services))
    except TwinError:
        return []  # the registry's own check tells why
    return [_checked("room", lambda: _room_of(shares))] if shares else []


def _room_of(shares: Mapping[str, float]) -> Found:
    fullest = max(shares.values())
    told = ", ".join(f"{of} {share:.0%}" for of, share in shares.items())
    advice = "; at 100 % ingest pauses, nothing is dropped: make room" if fullest >= FILLING else ""
    return fullest < NEARLY_FULL, f"used: {told}{advice}", None


def fullness_in(beats: Iterable[Beat]) -> dict[str, float]:
    """Return the share that is used of each limit of the store, where the ingesters that tell find it fullest."""
    shares: dict[str, float] = {}
    for beat in beats:
        for name, share in (beat.figures or {}).items():
            if name.startswith(FULLNESS_FIGURE):
                limit = name.removeprefix(FULLNESS_FIGURE)
                shares[limit] = max(share, shares.get(limit, share))
    return shares


def _spools_of(beats: Sequence[Beat]) -> Found:
    """Judge the spools of all ingesters together: each has one of its own."""
    waiting, refused = (
        sum((beat.figures or {}).get(figure, 0.0) for beat in beats)
        for figure in ("spool_pending", "spool_quarantined")
    )
    troubles = [beat.detail for beat in beats if not beat.ok and STORE_TROUBLE in beat.detail]
    told = [f"{waiting:.0f} readings wait for the server, {refused:.0f} were refused by it", *troubles]
    return not refused and not troubles, "; ".join(told), None
