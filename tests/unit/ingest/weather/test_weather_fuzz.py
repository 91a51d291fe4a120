"""Whatever a service sends, the readers answer with a forecast or with InputError; nothing else escapes."""

from __future__ import annotations

import json
import random
from contextlib import suppress
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.weather.files import parse_file
from ingest.weather.ipma import parse_ipma
from ingest.weather.parsing import PROVIDERS, parse_steps
from ingest.weather.steps import regular
from twin.errors import InputError

NOW = datetime(2026, 1, 1, tzinfo=UTC)
FOLDER = Path(__file__).parents[3] / "data" / "weather"
FILE = {
    "source": "x", "issued_at": "2026-01-01T00:00:00Z", "gage_id": "*", "valid_from": "2026-01-01T00:00:00Z",
    "interval_s": 3600, "members": [{"member": 0, "rain_mm": [0.0, None, 1.5], "temperature_c": [1, 2, None]}],
}  # fmt: skip
SAMPLES = {
    "open_meteo": json.loads((FOLDER / "open_meteo" / "ensemble_shape_SYNTHETIC.json").read_bytes()),
    "met_norway": json.loads((FOLDER / "met_norway" / "lat40.7lon-74.0altitude10_compact.json").read_bytes())["data"],
    "nws": json.loads((FOLDER / "nws" / "detailed_forecast.json").read_bytes()),
    "ipma": json.loads((FOLDER / "ipma" / "observations_3hours_subset.json").read_bytes()),
    "file": FILE,
}
SAMPLES["met_norway"]["properties"]["timeseries"] = SAMPLES["met_norway"]["properties"]["timeseries"][50:58]
SAMPLES["nws"] = {
    "properties": {key: SAMPLES["nws"]["properties"][key] for key in ("updateTime", "quantitativePrecipitation")}
}
SAMPLES["ipma"] = {hour: dict(list(stations.items())[:3]) for hour, stations in SAMPLES["ipma"].items()}

TIMES = ["2026-01-01T00:00", "2026-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "24"]
TIMES += ["2022-02-04T00:00:00+00:00/PT6H", "2022-02-04T00:00:00+00:00/P999DT9999H", "2022-02-04T00:00:00+00:00/PT-1H"]
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.integers(-(10**320), 10**320), st.text(max_size=8),
    st.floats(allow_nan=False, allow_infinity=False), st.sampled_from(TIMES), st.sampled_from(["mm", "inch", "-99.0"]),
)  # fmt: skip
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner))


def read(provider: str, body: bytes) -> None:
    """Read the body in every way there is for the provider, and check what must hold of any answer."""
    with suppress(InputError):
        parsed = parse_steps(provider, body)
        for member in parsed.members:
            assert all(before.valid_to <= step.valid_from for before, step in pairwise(member.steps))
            assert all(step.rain_mm is None or step.rain_mm >= 0 for step in member.steps)
        regular(parsed, now=NOW)
    for reader in (parse_file, parse_ipma):
        with suppress(InputError):
            reader(body, now=NOW)


@pytest.mark.parametrize("provider", PROVIDERS)
@given(body=st.binary(max_size=200))
@settings(max_examples=30)
def test_any_bytes(provider, body):
    read(provider, body)


@pytest.mark.parametrize("provider", PROVIDERS)
@given(value=VALUES)
@settings(max_examples=30)
def test_any_json(provider, value):
    read(provider, json.dumps(value).encode())


@pytest.mark.parametrize("provider", PROVIDERS)
@given(seed=st.integers(0, 2**32), value=VALUES, rounds=st.integers(1, 3))
@settings(max_examples=80)
def test_a_real_payload_with_something_wrong_in_it(provider, seed, value, rounds):
    payload = json.loads(json.dumps(SAMPLES[provider]))
    draw = random.Random(seed)
    for _ in range(rounds):
        _spoil(payload, value, draw)
    read(provider, json.dumps(payload).encode())


def _spoil(node, value, draw: random.Random) -> None:
    """Walk down at random and replace, remove or repeat something."""
    while True:
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        if not keys:
            return
        key = draw.choice(keys)
        if isinstance(node[key], dict | list) and node[key] and draw.random() < 0.85:
            node = node[key]
            continue
        if draw.random() < 0.7:
            node[key] = json.loads(json.dumps(value))
        elif isinstance(node, list):
            node.insert(draw.randrange(len(node)), node[key])
        else:
            del node[key]
        return


@pytest.mark.parametrize("provider", PROVIDERS)
def test_the_samples_themselves_are_read(provider):
    assert parse_steps(provider, json.dumps(SAMPLES[provider]).encode()).members
