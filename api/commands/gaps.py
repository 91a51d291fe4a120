"""`h2twin gaps`: the readings that are missing, and asking for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.commands.options import DataDir, Json, print_json, print_table

if TYPE_CHECKING:
    from twin.gaps import Gap

app = typer.Typer(help="List the readings that are missing, and ask gateways to send them again.", no_args_is_help=True)
Sensor = Annotated[str | None, typer.Option("--sensor", help="Only this sensor.")]
Gateway = Annotated[str | None, typer.Option("--gateway", help="Only this gateway.")]


@app.command("list")
def list_gaps(
    sensor: Sensor = None,
    gateway: Gateway = None,
    state: Annotated[
        list[str] | None, typer.Option("--state", help="open, requested, closed or given_up; may be repeated.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 100,
    cursor: Annotated[str | None, typer.Option(help="Where the last page ended.")] = None,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """List gaps by their start, newest first."""
    from api.bootstrap import offline
    from twin.errors import InputError
    from twin.gaps import GapState

    unknown = sorted(set(state or ()) - set(GapState))
    if unknown:
        raise InputError(f"unknown state {', '.join(unknown)}; states are {', '.join(GapState)}")
    states = [GapState(one) for one in state] if state else None
    with offline(data_dir) as here:
        page = here.registry.gaps(sensor_id=sensor, gateway_id=gateway, states=states, limit=limit, cursor=cursor)
        totals = here.registry.gap_totals()
    if json:
        print_json({"items": [as_json(gap) for gap in page.items], "next_cursor": page.next_cursor})
        return
    rows = [
        (x.sensor_id, x.gateway_id, x.start, x.end, x.missing, _numbers(x), x.state, x.requests) for x in page.items
    ]
    columns = ("sensor", "gateway", "after", "before", "missing", "seq", "state", "asked")
    print_table("Gaps", columns, rows, empty="No gaps.")
    typer.echo(f"{totals.missing} readings are missing in {totals.gaps} open gaps.")


@app.command("request")
def request(
    sensor: Sensor = None,
    gateway: Gateway = None,
    given_up: Annotated[bool, typer.Option("--given-up", help="Also ask for gaps that were given up.")] = False,
    mqtt_url: Annotated[str | None, typer.Option("--mqtt-url", help="Broker [default: TWIN_MQTT_URL].")] = None,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Ask gateways at once for what is missing; what has come meanwhile is closed instead."""
    from api.bootstrap import offline
    from api.gap_keeping import asking_keeper
    from twin.gaps import WAITING, GapState

    with offline(data_dir, mqtt_url=mqtt_url) as here:
        states = [*WAITING, *([GapState.GIVEN_UP] if given_up else [])]
        asked: list[Gap] = []
        keeper, cursor, more = asking_keeper(here), None, True
        while more:
            page = here.registry.gaps(sensor_id=sensor, gateway_id=gateway, states=states, limit=1000, cursor=cursor)
            asked += keeper.ask(page.items, at_once=True)
            cursor, more = page.next_cursor, page.next_cursor is not None
        here.audit("gaps.request", sensor or gateway or "all", f"{len(asked)} gaps")
    if json:
        print_json({"items": [as_json(gap) for gap in asked]})
    else:
        missing = sum(gap.missing for gap in asked)
        typer.echo(
            f"asked for {missing} readings in {len(asked)} gaps" if asked else "Nothing that could be asked for."
        )


def as_json(gap: Gap) -> dict[str, Any]:
    """Return a gap as the API shows it."""
    from api.schemas.gaps import GapOut

    return GapOut.model_validate(gap).model_dump(mode="json")


def _numbers(gap: Gap) -> str:
    return f"{gap.first_seq}-{gap.last_seq}" if gap.by_seq else ""
