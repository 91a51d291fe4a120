"""What Home Assistant accepts, written down from its documentation and its own tables (2024-2026).

`integrations/sensor.mqtt` (the keys), `homeassistant/components/sensor/const.py` (units and state classes that a device
class allows) and `homeassistant/components/mqtt/discovery.py` (topics). Facts, not code.
"""

from __future__ import annotations

import json
import re
from typing import Any

import jsonschema

TEXT = {"type": "string", "minLength": 1}
SCHEMA = {
    "type": "object",
    "required": ["state_topic"],
    "additionalProperties": False,
    "properties": {
        "name": TEXT,
        "unique_id": TEXT,
        "state_topic": TEXT,
        "value_template": TEXT,
        "json_attributes_topic": TEXT,
        "unit_of_measurement": TEXT,
        "device_class": TEXT,
        "state_class": {"enum": ["measurement", "total", "total_increasing"]},
        "icon": {"type": "string", "pattern": "^mdi:"},
        "availability": {
            "type": "array",
            "items": {"type": "object", "required": ["topic"], "properties": {"topic": TEXT}},
        },
        "availability_mode": {"enum": ["all", "any", "latest"]},
        "device": {
            "type": "object",
            "required": ["identifiers"],
            "additionalProperties": False,
            "properties": {
                "identifiers": {"type": "array", "items": TEXT, "minItems": 1},
                "name": TEXT,
                "manufacturer": TEXT,
                "model": TEXT,
            },
        },
        "origin": {"type": "object", "required": ["name"], "properties": {"name": TEXT}},
    },
}  # fmt: skip
TOTALS = {"total", "total_increasing"}
ALL = {"measurement", *TOTALS}
ALLOWED: dict[str, tuple[set[str | None], set[str]]] = {
    "pressure": ({"Pa", "hPa", "kPa", "bar", "cbar", "mbar", "mmHg", "inHg", "psi"}, {"measurement"}),
    "distance": ({"km", "m", "cm", "mm", "mi", "yd", "in", "ft"}, ALL),
    "volume_flow_rate": ({"m³/h", "m³/min", "m³/s", "ft³/min", "L/h", "L/min", "L/s", "gal/min"}, {"measurement"}),
    "volume_storage": ({"L", "mL", "gal", "fl. oz.", "m³", "ft³", "CCF"}, {"measurement"}),
    "water": ({"L", "gal", "m³", "ft³", "CCF"}, TOTALS),
    "precipitation": ({"cm", "in", "mm"}, ALL),
    "temperature": ({"°C", "°F", "K"}, {"measurement"}),
    "power": ({"W", "kW", "MW"}, {"measurement"}),
    "energy": ({"Wh", "kWh", "MWh", "MJ", "GJ"}, TOTALS),
    "energy_storage": ({"Wh", "kWh", "MWh", "MJ", "GJ"}, {"measurement"}),
    "ph": ({None}, {"measurement"}),
    "conductivity": ({"S/cm", "mS/cm", "µS/cm"}, {"measurement"}),
}


def check_discovery(topic: str, payload: bytes, *, prefix: str = "homeassistant") -> dict[str, Any]:
    """Return a discovery message after insisting that Home Assistant would make a sensor of it."""
    assert re.fullmatch(rf"{prefix}/sensor/[a-zA-Z0-9_-]+/[a-zA-Z0-9_-]+/config", topic), topic
    document: dict[str, Any] = json.loads(payload)
    jsonschema.validate(document, SCHEMA)
    assert "availability_topic" not in document
    if "device_class" in document:
        units, states = ALLOWED[document["device_class"]]
        assert document.get("unit_of_measurement") in units, document
        assert document["state_class"] in states, document
    assert document["unique_id"]
    assert document["value_template"] == "{{ value_json.value }}"
    return document
