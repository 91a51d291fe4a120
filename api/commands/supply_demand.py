"""`h2twin supply forecast-demand` and `backtest-demand`: what districts will draw, from tables of hourly inflows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.commands.options import Json, ids, print_json, print_table, readable, say
from api.progress import rows_shown
from api.run_table import writable
from twin.clock import format_time, parse_time

if TYPE_CHECKING:
    from models.demand.backtest import BackTest
    from models.demand.outlook import Outlook
    from twin.hourly import HourlySeries

_WEEK_H = 168
_CALENDAR = frozenset({"CEST", "Holiday"})

Inflows = Annotated[
    Path,
    typer.Option(
        callback=readable, help="Hourly inflows, one column a district; .csv or .parquet, ISO times with offset."
    ),
]
Calendar = Annotated[
    Path,
    typer.Option(callback=readable, help="Hourly table with the columns CEST and Holiday (0/1), to the last hour."),
]
Weather = Annotated[
    Path | None, typer.Option(callback=readable, help="Hourly table: Temperature, Rain and whatever else is known.")
]
Hours = Annotated[int, typer.Option(min=1, max=_WEEK_H, help="How many hours ahead, a week at most.")]


def forecast_demand(
    inflows: Inflows,
    calendar: Calendar,
    origin: Annotated[str, typer.Option(help="The first hour to forecast: an ISO time with offset.")],
    out: Annotated[Path, typer.Option(callback=writable, help="Where to write the forecast: .csv or .parquet.")],
    weather: Weather = None,
    hours: Hours = _WEEK_H,
    quantiles: Annotated[
        Path | None,
        typer.Option(callback=writable, help="Also learn quantiles, and write them here: columns DISTRICT|LEVEL."),
    ] = None,
    json: Json = False,
) -> None:
    """Forecast what each district draws, in the unit of its inflows. Inflows at or after the origin are not used."""
    from api.hourly_table import write_hourly
    from models.demand.outlook import QUANTILES, look_ahead

    begin = parse_time(origin)
    known, days, sky = _tables(inflows, calendar, weather)
    levels = () if quantiles is None else QUANTILES
    outlooks = []
    with rows_shown("districts", 0, len(known.columns), shown=True, unit="districts") as show:
        for outlook in look_ahead(known, days, sky, begin, hours=hours, levels=levels):
            outlooks.append(outlook)
            show(1)
    times = _local_times(days, begin, hours)
    write_hourly(out, times, {o.district: o.demand.tolist() for o in outlooks})
    if quantiles is not None:
        write_hourly(
            quantiles, times, {f"{o.district}|{p:g}": q.tolist() for o in outlooks for p, q in o.quantiles.items()}
        )
    _tell(outlooks)
    if json:
        print_json({"origin": begin, "hours": hours, "out": str(out), "districts": [_words(o) for o in outlooks]})
    else:
        say(f"{hours} hours from {format_time(begin)} of {len(outlooks)} districts in {out}")


def backtest_demand(
    inflows: Inflows,
    calendar: Calendar,
    origins: Annotated[str, typer.Option(help="First hours to forecast, ISO times with offset: T[,T...].")],
    weather: Weather = None,
    hours: Hours = _WEEK_H,
    quantiles: Annotated[
        bool, typer.Option("--quantiles", help="Judge quantiles too (takes four times as long).")
    ] = False,
    json: Json = False,
) -> None:
    """Forecast past weeks as they could have been, and say how far off that is, beside the mean of the last four weeks.

    PI1 is the mean error of the first day, PI2 its largest, PI3 the mean of the days after, in the unit of the inflows.
    """
    from models.demand.backtest import back_test
    from models.demand.outlook import QUANTILES

    begins = [parse_time(text) for text in ids(origins)]
    known, days, sky = _tables(inflows, calendar, weather)
    tests: list[BackTest] = []
    with rows_shown("forecasts", 0, len(begins) * len(known.columns), shown=True, unit="forecasts") as show:
        for test in back_test(known, days, sky, begins, hours=hours, levels=QUANTILES if quantiles else ()):
            tests.append(test)
            show(1)
    if json:
        print_json({"hours": hours, "mean": _means(tests), "forecasts": [_test_words(test) for test in tests]})
        return
    rows = [
        (f"{t.origin:%Y-%m-%d %H:%M}Z", t.district, t.rung, *_six(asdict(t.scores), asdict(t.baseline))) for t in tests
    ]
    rows += [("mean", "", "", *_six(*_means(tests).values()))] if tests else []
    columns = ("origin", "district", "stands on", "PI1", "PI2", "PI3", "PI1 4 weeks", "PI2 4 weeks", "PI3 4 weeks")
    print_table("Forecasts against what came", columns, rows, empty="No origins, no forecasts.")


def _tables(
    inflows: Path, calendar: Path, weather: Path | None
) -> tuple[HourlySeries, HourlySeries, HourlySeries | None]:
    from ingest.files.hourly import read_hourly

    return (
        read_hourly(inflows),
        read_hourly(calendar, only=_CALENDAR),
        None if weather is None else read_hourly(weather),
    )


def _local_times(days: HourlySeries, begin: datetime, hours: int) -> list[datetime]:
    """Return the hours ahead with the offset that the calendar gives them."""
    ahead = days.between(begin, begin + timedelta(hours=hours))
    return [
        time.astimezone(timezone(timedelta(hours=offset)))
        for time, offset in zip(ahead.times, ahead.offset_h.tolist(), strict=True)
    ]


def _tell(outlooks: Sequence[Outlook]) -> None:
    from models.demand.outlook import Rung

    for outlook in outlooks:
        if outlook.rung is Rung.NOTHING:
            say(f"{outlook.district}: no inflow of the last six weeks is known, so neither is its demand")
        elif outlook.rung is Rung.SEASONAL:
            say(f"{outlook.district}: too little is known to learn from, this is the mean of the last weeks")


def _words(outlook: Outlook) -> dict[str, Any]:
    import numpy as np

    known = outlook.demand[np.isfinite(outlook.demand)]
    return {
        "district": outlook.district,
        "stands_on": outlook.rung,
        "mean": float(known.mean()) if len(known) else None,
        "largest": float(known.max()) if len(known) else None,
        "unknown_hours": len(outlook.demand) - len(known),
    }


def _test_words(test: BackTest) -> dict[str, Any]:
    words: dict[str, Any] = {
        "origin": test.origin,
        "district": test.district,
        "stands_on": test.rung,
        "scores": _known(asdict(test.scores)),
        "baseline": _known(asdict(test.baseline)),
    }
    if test.share_below:
        words |= {"share_below": _known({f"{p:g}": s for p, s in test.share_below.items()})}
        words |= _known({"pinball": test.pinball})
    return words


def _means(tests: Sequence[BackTest]) -> dict[str, dict[str, float | None]]:
    from models.demand.scores import mean_scores

    return {
        "scores": _known(asdict(mean_scores([test.scores for test in tests]))),
        "baseline": _known(asdict(mean_scores([test.baseline for test in tests]))),
    }


def _six(scores: dict[str, Any], baseline: dict[str, Any]) -> list[float | None]:
    return [*_known(scores).values(), *_known(baseline).values()]


def _known(numbers: dict[str, float | None]) -> dict[str, float | None]:
    """Return numbers for JSON: None is not known."""
    return {name: None if value is None or value != value else value for name, value in numbers.items()}
