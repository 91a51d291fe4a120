"""C-Town, the demo town: a supply network, half a year of its SCADA, real weather, and invented customers.

Everything here is data with a small reader; SOURCE.txt beside it says where each file came from, what was changed
and under which licence. Times are those of the SCADA record (July to December 2016), read as UTC.
"""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent
SUPPLY_INP = FOLDER / "CTOWN.INP"
DRAINAGE_INP = FOLDER / "drainage.inp"
SENSORS_CSV = FOLDER / "sensors.csv"
CUSTOMERS_CSV = FOLDER / "customers.csv"
SCADA_CSV = FOLDER / "scada.csv.gz"
WEATHER_CSV = FOLDER / "weather.csv.gz"

DISTRICT_TANKS = {"DMA1": ("T1", "T2"), "DMA2": ("T4",), "DMA3": ("T3",), "DMA4": ("T6", "T7"), "DMA5": ("T5",)}
"""The tanks of each district. Pumps part the districts; their names are those of the demand patterns."""
