"""`h2twin isolate`: which valves cut a broken pipe off, in order, and whom that leaves without water."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from api.commands.options import Json, ids, print_json, print_table, readable, say
from twin.errors import InputError

_NAMED = 20
_AT_ONCE = 50


def isolate(
    network: Annotated[Path, typer.Option(callback=readable, help="EPANET INP file.")],
    link: Annotated[str, typer.Option(help="The link to cut off.")] = "",
    node: Annotated[str, typer.Option(help="The node to cut off.")] = "",
    each: Annotated[str, typer.Option(help="Links to cut off one at a time: ID[,ID...]; one line each.")] = "",
    inoperable: Annotated[str, typer.Option(help="Valves that cannot be turned now: ID[,ID...].")] = "",
    closed: Annotated[str, typer.Option(help="Valves that are shut now: ID[,ID...].")] = "",
    valves: Annotated[
        Path | None,
        typer.Option(callback=readable, help="valves.csv. Without it every pipe has a valve at both ends: LINK@NODE."),
    ] = None,
    customers: Annotated[Path | None, typer.Option(callback=readable, help="customers.csv.")] = None,
    hydrants: Annotated[
        Path | None, typer.Option(callback=readable, help="hydrants.csv: hydrant_id,node[,kind=flush|drain|fire].")
    ] = None,
    hydraulics: Annotated[bool, typer.Option(help="Run 24 h to see who keeps too little pressure.")] = True,
    required_pressure_m: Annotated[
        float, typer.Option(min=0.1, help="Pressure from which on consumers get all they want.")
    ] = 10.0,
    json: Json = False,
) -> None:
    """Name the valves to close around a link or node, in order, and say who loses water or pressure."""
    from api.bootstrap import engine_pool
    from api.isolating import customers_hit
    from api.settings import load_settings
    from ingest.files.customers import read_customers
    from ingest.files.hydrants import read_hydrants
    from ingest.files.valves import read_valves
    from models.supply.isolation.answer import Target, Terms, isolations
    from models.supply.outage import require_links

    apart = ids(each)
    if sum(map(bool, (link, node, apart))) != 1:
        raise InputError("name what to cut off with one of --link, --node or --each")
    targets = [Target(name, is_link=not node) for name in apart or (link or node,)]
    terms = Terms(
        valves=None if valves is None else tuple(read_valves(valves)),
        inoperable=ids(inoperable),
        closed=ids(closed),
        hydraulics=hydraulics,
        required_pressure_m=required_pressure_m,
        hydrants=None if hydrants is None else tuple(read_hydrants(hydrants)),
    )
    known = None if customers is None else read_customers(customers)
    terms = replace(terms, customer_nodes=frozenset(customer.node_id for customer in known or ()))
    at_once = 1 if hydraulics else _AT_ONCE
    with engine_pool(load_settings(), workers=1) as pool:
        inp = network.read_bytes()
        if len(targets) > at_once:  # nothing is printed if one of them is unknown
            pool.run(require_links, inp, [target.element_id for target in targets])
        for first in range(0, len(targets), at_once):
            portion = targets[first : first + at_once]
            for answer in pool.run(isolations, inp, portion, terms, 0.9 * pool.time_limit_s):
                answer["customers"] = None if known is None else customers_hit(answer, known)
                if first == 0 and (nobodys := answer["customer_nodes_not_in_network"]):
                    say(f"customers at nodes that the network does not have are not counted: {', '.join(nobodys)}")
                if json:
                    print_json(answer)
                else:
                    _print_isolation(answer)


def _print_isolation(answer: dict[str, Any]) -> None:
    what = f"link {answer['link']}" if "link" in answer else f"node {answer['node']}"
    assumed = ", assumed at both ends of every pipe" if answer["valves_assumed"] else ""
    print_table(
        f"Valves to close for {what}{assumed}",
        ("order", "valve", "on link", "at node"),
        [(number, *valve.values()) for number, valve in enumerate(answer["valve_places"], start=1)],
        empty=f"No valve needs to be closed for {what}.",
    )
    segment = answer["segment"]
    typer.echo(f"Cut off: {len(segment['links'])} links and {len(segment['nodes'])} nodes.")
    _say_nodes("Without water", answer["dry_nodes"])
    _say_nodes("  of these outside what is cut off", answer["unintended_nodes"])
    if answer["stuck_valves"]:
        more = len(answer["dry_nodes"]) - len(answer["dry_nodes_if_all_valves_turned"])
        typer.echo(f"Valves that cannot be turned ({', '.join(answer['stuck_valves'])}) cost {more} of them.")
    if by_shut := len(answer["dry_nodes"]) - len(answer["dry_nodes_if_no_valve_shut"]):
        typer.echo(f"Valves that are shut already cost {by_shut} of them.")
    for pocket in answer["tank_fed"]:
        lasts = "nobody takes water there" if pocket["lasts_h"] is None else f"for about {pocket['lasts_h']:.1f} h"
        _say_nodes(f"Fed by {', '.join(pocket['tanks'])} alone, {lasts}", pocket["nodes"])
    if answer["low_pressure_nodes"] is not None:
        _say_nodes("Too little pressure", answer["low_pressure_nodes"])
    elif "hydraulics_error" in answer:
        typer.echo(f"Pressures are not known: {answer['hydraulics_error']}")
    for refeed in answer["refeed"]:
        _say_refeed(f"valve {refeed['valve_id']}", refeed)
    for refeed in answer["refeed_links"]:
        _say_refeed(f"link {refeed['link_id']}, closed in the INP,", refeed)
    if answer["flushing"] is not None:
        _say_flushing(answer["flushing"])
    if answer["customers"] is not None:
        who = answer["customers"]
        typer.echo(f"Customers without water: {who['count']}; sensitive: {', '.join(who['sensitive']) or 'none'}.")


def _say_nodes(what: str, nodes: list[str]) -> None:
    named = f": {', '.join(nodes[:_NAMED])}{', ...' if len(nodes) > _NAMED else ''}" if nodes else ""
    typer.echo(f"{what}: {len(nodes)} nodes{named}" if not named else f"{what} ({len(nodes)}){named}")


def _say_refeed(what: str, refeed: dict[str, Any]) -> None:
    if refeed["nodes"]:
        _say_nodes(f"Opening {what} gives water back", refeed["nodes"])
    if refeed.get("no_longer_low"):
        _say_nodes(f"Opening {what} gives enough pressure", refeed["no_longer_low"])
    if pressures := refeed.get("min_pressure_m"):
        still = len(refeed["nodes_still_low"])
        typer.echo(f"  lowest pressure there {min(pressures.values()):.1f} m; too little for {still} of them")
    if refeed.get("newly_low"):
        _say_nodes("  but too little pressure then", refeed["newly_low"])


def _say_flushing(flushing: dict[str, Any]) -> None:
    if not flushing["points"]:
        typer.echo("No hydrant is known in what is cut off.")
        return
    points = ", ".join(f"{point['hydrant_id']} ({point['kind']})" for point in flushing["points"][:_NAMED])
    typer.echo(f"Hydrants, lowest first: {points}; drain at {flushing['lowest']}, let air in at {flushing['highest']}.")
