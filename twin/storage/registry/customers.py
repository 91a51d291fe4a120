"""The customers and their connections."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select

from twin.customers import Customer, Sensitivity
from twin.storage.registry.documents import Document
from twin.storage.registry.part import Part
from twin.storage.registry.schema import customers as table

_CHANNELS = Document(tuple[str, ...])


class SqlCustomers(Part):
    """Fulfils `twin.ports.CustomerRegistry`."""

    def upsert_customers(self, customers: Sequence[Customer]) -> None:
        """Add or replace customers by connection_id, all or none; of the same connection twice the last counts."""
        rows = {customer.connection_id: _row(customer) for customer in customers}
        if not rows:
            return
        with self._database.write() as connection:
            connection.execute(self._database.upsert(table), [rows[connection_id] for connection_id in sorted(rows)])

    def customers(self) -> list[Customer]:
        """Return all customers in order of connection_id."""
        with self._database.read() as connection:
            rows = connection.execute(select(table).order_by(table.c.connection_id)).all()
        return [
            Customer(
                customer_id=row.customer_id,
                connection_id=row.connection_id,
                node_id=row.node_id,
                population=row.population,
                sensitive=Sensitivity(row.sensitive),
                language=row.language,
                channels=_CHANNELS.decode(row.channels),
                consent=row.consent,
                quiet_hours=row.quiet_hours,
                street=row.street,
                postcode=row.postcode,
                phone=row.phone,
                email=row.email,
            )
            for row in rows
        ]


def _row(customer: Customer) -> dict[str, object]:
    row = {column.name: getattr(customer, column.name) for column in table.columns}
    return row | {"channels": _CHANNELS.encode(customer.channels)}
