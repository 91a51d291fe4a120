"""`h2twin doctor`: what is wrong with the parts of the service, and with the sensors."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from api.commands.operate import doctor as examine
from api.commands.options import DataDir, Json, print_json, print_table, say

if TYPE_CHECKING:
    from twin.trust import Trust
    from twin.trust_report import SensorTrust

app = typer.Typer(invoke_without_command=True)


@app.callback()
def doctor(context: typer.Context, data_dir: DataDir = None, json: Json = False) -> None:
    """Check everything that the service needs, and say what to do about what is wrong."""
    if context.invoked_subcommand is None:
        examine(data_dir, json)


@app.command("sensors")
def sensors(
    days: Annotated[int, typer.Option(min=1, max=366, help="Closed UTC days to look back on.")] = 7,
    limit: Annotated[int, typer.Option(min=1, help="At most so many sensors, the worst first.")] = 20,
    afresh: Annotated[bool, typer.Option("--afresh", help="Count days again that were counted before.")] = False,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Say which sensors can be trusted least, and why: the worst first."""
    from api.bootstrap import offline
    from api.commands.moment import now_of
    from twin.trust import overall_trust
    from twin.trust_report import last_closed_day, sensors_worst_first, trust_report

    with offline(data_dir) as here:
        now = now_of(here)
        store, registered = here.open_readings(), here.registry.sensors()
        last = last_closed_day(now)
        report = trust_report(
            store,
            here.registry,
            first=last - timedelta(days=days - 1),
            last=last,
            now=now,
            at_most=UNLIMITED,
            afresh=afresh,
        )
        latest = store.latest(list(registered), at=now, trusted_only=False)
    lines = sensors_worst_first(report, registered, latest, now=now)
    overall = overall_trust(report.days)
    if json:
        items = [_plain(line) for line in lines[:limit]]
        period = {"at": now, "days": days, "to": last.isoformat()}
        print_json({**period, "sensors": len(lines), "overall": overall, "items": items})
        return
    columns = ("sensor", "trust", "available", "timely", "valid", "accurate", "heard last", "why")
    title = f"Sensors, the least trusted first ({days} UTC days to {last})"
    print_table(title, columns, [_row(line) for line in lines[:limit]], empty="No sensors: h2twin import sensors FILE")
    if lines:
        say(_in_words(overall, len(lines), sum(line.is_silent for line in lines)))


UNLIMITED = 10**12
"""Readings: whoever asks the doctor waits for the answer."""


def _plain(line: SensorTrust) -> dict[str, object]:
    total = line.total
    return {
        "sensor_id": line.sensor.sensor_id,
        "quantity": line.sensor.quantity,
        "district": line.sensor.district,
        "trust": total.trust,
        "availability": total.availability,
        "timeliness": total.timeliness,
        "validity": total.validity,
        "accuracy": total.accuracy,
        "estimate": total.estimate,
        "days": line.days,
        "reasons": total.reasons,
        "last_observed_at": line.last_observed_at,
        "silent": line.is_silent,
        "why": line.why,
    }


def _row(line: SensorTrust) -> tuple[object, ...]:
    total = line.total
    shares = (total.trust, total.availability, total.timeliness, total.validity, total.accuracy)
    return (line.sensor.sensor_id, *(_percent(share) for share in shares), line.last_observed_at or "never", line.why)


def _in_words(overall: Trust, total: int, silent: int) -> str:
    if overall.trust is None:
        return f"{total} sensors, {silent} silent now; no closed day with readings yet."
    return (
        f"All {total} sensors together: trust {overall.trust:.1%} (availability {_percent(overall.availability)}, "
        f"timeliness {_percent(overall.timeliness)}, validity {_percent(overall.validity)}, "
        f"accuracy {_percent(overall.accuracy) or 'unknown'}); {silent} silent now."
    )


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.1%}"
