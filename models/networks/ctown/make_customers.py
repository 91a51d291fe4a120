"""Invent the customers of C-Town: `python -m models.networks.ctown.make_customers` writes customers.csv again.

Nobody in it exists. Connections are shared out over the junctions by base demand (largest remainder), so a junction
without demand has none; everything else is drawn from one seeded generator, so the file is the same on every machine.
"""

from __future__ import annotations

import csv
import random
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from models.networks.ctown import CUSTOMERS_CSV, SUPPLY_INP

CONNECTIONS = 4000
SEED = 20160904
PORTUGUESE_SHARE = 0.85
CONSENT_SHARE = 0.8
SENSITIVE = {"hospital": 2, "dialysis": 5, "school": 15, "care_home": 10, "fire_service": 5, "industry": 20}
_POPULATION = {
    "hospital": (250, 500), "dialysis": (30, 60), "school": (150, 600), "care_home": (30, 90),
    "fire_service": (15, 40), "industry": (10, 120),
}  # fmt: skip
_HOUSEHOLDS = ((1, 2, 3, 4, 5, 12, 24), (24, 32, 20, 12, 5, 5, 2))  # people behind a connection, and how often
_KINDS = ("Rua", "Travessa", "Largo", "Avenida")
_NAMES = (
    "da Nascente", "do Moinho", "das Azenhas", "do Chafariz", "da Levada", "dos Salgueiros", "da Ponte Nova",
    "do Tanque", "das Lavadeiras", "do Poço", "da Represa", "do Açude",
)  # fmt: skip
_QUARTERS = {"DMA1": "Baixa", "DMA2": "Alto", "DMA3": "Encosta", "DMA4": "Serra", "DMA5": "Ribeira"}
_COLUMNS = (
    "customer_id", "connection_id", "node_id", "population", "sensitive", "language", "channels", "consent",
    "quiet_hours", "street", "postcode", "phone", "email",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class DemandJunction:
    """A junction where water is used: its base demand in the network's unit and the pattern that names its district."""

    node_id: str
    base_demand: float
    district: str


def demand_junctions(network: Path = SUPPLY_INP) -> list[DemandJunction]:
    """Read the junctions with a base demand above 0 from the [JUNCTIONS] section, in order of the file."""
    junctions, section = [], ""
    for line in network.read_text(encoding="ascii").splitlines():
        words = line.split(";")[0].split()
        if not words:
            continue
        if words[0].startswith("["):
            section = words[0]
        elif section == "[JUNCTIONS]" and float(words[2]) > 0:
            junctions.append(DemandJunction(words[0], float(words[2]), words[3].removesuffix("_pat")))
    return junctions


def share_out(junctions: list[DemandJunction], connections: int) -> dict[str, int]:
    """Return each junction's number of connections: proportional to demand, largest remainders first."""
    total = sum(junction.base_demand for junction in junctions)
    exact = {junction.node_id: connections * junction.base_demand / total for junction in junctions}
    shares = {node_id: int(quota) for node_id, quota in exact.items()}
    left_over = connections - sum(shares.values())
    for node_id in sorted(exact, key=lambda node: (shares[node] - exact[node], node))[:left_over]:
        shares[node_id] += 1
    return shares


def connections_by_junction(customers: Path = CUSTOMERS_CSV) -> dict[str, int]:
    """Count the connections at each junction of the register; junctions without any are left out."""
    with customers.open(encoding="utf-8", newline="") as file:
        return dict(Counter(row["node_id"] for row in csv.DictReader(file)))


def customer_rows() -> Iterator[Mapping[str, object]]:
    """Yield the rows of customers.csv."""
    draw = random.Random(SEED)
    junctions = demand_junctions()
    district = {junction.node_id: junction.district for junction in junctions}
    places = [node for node, count in share_out(junctions, CONNECTIONS).items() for _ in range(count)]
    sensitive = _place_sensitive(draw, [district[node] for node in places])
    street_of = _streets(junctions)
    for number, node_id in enumerate(places):
        kind = sensitive.get(number, "none")
        street, postcode = street_of[node_id]
        yield {
            "customer_id": f"C{draw.randrange(16**8):08x}",
            "connection_id": f"K{number + 1:05d}",
            "node_id": node_id,
            "population": _population(draw, kind),
            "sensitive": kind,
            "language": "pt" if draw.random() < PORTUGUESE_SHARE else "en",
            "consent": "true" if draw.random() < CONSENT_SHARE else "false",
            "quiet_hours": "22:00-07:00" if kind == "none" else "",
            "street": street,
            "postcode": postcode,
        }


def _place_sensitive(draw: random.Random, districts: list[str]) -> dict[int, str]:
    """Give each kind of sensitive customer to the districts in turn, at connections drawn without repetition."""
    free = {name: [i for i, at in enumerate(districts) if at == name] for name in sorted(set(districts))}
    for numbers in free.values():
        draw.shuffle(numbers)
    kinds = [kind for kind, count in SENSITIVE.items() for _ in range(count)]
    order = sorted(free, reverse=True)
    return {free[order[turn % len(order)]].pop(): kind for turn, kind in enumerate(kinds)}


def _population(draw: random.Random, kind: str) -> int:
    if kind == "none":
        return draw.choices(*_HOUSEHOLDS)[0]
    return draw.randint(*_POPULATION[kind])


def _streets(junctions: list[DemandJunction]) -> dict[str, tuple[str, str]]:
    """Return each junction's (street, postcode): up to four neighbours in the file share a street of their district."""
    streets, seen = {}, Counter[str]()
    for junction in junctions:
        place = seen[junction.district] // 4
        seen[junction.district] += 1
        kind, name = _KINDS[place // len(_NAMES) % len(_KINDS)], _NAMES[place % len(_NAMES)]
        number = list(_QUARTERS).index(junction.district) + 1
        streets[junction.node_id] = (f"{kind} {name} ({_QUARTERS[junction.district]})", f"0000-{number}{place:02d}")
    return streets


def main() -> None:
    """Write customers.csv beside this file."""
    with CUSTOMERS_CSV.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, _COLUMNS, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(customer_rows())


if __name__ == "__main__":
    main()
