"""A million readings of history through `h2twin import readings`, against the least that any reader of CSV must do.

The peer splits the lines, reads times and numbers and keeps nothing; the import converts, judges, tells repeats from
conflicts and commits durably. The ratio carries over to other machines, the seconds do not.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

ROOT = Path(__file__).parents[2]
SENSORS = 100
START = datetime(2025, 1, 1, tzinfo=UTC)
_TIME = "%Y-%m-%dT%H:%M:%SZ"
_HEADER = "sensor_id,quantity,kind,unit,element_type,element_id,district,expected_every_s,low,high\n"


def write_files(folder: Path, rows: int) -> tuple[Path, Path]:
    sensors, history = folder / "sensors.csv", folder / "history.csv"
    sensors.write_text(_HEADER + "".join(f"P-{n},pressure,instant,m,,,,300,0,100\n" for n in range(SENSORS)))
    with history.open("w") as file:
        file.write("sensor_id,observed_at,value,unit,available_at\n")
        for row in range(rows):
            at = START + timedelta(minutes=5 * (row // SENSORS))
            known = at + timedelta(seconds=2)
            file.write(f"P-{row % SENSORS},{at:{_TIME}},{30 + row * 7919 % 1000 / 500:.3f},m,{known:{_TIME}}\n")
    return sensors, history


def as_parquet(history: Path) -> Path:
    import pyarrow
    from pyarrow import csv as arrow_csv
    from pyarrow import parquet

    moment = pyarrow.timestamp("us", tz="UTC")
    types = arrow_csv.ConvertOptions(column_types={"observed_at": moment, "available_at": moment})
    path = history.with_suffix(".parquet")
    parquet.write_table(arrow_csv.read_csv(history, convert_options=types), path)
    return path


def run(folder: Path, *arguments: object) -> tuple[float, float, dict[str, int]]:
    """Run an import; return seconds on the wall and of the CPU, and what was counted."""
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "TWIN_DATA_DIR": str(folder)}
    begun, used = time.perf_counter(), cpu_of_children()
    command = [sys.executable, "-m", "api", "import", *map(str, arguments), "--json"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return time.perf_counter() - begun, cpu_of_children() - used, json.loads(done.stdout)


def cpu_of_children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def least_work(history: Path) -> float:
    begun = time.perf_counter()
    with history.open(newline="") as file:
        lines = csv.reader(file)
        next(lines)
        for _, observed, value, _, available in lines:
            datetime.fromisoformat(observed)
            datetime.fromisoformat(available)
            float(value)
    return time.perf_counter() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    rows = parser.parse_args().rows
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        sensors, history = write_files(folder, rows)
        least = least_work(history)
        print(f"{rows:,} rows; least work {least:.1f} s")
        for file in (history, as_parquet(history)):
            data = folder / file.suffix[1:]
            run(data, "sensors", sensors)
            took, cpu, counts = run(data, "readings", file)
            assert counts["stored"] == rows, counts
            speed = f"{rows / took:9,.0f} rows/s  {took / least:5.1f} times the least"
            print(f"{file.suffix:9}{took:7.1f} s ({cpu:.1f} s CPU)  {speed}   limit 40 s, aim 20 (a million)")
        took, cpu, counts = run(folder / "csv", "readings", history)
        assert counts["duplicates"] == rows, counts
        print(f"again    {took:7.1f} s ({cpu:.1f} s CPU)  (every row a repeat)")


if __name__ == "__main__":
    main()
