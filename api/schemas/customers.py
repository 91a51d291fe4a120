"""Customers: counts by default, rows only for a stated purpose."""

from __future__ import annotations

from api.schemas.base import Out, PageOut, example
from twin.customers import Sensitivity


class CustomerCountsOut(Out):
    """How many connections there are, how many people they serve, and how many are sensitive, by kind."""

    model_config = example({"connections": 41, "population": 103, "sensitive": {"hospital": 1}})

    connections: int
    population: int
    sensitive: dict[str, int]


class CustomerOut(Out):
    """One connection of one customer. Personal data: every read is written down with its purpose."""

    model_config = example(
        {
            "customer_id": "C-0001",
            "connection_id": "K-0001",
            "node_id": "J12",
            "population": 3,
            "sensitive": "none",
            "language": "pt",
            "channels": ["https://example.org/hook"],
            "consent": True,
            "quiet_hours": "22:00-07:00",
            "street": "Rua de Camões",
            "postcode": "4000-001",
            "phone": "",
            "email": "",
        }
    )

    customer_id: str
    connection_id: str
    node_id: str
    population: int
    sensitive: Sensitivity
    language: str
    channels: list[str]
    consent: bool
    quiet_hours: str
    street: str
    postcode: str
    phone: str
    email: str


class CustomersOut(PageOut[CustomerOut]):
    """The counts over all matching connections, and the rows if they were asked for."""

    counts: CustomerCountsOut
