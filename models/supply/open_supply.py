"""A supply model held open in EPANET, for one question after the other: set up, run, put back.

An answer must not depend on what was asked before. What is kept in whole numbers (statuses of pipes, patterns,
controls, times) is put back exactly; a number with a unit is not, since EPANET's conversions round. A project in which
such a number was changed, or whose run failed, is spent, and is opened afresh for the next question.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from models.supply.epanet import (
    ControlType,
    Count,
    DemandModel,
    LinkType,
    LinkValue,
    NodeType,
    NodeValue,
    Option,
    Project,
    TimeValue,
    engine_version,
)
from models.supply.facts import Floats, ModelFacts, read_facts
from models.supply.inp import vet_inp
from models.supply.intake import open_checked
from models.supply.loader import model_hash

_KEPT_OPEN = 4
_IMPASSABLE = 1e15


class OpenSupply:
    """A vetted INP, open in EPANET; its files lie in `folder`, or in the folder at work when it is opened."""

    def __init__(self, text: str, folder: Path | None = None) -> None:
        self._text, self._folder = text, folder
        self._is_spent = False
        self._most_steps = 0
        self._project = open_checked(text, folder)
        self.facts: ModelFacts = read_facts(self._project, engine_version())
        self._initial_levels = self._project.node_values(NodeValue.INITIAL_LEVEL)
        self._set_initial_levels()

    @contextmanager
    def setup(self) -> Iterator[Setup]:
        """Give the project to one question, as its INP has it."""
        if self._is_spent:
            self._project.close()
            self._project = Project(self._text, self._folder)
            self._set_initial_levels()
        self._is_spent = True  # until all is put back
        setup = Setup(self._project, self.facts, self._initial_levels, self._most_steps)
        yield setup
        setup.put_back()
        self._most_steps = max(self._most_steps, setup.steps_done)
        self._is_spent = setup.is_spent

    def _set_initial_levels(self) -> None:
        """Set levels as they are: what was set can be set again to the same bits."""
        for node, kind in enumerate(self.facts.node_types, start=1):
            if kind is NodeType.TANK:
                self._project.set_node(node, NodeValue.INITIAL_LEVEL, self._initial_levels[node - 1])

    def close(self) -> None:
        """Release the engine's memory and files."""
        self._project.close()


class Setup:
    """A project set up for one question. Indices count from 1, values are in the engine's units.

    `shut_check_valves` are the positions (from 0) of the check valves that were shut in the middle of the run,
    `demands_set` counts how often base demands were changed, `more_consumers` are the positions (from 0) of the
    junctions that got another demand. A run of `steps_done` solutions was one of `steps_before` before.
    """

    def __init__(self, project: Project, facts: ModelFacts, initial_levels: Floats, steps_before: int = 0) -> None:
        self.project, self.facts = project, facts
        self.steps_before, self.steps_done = steps_before, 0
        self._initial_levels = initial_levels
        self.is_spent = False
        self.shut_check_valves: list[int] = []
        self.demands_set = 0
        self.more_consumers: list[int] = []
        self._put_back: list[Callable[[], None]] = []

    def put_back(self) -> None:
        """Put back all that can be put back exactly, the last first."""
        while self._put_back:
            self._put_back.pop()()

    def set_level(self, tank: int, level: float) -> None:
        """Set the level of a tank at the start of the run, or the present one in the middle of it."""
        before = self._initial_levels[tank - 1]
        self._put_back.append(lambda: self.project.set_node(tank, NodeValue.INITIAL_LEVEL, before))
        self.project.set_node(tank, NodeValue.INITIAL_LEVEL, level)

    def set_link(self, link: int, what: LinkValue, value: float) -> None:
        """Set a value of a link other than its status."""
        self.is_spent = True
        self.project.set_link(link, what, value)

    def set_option(self, option: Option, value: float) -> None:
        """Set a value of the [OPTIONS] section that has no unit."""
        before = self.project.option(option)
        self._put_back.append(lambda: self.project.set_option(option, before))
        self.project.set_option(option, value)

    def set_time(self, what: TimeValue, seconds: int) -> None:
        """Set a value of the [TIMES] section."""
        before = self.project.time(what)
        self._put_back.append(lambda: self.project.set_time(what, before))
        self.project.set_time(what, seconds)

    def set_pressure_driven(self, required_pressure_m: float, exponent: float = 0.5) -> None:
        """Let demand depend on pressure: none at 0, all from `required_pressure_m` on."""
        before = self.project.demand_model()
        if before.is_pressure_driven:
            self.is_spent = True
        else:
            self._put_back.append(lambda: self.project.set_demand_model(before))
        required = self.project.units.engine_pressure(required_pressure_m)
        self.project.set_demand_model(DemandModel(True, 0.0, required, exponent))

    def add_pattern(self, name: str, values: Sequence[float] | Floats) -> int:
        """Add a time pattern and return its index."""
        index = self.project.add_pattern(name, values)
        self._put_back.append(lambda: self.project.delete_pattern(index))
        return index

    def set_demand_pattern(self, node: int, category: int, pattern: int) -> None:
        """Give a demand category (from 1) of a junction another pattern."""
        before = self.project.demand_pattern(node, category)
        self._put_back.append(lambda: self.project.set_demand_pattern(node, category, before))
        self.project.set_demand_pattern(node, category, pattern)

    def set_base_demand(self, node: int, category: int, demand: float) -> None:
        """Set the base demand of a category (from 1) of a junction, also in the middle of the run."""
        self.is_spent = True
        self.demands_set += 1
        self.project.set_base_demand(node, category, demand)

    def add_demand(self, node: int) -> int:
        """Add a demand category to a junction, nothing as yet, and return its number (from 1)."""
        self.is_spent = True
        self.more_consumers.append(node - 1)
        return self.project.add_demand(node, 0.0)

    def set_emitter(self, node: int, coefficient: float) -> None:
        """Let water out of a junction: flow is the coefficient times the pressure to the emitters' exponent."""
        self.is_spent = True
        self.project.set_node(node, NodeValue.EMITTER, coefficient)

    def set_control(self, control: int, kind: ControlType, link: int, setting: float, node: int, level: float) -> None:
        """Replace a simple control."""
        self.is_spent = True
        self.project.set_control(control, kind, link, setting, node, level)

    def set_status(self, link: int, *, is_open: bool) -> None:
        """Open or close a link at the start of the run; controls and rules may change that again."""
        before = self.project.link_value(link, LinkValue.INITIAL_STATUS)
        if self.project.link_type(link) is LinkType.PIPE:
            self._put_back.append(lambda: self.project.set_link(link, LinkValue.INITIAL_STATUS, before))
        else:
            self.is_spent = True  # a status set by hand costs a pump its speed and a valve its setting
        self.project.set_initial_status(link, is_open=is_open)

    def release(self, link: int) -> None:
        """Take a link away from controls, rules and speed patterns."""
        project = self.project
        for control in range(1, project.count(Count.CONTROLS) + 1):
            if project.control(control)[1] == link and project.is_control_enabled(control):
                self._disable(project.enable_control, control)
        for rule in range(1, project.count(Count.RULES) + 1):
            if link in project.links_of_rule(rule) and project.is_rule_enabled(rule):
                self._disable(project.enable_rule, rule)
        if project.link_type(link) is LinkType.PUMP and project.link_value(link, LinkValue.SPEED_PATTERN):
            self.set_link(link, LinkValue.SPEED_PATTERN, 0)

    def hold_closed(self, link: int) -> None:
        """Close a link for the whole run: controls and rules no longer reach it. Check valves can be closed too."""
        self.release(link)
        if self.project.link_type(link) is LinkType.CVPIPE:  # its status is its own
            self.project.set_link_type(link, LinkType.PIPE)
            self._put_back.append(lambda: self.project.set_link_type(link, LinkType.CVPIPE))
        self.set_status(link, is_open=False)

    def shut(self, link: int) -> None:
        """Close a link for the rest of the run, in the middle of it: controls and rules no longer reach it.

        A check valve cannot be closed while the solver is at work: it gets a loss that nothing passes.
        """
        self.release(link)
        if self.project.link_type(link) is LinkType.CVPIPE:
            self.shut_check_valves.append(link - 1)
            self.set_link(link, LinkValue.MINOR_LOSS, _IMPASSABLE)
        else:
            self.set_link(link, LinkValue.STATUS, 0)

    def _disable(self, enable: Callable[[int, bool], None], number: int) -> None:
        self._put_back.append(lambda: enable(number, True))
        enable(number, False)


_open: OrderedDict[str, OpenSupply] = OrderedDict()
"""The models that this process holds open, by hash, the one used last at the end."""


def open_supply(inp: bytes) -> OpenSupply:
    """Return a model held open in this process, which must be an engine worker.

    Raises:
        InputError: If the INP is refused or cannot be read.
    """
    key = model_hash(inp)
    if key not in _open:
        _open[key] = OpenSupply(vet_inp(inp))
        while len(_open) > _KEPT_OPEN:
            _open.popitem(last=False)[1].close()
    _open.move_to_end(key)
    return _open[key]
