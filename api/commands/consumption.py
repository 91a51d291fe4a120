"""`h2twin consumption`: the water that meters and districts used."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from api.commands.options import DataDir, Json, plain, print_json, print_table, say

if TYPE_CHECKING:
    from api.bootstrap import Offline
    from twin.consumption import Interval
    from twin.network import Network

app = typer.Typer(no_args_is_help=True, help="The water that meters and districts used.")

From = Annotated[str | None, typer.Option("--from", help="Start (ISO 8601 with zone) [default: a day before the end].")]
To = Annotated[str | None, typer.Option("--to", help="End (ISO 8601 with zone) [default: now].")]
Length = Annotated[str, typer.Option("--interval", help="15min, 1h or 1d (UTC days).")]


@app.command("meter")
def meter(
    sensor_id: Annotated[str, typer.Argument(help="A meter of kind total_increasing.")],
    start: From = None,
    end: To = None,
    interval: Length = "1h",
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Show what passed a meter, interval by interval. What a household uses is personal."""
    from api.bootstrap import offline
    from api.commands.moment import now_of
    from twin.errors import NotFoundError
    from twin.metering import consumption_of

    length = _interval(interval)
    with offline(data_dir) as here:
        since, until = _period(now_of(here), start, end)
        sensor = here.registry.sensors().get(sensor_id)
        if sensor is None:
            raise NotFoundError(f"there is no sensor {sensor_id!r}; `h2twin import sensors FILE` adds one")
        used = consumption_of(here.open_readings(), sensor, start=since, end=until, interval=length)
    if json:
        print_json({"sensor_id": sensor_id, "interval": interval, "items": plain(used)})
        return
    rows = [(one.start, one.volume_m3, _percent(one.coverage), one.quality.value, _reasons(one)) for one in used]
    columns = ("from", "m3", "covered", "quality", "because")
    print_table(f"Consumption at {sensor_id} per {interval}", columns, rows, empty="Nothing.")


@app.command("district")
def district(
    name: Annotated[str, typer.Argument(help="A district of the sensors' registry.")],
    start: From = None,
    end: To = None,
    interval: Length = "1h",
    least_coverage: Annotated[
        float, typer.Option(min=0, max=1, help="No figure from a smaller share of the connections.")
    ] = 0.75,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Show what the connections of a district used, with the share of them that it is the sum of."""
    from api.bootstrap import offline
    from api.commands.moment import now_of
    from api.metered import connections_in
    from twin.errors import NotFoundError
    from twin.metering import demand_of_district, meters_of

    length = _interval(interval)
    with offline(data_dir) as here:
        since, until = _period(now_of(here), start, end)
        meters = meters_of(here.registry.sensors().values(), name)
        if not meters:
            raise NotFoundError(
                f"no connection's meter counts for a district {name!r}: the column `district` of sensors.csv says it"
            )
        connections = connections_in(name, _network(here), here.registry.customers())
        demand = demand_of_district(
            here.open_readings(),
            meters,
            connections=connections,
            start=since,
            end=until,
            interval=length,
            least_coverage=least_coverage,
        )
    whose = "meters" if connections is None else "network"
    if json:
        print_json({"district": name, "interval": interval, "connections_from": whose, "items": plain(demand)})
        return
    rows = [
        (d.start, "insufficient" if d.metered_m3 is None else d.metered_m3, f"{d.reporting} of {d.connections}",
         _percent(d.coverage), d.scaled_m3)
        for d in demand
    ]  # fmt: skip
    columns = ("from", "m3", "connections", "coverage", "estimate for all m3")
    print_table(f"Demand of {name} per {interval}", columns, rows, empty="Nothing.")
    if whose == "meters":
        say("No imported network says which connections lie in the district: those with a meter are taken for all.")


def _interval(text: str) -> Interval:
    from twin.consumption import Interval
    from twin.errors import InputError

    if text not in list(Interval):
        raise InputError(f"unknown interval {text!r}; intervals are {', '.join(Interval)}")
    return Interval(text)


def _period(now: datetime, start: str | None, end: str | None) -> tuple[datetime, datetime]:
    from twin.clock import parse_time
    from twin.errors import InputError

    until = parse_time(end) if end else now
    since = parse_time(start) if start else until - timedelta(days=1)
    if since >= until:
        raise InputError(f"the period from {since} to {until} is empty")
    return since, until


def _network(here: Offline) -> Network | None:
    from api import bootstrap
    from twin.network import NetworkKind

    if here.registry.model_file(NetworkKind.SUPPLY) is None:
        return None
    with bootstrap.engine_pool(here.settings, workers=1) as pool:
        return bootstrap.Models(here.registry, pool, zone=here.settings.model_zone).network(NetworkKind.SUPPLY)


def _reasons(one: object) -> str:
    return ", ".join(getattr(one, "reasons", ()))


def _percent(share: float) -> str:
    return f"{share:.0%}"
