"""A forecast as its provider gave it: steps of their own, mixed lengths. And the rule that lays it on a regular grid.

Steps of one member never overlap and stand in order of time. A step whose rain is unknown holds None, never 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from twin.clock import as_utc
from twin.errors import InputError
from twin.forecasts import WeatherEnsemble, WeatherMember

MAX_CELLS = 24 * 366
"""No forecast has more grid cells than this: a longer one is a payload with a wrong time in it."""


@dataclass(frozen=True, slots=True)
class ForecastStep:
    """Rain that falls in the `interval_s` seconds from `valid_from` on; temperature as the provider states it."""

    valid_from: datetime
    interval_s: int
    rain_mm: float | None
    temperature_c: float | None = None

    @property
    def valid_to(self) -> datetime:
        """The end of the step."""
        return self.valid_from + timedelta(seconds=self.interval_s)


@dataclass(frozen=True, slots=True)
class ForecastMember:
    """One possible future; `member` is unique within its forecast (model and number)."""

    member: str
    steps: tuple[ForecastStep, ...]


@dataclass(frozen=True, slots=True)
class ParsedForecast:
    """A provider's forecast in its native intervals. `issued_at` is None where the payload states none."""

    source: str
    issued_at: datetime | None
    members: tuple[ForecastMember, ...]
    attribution: str = ""


def checked_member(member: str, steps: Iterable[ForecastStep]) -> ForecastMember:
    """Return the member with its steps in order of time.

    Raises:
        InputError: If a step has no length, or two steps overlap: their rain would count twice.
    """
    ordered = tuple(sorted(steps, key=lambda step: step.valid_from))
    for step in ordered:
        if step.interval_s <= 0:
            raise InputError(f"member {member}: the step at {step.valid_from.isoformat()} has no length")
        _check_end(member, step)
    for before, step in pairwise(ordered):
        if before.valid_to > step.valid_from:
            raise InputError(f"member {member}: the step at {step.valid_from.isoformat()} overlaps the one before it")
    return ForecastMember(member, ordered)


def checked_members(members: Sequence[ForecastMember]) -> tuple[ForecastMember, ...]:
    """Return the members, or raise InputError if two have the same id."""
    names = [member.member for member in members]
    if len(set(names)) < len(names):
        repeated = sorted({name for name in names if names.count(name) > 1})
        raise InputError(f"members appear twice: {', '.join(repeated[:5])}")
    return tuple(members)


def regular(parsed: ParsedForecast, *, now: datetime, interval_s: int = 3600, gage_id: str = "*") -> WeatherEnsemble:
    """Lay a forecast on a regular grid that begins with its first known step.

    The rule: rain falls evenly within its step, so a step longer than a cell is shared out by time and the sum over
    its cells is the step's rain. A cell that known steps do not cover wholly is None; cells that are None in all
    members are cut off at both ends. A temperature is kept only from a step no longer than a cell.

    Raises:
        InputError: If the forecast spans more than `MAX_CELLS` cells.
    """
    now = as_utc(now)
    known = [step for member in parsed.members for step in member.steps if step.rain_mm is not None]
    start = min((step.valid_from for step in known), default=now)
    end = max((step.valid_to for step in known), default=now)
    cells = -int((start - end).total_seconds() // interval_s)
    if cells > MAX_CELLS:
        raise InputError(f"the forecast from {start.isoformat()} to {end.isoformat()} is too long to be one")
    members = tuple(_on_grid(member, start, interval_s, cells) for member in parsed.members)
    return WeatherEnsemble(
        source=parsed.source,
        issued_at=parsed.issued_at,
        available_at=now,
        gage_id=gage_id,
        valid_from=start,
        interval_s=interval_s,
        members=_without_unknown_tail(members),
        attribution=parsed.attribution,
    )


def _on_grid(member: ForecastMember, start: datetime, interval_s: int, cells: int) -> WeatherMember:
    rain_mm = [0.0] * cells
    covered_s = [0.0] * cells
    temperature_c: list[float | None] = [None] * cells
    for step in member.steps:
        if step.rain_mm is None or step.valid_to <= start:
            continue
        first_s = (step.valid_from - start).total_seconds()
        last_s = first_s + step.interval_s
        for cell in range(int(first_s // interval_s), min(cells, -int(-last_s // interval_s))):
            shared_s = min(last_s, (cell + 1) * interval_s) - max(first_s, cell * interval_s)
            rain_mm[cell] += step.rain_mm * shared_s / step.interval_s
            covered_s[cell] += shared_s
        if step.interval_s <= interval_s:
            temperature_c[int(first_s // interval_s)] = step.temperature_c
    return WeatherMember(
        member=member.member,
        rain_mm=tuple(
            amount if covered >= interval_s else None for amount, covered in zip(rain_mm, covered_s, strict=True)
        ),
        temperature_c=tuple(temperature_c) if any(value is not None for value in temperature_c) else (),
    )


def _without_unknown_tail(members: tuple[WeatherMember, ...]) -> tuple[WeatherMember, ...]:
    known = [place for member in members for place, value in enumerate(member.rain_mm) if value is not None]
    length = max(known, default=-1) + 1
    return tuple(
        WeatherMember(member.member, member.rain_mm[:length], member.temperature_c[:length]) for member in members
    )


def _check_end(member: str, step: ForecastStep) -> None:
    try:
        _ = step.valid_to
    except OverflowError as error:
        raise InputError(f"member {member}: the step at {step.valid_from.isoformat()} never ends") from error
