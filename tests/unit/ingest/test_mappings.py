"""The mappings file: what it may say, and that every mistake is refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from ingest.mappings import load_mappings, native_sources, parse_mappings, require_shareable
from ingest.topics import TopicTemplate
from twin.errors import ConfigError

GOOD = """
[[source]]
topic = "plant/{device}/data"
decoder = "json_path"
zero_if_absent = ["rain"]
[source.options]
id = "{device}"
fields = { "pressure" = "bar", "rain" = "mm" }
[source.sensors]
"pump/pressure" = "P-1"
"roof/rain" = "R-1"
"""


def test_reads_a_source() -> None:
    (source,) = parse_mappings(GOOD)
    assert source.template.subscription == "plant/+/data"
    assert source.sensor_id("pump/pressure") == "P-1"
    assert source.sensor_id("pump/rain") is None


def test_the_native_topics_are_always_there(tmp_path: Path) -> None:
    (tmp_path / "mappings.toml").write_text(GOOD)
    assert [source.template.subscription for source in load_mappings(tmp_path / "mappings.toml")] == [
        "h2/+", "h2/+/+", "plant/+/data",
    ]  # fmt: skip
    assert [source.template.subscription for source in load_mappings(None)] == ["h2/+", "h2/+/+"]
    assert native_sources()[0].sensor_id("P-1") == "P-1"


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        pytest.param("[[source]]", "[[sauce]]", "sauce", id="unknown table"),
        pytest.param("decoder =", "decode =", "decode", id="unknown key"),
        pytest.param('"json_path"', '"jsonpath"', "json_path", id="unknown decoder"),
        pytest.param("plant/{device}/data", "h2/{gateway}/{device}", "already", id="a topic that is taken"),
        pytest.param("plant/{device}/data", "plant/x{device}/data", "wildcard", id="half a level"),
        pytest.param("plant/{device}/data", "plant/#/{device}", "wildcard", id="# before the end"),
        pytest.param('["rain"]', '["snow"]', "snow", id="zero_if_absent of no field"),
        pytest.param('["rain"]', '"rain"', "zero_if_absent", id="zero_if_absent as text"),
        pytest.param('"P-1"', "1", "sensors", id="a sensor that is a number"),
        pytest.param('id = "{device}"', 'id = "{dev}"', "dev", id="a level that is not there"),
        pytest.param('"mm" }', '"mm"', "TOML", id="no TOML"),
    ],
)
def test_refuses_a_mistake_by_name(old: str, new: str, named: str) -> None:
    assert old in GOOD
    with pytest.raises(ConfigError, match=named):
        parse_mappings(GOOD.replace(old, new, 1))


def test_a_missing_file_is_a_configuration_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent\.toml"):
        load_mappings(tmp_path / "absent.toml")


@pytest.mark.parametrize(
    ("template", "topic", "found"),
    [
        ("a/{x}/c", "a/b/c", {"x": "b"}),
        ("a/{x}/c", "a//c", None),
        ("a/+/c", "a//c", {}),
        ("a/+", "a/b/c", None),
        ("a/#", "a/b/c", {}),
        ("a.b/{x}", "aXb/c", None),
    ],
)
def test_topics_match_level_by_level(template: str, topic: str, found: dict[str, str] | None) -> None:
    assert TopicTemplate.parse(template).match(topic) == found


SPARKPLUG = """
[[source]]
topic = "spBv1.0/Porto/#"
decoder = "sparkplug_b"
[source.sensors]
"Porto/RTU-001/DMA-12/flow" = "Q-12"
"""


def test_ingesters_share_no_format_that_must_be_read_from_its_beginning() -> None:
    require_shareable([*native_sources(), *parse_mappings(GOOD)])
    with pytest.raises(ConfigError, match=r"'spBv1.0/Porto/#' is Sparkplug"):
        require_shareable([*native_sources(), *parse_mappings(SPARKPLUG)])
