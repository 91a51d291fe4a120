"""Topic templates: `plant/{device}/data` subscribes to `plant/+/data` and names what stands in the wildcard's place."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from twin.errors import ConfigError

_NAMED = re.compile(r"\{([a-z][a-z0-9_]*)\}")


@dataclass(frozen=True)
class TopicTemplate:
    """An MQTT topic filter whose wildcards may carry names: `+` and `{name}` match one level, a final `#` the rest."""

    text: str
    subscription: str
    names: tuple[str, ...]
    _pattern: re.Pattern[str]

    @classmethod
    def parse(cls, text: str) -> TopicTemplate:
        """Read a template.

        Raises:
            ConfigError: If it is empty, a wildcard shares its level with other text, or a name comes twice.
        """
        levels = text.split("/")
        names: list[str] = []
        expressions: list[str] = []
        rest = ""
        for position, level in enumerate(levels):
            named = _NAMED.fullmatch(level)
            if level == "#" and position == len(levels) - 1:
                rest = "(?:/.*)?" if position else ".*"  # `a/#` is also the topic `a`
            elif level == "+":
                expressions.append("[^/]*")
            elif named:
                names.append(named[1])
                expressions.append(f"(?P<{named[1]}>[^/]+)")
            elif any(sign in level for sign in "+#{}"):
                raise ConfigError(f"topic {text!r}: a wildcard must fill its whole level, and # must be the last")
            else:
                expressions.append(re.escape(level))
        if not text or len(set(names)) < len(names):
            raise ConfigError(f"topic {text!r}: must not be empty or use a name twice")
        subscription = "/".join("+" if _NAMED.fullmatch(level) else level for level in levels)
        return cls(text, subscription, tuple(names), re.compile("/".join(expressions) + rest, re.DOTALL))

    def match(self, topic: str) -> Mapping[str, str] | None:
        """Return what stands at the named levels of `topic`, or None where the template does not match."""
        found = self._pattern.fullmatch(topic)
        return None if found is None else found.groupdict()
