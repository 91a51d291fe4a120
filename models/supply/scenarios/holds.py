"""Links that are held closed or open for a while, in the middle of a run, and given back to their controls.

A rule acts on whatever it names: while one of its links is held, the whole rule is off. A timed control that falls into
the time of a hold is not made up for afterwards; controls by level or pressure act again at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from models.supply.epanet import Count, LinkType, LinkValue
from models.supply.open_supply import Setup

_IMPASSABLE = 1e15
_NO_SETTING = -1e6


@dataclass(slots=True)
class _Held:
    """A link that is held: whether open, and what gives it back."""

    is_open: bool
    give_back: list[Callable[[], None]] = field(default_factory=list)


class Holds:
    """Which links are held at present. Links count from 1."""

    def __init__(self, setup: Setup) -> None:
        self._setup, self._project = setup, setup.project
        self._held: dict[int, _Held] = {}

    def hold(self, wanted: Mapping[int, bool]) -> None:
        """Hold exactly these links, open (True) or closed; give back all others."""
        for link in [link for link, held in self._held.items() if wanted.get(link) is not held.is_open]:
            for give_back in reversed(self._held.pop(link).give_back):
                give_back()
        for link, is_open in wanted.items():
            if link not in self._held:
                self._held[link] = self._begin(link, is_open)

    def _begin(self, link: int, is_open: bool) -> _Held:
        project, held = self._project, _Held(is_open)
        for control in range(1, project.count(Count.CONTROLS) + 1):
            if project.control(control)[1] == link and project.is_control_enabled(control):
                self._off(held, project.enable_control, control)
        for rule in range(1, project.count(Count.RULES) + 1):
            if link in project.links_of_rule(rule) and project.is_rule_enabled(rule):
                self._off(held, project.enable_rule, rule)
        kind = project.link_type(link)
        if kind is LinkType.PUMP and project.link_value(link, LinkValue.SPEED_PATTERN):
            self._set(held, link, LinkValue.SPEED_PATTERN, 0)
        if kind is LinkType.CVPIPE:  # its status is its own
            if not is_open:
                self._setup.shut_check_valves.append(link - 1)
                held.give_back.append(lambda: self._setup.shut_check_valves.remove(link - 1))
                self._set(held, link, LinkValue.MINOR_LOSS, _IMPASSABLE)
            return held
        setting = project.link_value(link, LinkValue.SETTING)
        if kind is not LinkType.PIPE and setting > _NO_SETTING:  # a status set by hand costs a pump its speed
            held.give_back.append(lambda: project.set_link(link, LinkValue.SETTING, setting))
        self._set(held, link, LinkValue.STATUS, float(is_open))
        return held

    def _set(self, held: _Held, link: int, what: LinkValue, value: float) -> None:
        before = self._project.link_value(link, what)
        held.give_back.append(lambda: self._project.set_link(link, what, before))
        self._setup.set_link(link, what, value)

    def _off(self, held: _Held, enable: Callable[[int, bool], None], number: int) -> None:
        held.give_back.append(lambda: enable(number, True))
        enable(number, False)
