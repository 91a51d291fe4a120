"""Isolations for the running twin: its own network, valves, customers and tank levels."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from models.pool import EnginePool
from models.supply.isolation.answer import Target, Terms, isolations
from twin.clock import Clock
from twin.customers import Customer, Sensitivity, customers_at
from twin.errors import NotFoundError
from twin.forecasts import RunKind
from twin.isolation import IsolationQuestion
from twin.network import NetworkKind
from twin.ports import Registry

_TIME_SHARE = 0.9
"""Of the time a worker has; then the answer goes out without the pressures that are still lacking."""


def isolate(
    question: IsolationQuestion, registry: Registry, pool: EnginePool, clock: Clock, *, required_pressure_m: float
) -> dict[str, Any]:
    """Answer with what the registry knows. Valves that are not in the network are named and passed over.

    Raises:
        NotFoundError: If no supply network is imported.
        InputError: If the element, or a valve of the question, is unknown.
    """
    file = registry.model_file(NetworkKind.SUPPLY)
    if file is None:
        raise NotFoundError("no supply network is imported; `h2twin import network FILE` does it")
    customers = registry.customers()
    run = registry.latest_run(RunKind.SUPPLY, good_only=True, issued_by=clock.now())
    forecast = run.supply if run is not None else None
    terms = Terms(
        valves=tuple(registry.valves()) or None,
        inoperable=question.inoperable,
        closed=question.closed,
        hydraulics=question.hydraulics,
        required_pressure_m=required_pressure_m,
        levels_m={tank.tank_id: tank.level_m for tank in forecast.tanks} if forecast is not None else {},
        customer_nodes=frozenset(customer.node_id for customer in customers),
        passes_over=True,
    )
    targets = [Target(question.element_id, question.is_link)]
    [answer] = pool.run(isolations, file.content, targets, terms, _TIME_SHARE * pool.time_limit_s)
    answer["levels_at"] = forecast.issued_at if forecast is not None else None
    answer["customers"] = customers_hit(answer, customers)
    return answer


def customers_hit(answer: Mapping[str, Any], known: Iterable[Customer]) -> dict[str, Any]:
    """Return whom an isolation hits: without water, and of these the sensitive ones; too little pressure apart.

    How many are without water because valves cannot be turned, and because other valves are shut, is said too.
    """
    known = list(known)
    dry = customers_at(known, answer["dry_nodes"])
    low = customers_at(known, answer["low_pressure_nodes"] or ())
    if_turned = customers_at(known, answer["dry_nodes_if_all_valves_turned"])
    if_open = customers_at(known, answer["dry_nodes_if_no_valve_shut"])
    return {
        "count": len(dry),
        "sensitive": [customer.customer_id for customer in dry if customer.sensitive is not Sensitivity.NONE],
        "low_pressure_count": None if answer["low_pressure_nodes"] is None else len(low),
        "count_by_stuck_valves": len(dry) - len(if_turned),
        "count_by_shut_valves": len(dry) - len(if_open),
    }


Isolate = Callable[[IsolationQuestion], dict[str, Any]]
