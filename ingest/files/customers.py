"""customers.csv: who is connected where, how to reach them, and whom a cut would endanger."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit

from ingest.files.tables import Row, read_table
from twin.customers import Customer, Sensitivity

REQUIRED = ("customer_id", "connection_id", "node_id", "population", "sensitive", "language")
OPTIONAL = ("channels", "consent", "quiet_hours", "street", "postcode", "phone", "email")
LANGUAGES = ("pt", "en")
LARGEST_POPULATION = 10_000_000

_GIVEN = frozenset({"true", "yes", "sim", "1"})
_WITHHELD = frozenset({"false", "no", "não", "0", ""})
_QUIET_HOURS = re.compile(r"([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d", re.ASCII)
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:.+", re.IGNORECASE | re.ASCII)


def read_customers(path: Path) -> list[Customer]:
    """Read all customers or none; one row a connection.

    `channels` are notification URLs separated by `;`, `quiet_hours` reads HH:MM-HH:MM in local time, `consent` is
    true or false (empty: false).

    Raises:
        InputError: Naming file, line, column and reason of the first row that is not acceptable.
    """
    customers: list[Customer] = []
    lines: dict[str, int] = {}
    for row in read_table(path, required=REQUIRED, optional=OPTIONAL):
        customer = _customer(row)
        if customer.connection_id in lines:
            first = lines[customer.connection_id]
            raise row.wrong("connection_id", f"{customer.connection_id!r} is already in line {first}")
        lines[customer.connection_id] = row.line
        customers.append(customer)
    return customers


def _customer(row: Row) -> Customer:
    return Customer(
        customer_id=row.required("customer_id"),
        connection_id=row.required("connection_id"),
        node_id=row.required("node_id"),
        population=_population(row),
        sensitive=Sensitivity(row.choice("sensitive", list(Sensitivity))),
        language=row.choice("language", LANGUAGES),
        channels=_channels(row),
        consent=_consent(row),
        quiet_hours=_quiet_hours(row),
        street=row.text("street"),
        postcode=row.text("postcode"),
        phone=row.text("phone"),
        email=_email(row),
    )


def _population(row: Row) -> int:
    population = row.integer("population")
    if population is None:
        return 1
    if not 0 <= population <= LARGEST_POPULATION:
        raise row.wrong("population", f"{population} is not between 0 and {LARGEST_POPULATION}")
    return population


def _channels(row: Row) -> tuple[str, ...]:
    channels = tuple(filter(None, (part.strip() for part in row.text("channels").split(";"))))
    for channel in channels:
        if not _is_address(channel):
            raise row.wrong(
                "channels", f"{channel!r} is not a notification URL such as mailto:a@b.pt or https://b.pt/hook"
            )
    return channels


def _is_address(channel: str) -> bool:
    if not _SCHEME.fullmatch(channel) or not channel.isprintable() or " " in channel:
        return False
    try:
        parts = urlsplit(channel)
        return parts.scheme not in ("http", "https") or bool(parts.hostname)
    except ValueError:
        return False


def _consent(row: Row) -> bool:
    consent = row.text("consent").lower()
    if consent not in _GIVEN | _WITHHELD:
        raise row.wrong("consent", f"{row.text('consent')!r} is neither true nor false")
    return consent in _GIVEN


def _quiet_hours(row: Row) -> str:
    quiet_hours = row.text("quiet_hours")
    if quiet_hours and not _QUIET_HOURS.fullmatch(quiet_hours):
        raise row.wrong("quiet_hours", f"{quiet_hours!r} does not read like 22:00-07:00")
    return quiet_hours


def _email(row: Row) -> str:
    email = row.text("email")
    if email and ("@" not in email or not email.isprintable() or " " in email):
        raise row.wrong("email", f"{email!r} is not an e-mail address")
    return email
