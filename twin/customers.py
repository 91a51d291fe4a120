"""Customers and their connections to the network. Ids are pseudonymous; nothing here is shown in public."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import StrEnum


class Sensitivity(StrEnum):
    """Customers whom a cut endangers or hurts more than others."""

    NONE = "none"
    HOSPITAL = "hospital"
    DIALYSIS = "dialysis"
    SCHOOL = "school"
    CARE_HOME = "care_home"
    FIRE_SERVICE = "fire_service"
    INDUSTRY = "industry"


@dataclass(frozen=True, slots=True)
class Customer:
    """One connection of one customer: `node_id` is a node of the supply network."""

    customer_id: str
    connection_id: str
    node_id: str
    population: int = 1
    sensitive: Sensitivity = Sensitivity.NONE
    language: str = "pt"
    channels: tuple[str, ...] = ()
    consent: bool = False
    quiet_hours: str = ""
    street: str = ""
    postcode: str = ""
    phone: str = ""
    email: str = ""


def customers_at(customers: Iterable[Customer], node_ids: Collection[str]) -> list[Customer]:
    """Return exactly the customers connected to one of `node_ids`, ordered by connection."""
    wanted = frozenset(node_ids)
    return sorted((customer for customer in customers if customer.node_id in wanted), key=lambda c: c.connection_id)


PUBLIC_COUNT_FLOOR = 15
"""Below this many connections a public count could point at a person, so it is withheld (k-anonymity)."""


def public_count(count: int) -> int | None:
    """Return `count` if it may be shown in public, else None."""
    return count if count >= PUBLIC_COUNT_FLOOR else None
