"""What Home Assistant is told of a sensor or figure: its discovery message, state and availability.

Units are those that Home Assistant's device classes allow, so values are converted from SI at this edge. A class that
does not allow a sensor's behaviour (its state class) is left out, else Home Assistant would refuse the entity.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from twin.clock import format_time
from twin.kpis import Kpi
from twin.readings import ElementType, Kind, Reading, Sensor
from twin.units import Quantity, from_si, si_unit

BASE = "h2twin/home_assistant"
STATUS_TOPIC = f"{BASE}/status"
ONLINE, OFFLINE = b"online", b"offline"
_NODE = "h2twin"
_LONGEST_SLUG = 48


@dataclass(frozen=True, slots=True)
class _Shown:
    """A device class, h2twin's unit to convert to, and Home Assistant's name for it."""

    device_class: str | None
    unit: str | None = None
    label: str | None = None
    allows_totals: bool = True


_INSTANT: Mapping[Quantity, _Shown] = {
    Quantity.PRESSURE: _Shown("pressure", "bar", "bar", allows_totals=False),
    Quantity.HEAD: _Shown("distance", "m", "m"),
    Quantity.LEVEL: _Shown("distance", "m", "m"),
    Quantity.FLOW: _Shown("volume_flow_rate", "m3/h", "m³/h", allows_totals=False),
    Quantity.DEMAND: _Shown("volume_flow_rate", "m3/h", "m³/h", allows_totals=False),
    Quantity.VOLUME: _Shown("volume_storage", "m3", "m³", allows_totals=False),
    Quantity.RAIN: _Shown("precipitation", "mm", "mm"),
    Quantity.TEMPERATURE: _Shown("temperature", "degC", "°C", allows_totals=False),
    Quantity.STATUS: _Shown(None),
    Quantity.SPEED: _Shown(None, "%", "%"),
    Quantity.POWER: _Shown("power", "kW", "kW", allows_totals=False),
    Quantity.ENERGY: _Shown("energy_storage", "kWh", "kWh", allows_totals=False),
    Quantity.CHLORINE: _Shown(None, "mg/L", "mg/L"),
    Quantity.TURBIDITY: _Shown(None, "NTU", "NTU"),
    Quantity.PH: _Shown("ph", allows_totals=False),
    Quantity.CONDUCTIVITY: _Shown("conductivity", "uS/cm", "µS/cm", allows_totals=False),
}
_TOTALS: Mapping[Quantity, _Shown] = {
    Quantity.VOLUME: _Shown("water", "m3", "m³"),
    Quantity.ENERGY: _Shown("energy", "kWh", "kWh"),
}
_STATE_CLASS = {Kind.INSTANT: "measurement", Kind.TOTAL: "total", Kind.TOTAL_INCREASING: "total_increasing"}


def is_private(sensor: Sensor) -> bool:
    """Whether the sensor may be a household's meter, whose readings tell how people live."""
    at_node = sensor.kind is Kind.TOTAL_INCREASING and sensor.element_type is ElementType.NODE
    return bool(sensor.connection_id) or at_node


def object_of(kind: str, name: str) -> str:
    """Return a name that can stand in a topic and is nobody else's."""
    slug = re.sub(r"[^A-Za-z0-9_-]+", "_", name)[:_LONGEST_SLUG]
    return f"{kind}_{slug}_{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def config_topic(prefix: str, thing: str) -> str:
    """Return the topic of an entity's discovery message."""
    return f"{prefix}/sensor/{_NODE}/{thing}/config"


def config_filter(prefix: str) -> str:
    """Return the filter of all our discovery messages."""
    return config_topic(prefix, "+")


def state_topic(thing: str) -> str:
    """Return the topic of an entity's states."""
    return f"{BASE}/{thing}/state"


def availability_topic(thing: str) -> str:
    """Return the topic that says whether an entity's state holds."""
    return f"{BASE}/{thing}/availability"


def sensor_config(sensor: Sensor) -> bytes:
    """Return a sensor's discovery message."""
    thing, shown = object_of("sensor", sensor.sensor_id), _shown(sensor)
    place = f"district {sensor.district}" if sensor.district else "the network"
    document = {
        "name": f"{sensor.sensor_id} {sensor.quantity}",
        **_common(thing, f"h2twin_sensors_{sensor.district or 'all'}", f"Water sensors of {place}"),
        "state_class": _STATE_CLASS[sensor.kind],
        "device_class": shown.device_class,
        "unit_of_measurement": shown.label,
    }
    return _dumped(document)


def sensor_state(sensor: Sensor, reading: Reading) -> bytes:
    """Return a sensor's state: the value in the unit that the discovery message names."""
    shown = _shown(sensor)
    value = reading.value if shown.unit is None else from_si(reading.value, shown.unit, sensor.quantity)
    return _dumped(
        {
            "value": float(f"{value:.9g}"),
            "observed_at": format_time(reading.observed_at),
            "quality": reading.quality.value,
            "value_si": reading.value,
            "unit_si": si_unit(sensor.quantity),
        }
    )


def kpi_config(kpi: Kpi) -> bytes:
    """Return a figure's discovery message."""
    thing = kpi_object(kpi)
    about = "" if kpi.subject == "all" else f" ({kpi.subject})"
    document = {
        "name": f"{kpi.name}{about}",
        **_common(thing, "h2twin_kpis", "Water network figures"),
        "state_class": "measurement",
        "unit_of_measurement": None if kpi.unit in ("", "1") else kpi.unit,
        "icon": "mdi:chart-line",
    }
    return _dumped(document)


def kpi_state(kpi: Kpi) -> bytes:
    """Return a figure's state with the period and coverage it stands for."""
    return _dumped(
        {
            "value": kpi.value,
            "period_start": format_time(kpi.period_start),
            "period_end": format_time(kpi.period_end),
            "coverage": kpi.coverage,
            "remark": kpi.remark,
        }
    )


def kpi_object(kpi: Kpi) -> str:
    """Return the name of a figure's entity."""
    return object_of("kpi", f"{kpi.kpi_id}:{kpi.subject}")


def _shown(sensor: Sensor) -> _Shown:
    if sensor.kind is Kind.INSTANT:
        return _INSTANT[sensor.quantity]
    found = _TOTALS.get(sensor.quantity, _INSTANT[sensor.quantity])
    return found if found.allows_totals else _Shown(None, found.unit, found.label)


def _common(thing: str, device_id: str, device_name: str) -> dict[str, object]:
    return {
        "unique_id": f"h2twin_{thing}",
        "state_topic": state_topic(thing),
        "value_template": "{{ value_json.value }}",
        "json_attributes_topic": state_topic(thing),
        "availability": [{"topic": STATUS_TOPIC}, {"topic": availability_topic(thing)}],
        "availability_mode": "all",
        "device": {"identifiers": [device_id], "name": device_name, "manufacturer": "h2twin", "model": "digital twin"},
        "origin": {"name": "h2twin"},
    }


def _dumped(document: Mapping[str, object]) -> bytes:
    known = {key: value for key, value in document.items() if value is not None}
    return json.dumps(known, ensure_ascii=False, allow_nan=False, sort_keys=True).encode()
