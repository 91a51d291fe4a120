"""The input text of one run: the cleaned model with our clock, our rain and nothing written that we do not ask for.

Rain goes in as one dated series per gage, the gage set to INTENSITY at the series' own spacing: a gage whose interval
differs from its series loses rain without a word. Series that gages named are replaced. Undated entries of all other
series are dated from the file's own start, because the engine counts them from the start of each run.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta

from models.drainage.inp import InpFile, Line, Section
from models.drainage.inp_times import date_text, is_date, read_clock_hours, time_text
from models.drainage.model_file import DrainageModelFile
from models.rainfall import RainSeries
from twin.clock import as_utc
from twin.errors import InputError

# The engine takes the whole seconds of END - START in days as a float: a hair more keeps the last second.
_HAIR_H = 1e-7
_QUIET = (
    ("DISABLED", "NO"), ("INPUT", "NO"), ("CONTROLS", "NO"), ("SUBCATCHMENTS", "NONE"), ("NODES", "NONE"),
    ("LINKS", "NONE"),
)  # fmt: skip


def whole_second(moment: datetime) -> datetime:
    """Return `moment` in UTC, cut to the whole second: the engine's clock has no finer start or end."""
    return as_utc(moment).replace(microsecond=0)


def run_text(model: DrainageModelFile, start: datetime, end: datetime, rain: Mapping[str, RainSeries]) -> str:
    """Return the input file of a run from `start` to `end` (whole seconds, UTC) under `rain` (by gage id, SI).

    Raises:
        InputError: If `end` is not after `start`, or a series rests on a file that is not here.
    """
    if end <= start:
        raise InputError(f"a run must end after it starts: {start.isoformat()} to {end.isoformat()}")
    names = _series_names(model)
    sections = [section for section in model.inp.sections if section.name not in ("OPTIONS", "RAINGAGES", "TIMESERIES")]
    options = (*model.inp.lines("OPTIONS"), *_our_options(start, end))
    series = (*_other_series(model), *_rain_lines(model, names, start, end, rain))
    return InpFile(
        (
            Section("OPTIONS", options),
            Section("RAINGAGES", tuple(_gage_lines(model, names, rain))),
            *sections,
            Section("TIMESERIES", tuple(series)),
            Section("REPORT", tuple(Line(0, pair) for pair in _QUIET)),
        )
    ).text()


def _our_options(start: datetime, end: datetime) -> Iterator[Line]:
    end_hours = end.hour + end.minute / 60 + end.second / 3600 + _HAIR_H
    for name, value in (
        ("START_DATE", date_text(start)),
        ("START_TIME", time_text(start)),
        ("REPORT_START_DATE", date_text(start)),
        ("REPORT_START_TIME", time_text(start)),
        ("END_DATE", date_text(end)),
        ("END_TIME", f"{end_hours:.9f}"),
        ("THREADS", "1"),
        ("IGNORE_QUALITY", "YES"),
        ("IGNORE_RAINFALL", "NO"),
        ("IGNORE_ROUTING", "NO"),
    ):
        yield Line(0, (name, value))


def _series_names(model: DrainageModelFile) -> dict[str, str]:
    taken = {line.tokens[0].casefold() for line in model.inp.lines("TIMESERIES")}
    prefix = "h2twin_rain"
    while any(name.startswith(prefix) for name in taken):
        prefix += "_"
    return {gage_id: f"{prefix}{index}" for index, gage_id in enumerate(model.gage_ids)}


def _gage_lines(model: DrainageModelFile, names: Mapping[str, str], rain: Mapping[str, RainSeries]) -> Iterator[Line]:
    for gage in model.gages:
        interval = _interval_text(rain[gage.gage_id].interval_s)
        yield Line(0, (gage.gage_id, "INTENSITY", interval, gage.snow_factor, "TIMESERIES", names[gage.gage_id]))


def _interval_text(interval_s: int) -> str:
    return f"{interval_s // 3600}:{interval_s // 60 % 60:02d}:{interval_s % 60:02d}"


def _rain_lines(
    model: DrainageModelFile,
    names: Mapping[str, str],
    start: datetime,
    end: datetime,
    rain: Mapping[str, RainSeries],
) -> Iterator[Line]:
    for gage_id, name in names.items():
        wet = rain[gage_id].intensities(start, end)
        for at, rain_mmh in wet or [(start, 0.0)]:  # the engine refuses an empty series
            at = as_utc(at)
            yield Line(0, (name, date_text(at), time_text(at), repr(rain_mmh / model.units.rain_mm)))


def _other_series(model: DrainageModelFile) -> Iterator[Line]:
    replaced = _replaced_series(model)
    dates: dict[str, str] = {}
    for line in model.inp.lines("TIMESERIES"):
        name = line.tokens[0].casefold()
        if name in replaced:
            continue
        if len(line.tokens) > 1 and line.tokens[1].upper() == "FILE":
            raise InputError(
                f"line {line.number}: time series {line.tokens[0]!r} comes from the file "
                f"{' '.join(line.tokens[2:])!r}, which is not part of the model; write its values into the INP"
            )
        yield from _dated(line, dates, model.file_start)


def _replaced_series(model: DrainageModelFile) -> set[str]:
    """The series that only gages name: their rain is replaced. One that also feeds something else stays for that."""
    of_gages = {gage.series_name.casefold() for gage in model.gages if gage.series_name}
    elsewhere = {
        token.casefold()
        for section in model.inp.sections
        if section.name in ("INFLOWS", "OUTFALLS", "TEMPERATURE", "EVAPORATION", "CONTROLS")
        for line in section.lines
        for token in line.tokens[1:]
    }
    return of_gages - elsewhere


def _dated(line: Line, dates: dict[str, str], file_start: datetime) -> Iterator[Line]:
    """Yield a line's (time, value) pairs, each with its date; `dates` remembers the last date of every series."""
    name, *rest = line.tokens
    try:
        for date, time, value in _entries(rest, dates, name.casefold()):
            if date is None:
                hours = (file_start - _midnight(file_start)) / timedelta(hours=1) + read_clock_hours(time)
                yield Line(line.number, (name, date_text(file_start), repr(hours), value))
            else:
                yield Line(line.number, (name, date, time, value))
    except (IndexError, ValueError) as error:
        raise InputError(f"line {line.number}: {' '.join(line.tokens)!r} is no entry of a time series") from error


def _entries(tokens: list[str], dates: dict[str, str], series: str) -> Iterable[tuple[str | None, str, str]]:
    position = 0
    while position < len(tokens):
        if is_date(tokens[position]):
            dates[series] = tokens[position]
            position += 1
        yield dates.get(series), tokens[position], tokens[position + 1]
        position += 2


def _midnight(moment: datetime) -> datetime:
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)
