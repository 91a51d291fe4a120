"""What a supply forecast means for each customer: with which probability, from when on and for how long."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from twin.customers import Customer
from twin.forecasts import PredictedOutage, SupplyForecast


@dataclass(frozen=True, slots=True)
class CustomerOutage:
    """One outage to come at a customer's node."""

    customer: Customer
    outage: PredictedOutage


def customer_outages(
    forecast: SupplyForecast, customers: Iterable[Customer], *, least_probability: float = 0.0
) -> list[CustomerOutage]:
    """Return what the forecast says about each customer, by connection and time.

    What is expected without a probability counts as certain here: it must not be sorted out.
    """
    by_node: dict[str, list[PredictedOutage]] = {}
    for outage in (*forecast.outages, *forecast.possible):
        if _weight(outage) >= least_probability:
            by_node.setdefault(outage.node_id, []).append(outage)
    found = [CustomerOutage(one, outage) for one in customers for outage in by_node.get(one.node_id, ())]
    return sorted(found, key=lambda one: (one.customer.connection_id, one.outage.starts_at))


def _weight(outage: PredictedOutage) -> float:
    return 1.0 if outage.probability is None else outage.probability
