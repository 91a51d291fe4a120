"""Old SCADA readings as tables, one file a quantity and one column an element, as BattLeDIM publishes them.

A folder holds files whose names say what is in them: `…pressures…` (m), `…flows…` (m3/h), `…levels…` (m) and
`…amr…` or `…demands…` (L/h), each .parquet or .csv. The first column is the time; a time without an offset is the
model's own clock and is taken as UTC. Several files of a quantity (a year each) are put together.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from twin.errors import ConfigError, InputError
from twin.readings import ElementType, Sensor
from twin.units import Quantity, scale_of

if TYPE_CHECKING:
    from models.supply.tracks import Track

_TABLES = (
    ("pressure", Quantity.PRESSURE, ElementType.NODE, "m"),
    ("flow", Quantity.FLOW, ElementType.LINK, "m3/h"),
    ("level", Quantity.LEVEL, ElementType.NODE, "m"),
    ("amr", Quantity.DEMAND, ElementType.NODE, "L/h"),
    ("demand", Quantity.DEMAND, ElementType.NODE, "L/h"),
)
_ENDINGS = (".parquet", ".csv")


def read_scada(folder: Path) -> list[Track]:
    """Return what every sensor of a folder of tables said, in SI.

    Raises:
        InputError: If there is no such table, or one cannot be read.
        ConfigError: If a table is Parquet and pyarrow is not installed.
    """
    import pandas as pd

    if not folder.is_dir():
        raise InputError(f"there is no folder {folder}")
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in _ENDINGS)
    tracks = []
    for word, quantity, element_type, unit in _TABLES:
        tables = [_read(path) for path in files if word in path.name.lower()]
        if tables:
            table = pd.concat(tables).sort_index()
            table = table[~table.index.duplicated()]
            tracks += _tracks(table, quantity, element_type, scale_of(unit, quantity)[0])
    if not tracks:
        raise InputError(f"{folder} holds no table of pressures, flows, levels or demands (.parquet or .csv)")
    return tracks


def _tracks(table: Any, quantity: Quantity, element_type: ElementType, factor: float) -> list[Track]:
    from models.supply.tracks import Track

    times_s = table.index.as_unit("us").asi8 / 1e6
    every_s = float(np.median(np.diff(times_s))) if len(times_s) > 1 else 300.0
    tracks = []
    for element in table.columns:
        values = table[element].to_numpy(dtype=np.float64) * factor
        known = np.isfinite(values)
        sensor = Sensor(
            f"{quantity}:{element}",
            quantity,
            element_type=element_type,
            element_id=str(element),
            expected_every_s=every_s,
        )
        tracks.append(Track(sensor, times_s[known], values[known]))
    return tracks


def _read(path: Path) -> Any:
    import pandas as pd

    try:
        table = pd.read_parquet(path) if path.suffix.lower() == ".parquet" else _read_csv(path)
        table = table.astype(np.float64)
        index = pd.to_datetime(table.index)
    except ImportError as error:
        raise ConfigError("Parquet files need pyarrow: pip install pyarrow; .csv needs nothing") from error
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"{path.name} is no table of readings: {error}") from error
    if not isinstance(index, pd.DatetimeIndex):
        raise InputError(f"{path.name}: the first column must be the time of the readings")
    table.index = index.tz_localize("UTC") if index.tz is None else index.tz_convert("UTC")
    return table


def _read_csv(path: Path) -> Any:
    """Read a table with `,` or `;` between its columns; with `;` the decimal sign may be a comma."""
    import pandas as pd

    with path.open(encoding="utf-8-sig", newline="") as file:
        header = next(csv.reader(file, delimiter="\n"), [""])[0]
    if ";" in header:
        return pd.read_csv(path, sep=";", decimal=",", index_col=0)
    return pd.read_csv(path, index_col=0)
