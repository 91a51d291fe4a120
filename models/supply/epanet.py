"""EPANET 2.3 as a shared library, called through ctypes: the one place that knows its C interface.

The library comes inside the owa-epanet wheel; that wheel's own Python binding holds the interpreter lock for a whole
run, ctypes lets it go. Each `Project` has its own handle, so projects are independent of each other.
Values are in the INP's units; `Project.units` says what they are in SI.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from ctypes import byref, c_char_p, c_double, c_int, c_long, c_void_p
from dataclasses import dataclass
from enum import IntEnum
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from models.supply.inp_lines import line_of_complaint
from models.supply.units import EngineUnits, FlowUnits
from twin.errors import ConfigError, InputError, ModelError

Values = NDArray[np.float64]

_LIBRARY_NAMES = {"linux": "libepanet2.so", "darwin": "libepanet2.dylib", "win32": "epanet2.dll"}
_LAST_WARNING = 6
_OPEN_ERRORS = 200  # EN_open: the input file has errors, the report names them
_TEXT_BYTES = 256
_INITIALIZE_FLOWS_SAVE_NOTHING = 10
_PRESSURE_DRIVEN = 1
_UNCONDITIONALLY = 0


class Count(IntEnum):
    """What EN_getcount counts."""

    NODES = 0
    LINKS = 2
    PATTERNS = 3
    CURVES = 4
    CONTROLS = 5
    RULES = 6


class NodeType(IntEnum):
    """EN_NodeType."""

    JUNCTION = 0
    RESERVOIR = 1
    TANK = 2


class LinkType(IntEnum):
    """EN_LinkType."""

    CVPIPE = 0
    PIPE = 1
    PUMP = 2
    PRV = 3
    PSV = 4
    PBV = 5
    FCV = 6
    TCV = 7
    GPV = 8
    PCV = 9


class NodeValue(IntEnum):
    """EN_NodeProperty, as far as used here. INITIAL_LEVEL sets a tank's level at the start of a run."""

    ELEVATION = 0
    PATTERN = 2
    EMITTER = 3
    INITIAL_LEVEL = 8
    DEMAND = 9
    HEAD = 10
    PRESSURE = 11
    QUALITY = 12
    TANK_DIAMETER = 17
    MINIMUM_VOLUME = 18
    VOLUME_CURVE = 19
    MINIMUM_LEVEL = 20
    MAXIMUM_LEVEL = 21
    TANK_VOLUME = 24
    CAN_OVERFLOW = 26
    EMITTER_FLOW = 29
    DELIVERED_DEMAND = 31
    FULL_DEMAND = 32


class LinkValue(IntEnum):
    """EN_LinkProperty, as far as used here."""

    DIAMETER = 0
    LENGTH = 1
    ROUGHNESS = 2
    MINOR_LOSS = 3
    INITIAL_STATUS = 4
    INITIAL_SETTING = 5
    FLOW = 8
    STATUS = 11
    SETTING = 12
    SPEED_PATTERN = 15
    PUMP_POWER = 18
    HEAD_CURVE = 19
    EFFICIENCY_CURVE = 20
    ENERGY_PRICE = 21
    ENERGY_PRICE_PATTERN = 22
    LOSS_CURVE = 24
    LEAK_AREA = 26


class TimeValue(IntEnum):
    """EN_TimeParameter, as far as used here. All in seconds."""

    DURATION = 0
    HYDRAULIC_STEP = 1
    PATTERN_STEP = 3
    PATTERN_START = 4
    REPORT_STEP = 5
    REPORT_START = 6
    RULE_STEP = 7
    START_CLOCK = 10


class Option(IntEnum):
    """EN_Option, as far as used here."""

    TRIALS = 0
    ACCURACY = 1
    EMITTER_EXPONENT = 3
    DEMAND_MULTIPLIER = 4
    HEAD_LOSS_FORMULA = 7
    PUMP_EFFICIENCY = 8
    ENERGY_PRICE = 9
    ENERGY_PRICE_PATTERN = 10
    SPECIFIC_GRAVITY = 12
    RELATIVE_VISCOSITY = 13
    UNBALANCED_TRIALS = 14
    EMITTER_BACKFLOW = 24
    PRESSURE_UNITS = 25


class QualityType(IntEnum):
    """EN_QualityType: what of the water is followed, if anything."""

    NONE = 0
    CHEMICAL = 1
    AGE = 2
    TRACE = 3


class PumpType(IntEnum):
    """EN_PumpType: constant power, a power function through one or three points, or a curve of straight pieces."""

    CONSTANT_POWER = 0
    POWER_FUNCTION = 1
    CUSTOM = 2
    NO_CURVE = 3


class HeadLossFormula(IntEnum):
    """EN_HeadLossType."""

    HAZEN_WILLIAMS = 0
    DARCY_WEISBACH = 1
    CHEZY_MANNING = 2


class ControlType(IntEnum):
    """EN_ControlType."""

    BELOW = 0
    ABOVE = 1
    TIMER = 2
    TIME_OF_DAY = 3


@dataclass(frozen=True, slots=True)
class DemandModel:
    """How demand depends on pressure, in the engine's pressure units: none at the minimum, all from the required on."""

    is_pressure_driven: bool
    minimum_pressure: float
    required_pressure: float
    exponent: float


_RELATIVE_ERROR = 1  # EN_RELATIVEERROR
_FULL_SPEED = 1.0
_ONE_KW = "[JUNCTIONS]\nJ 0\n[RESERVOIRS]\nR 0\n[PUMPS]\nP R J POWER 1\n[OPTIONS]\nUNITS LPS\n[END]\n"


def library_path() -> Path:
    """Return where the EPANET library of the owa-epanet wheel lies, without importing the wheel's package.

    Raises:
        ConfigError: If it is not installed.
    """
    name = _LIBRARY_NAMES.get(sys.platform, "libepanet2.so")
    spec = importlib.util.find_spec("epanet")
    folders = [Path(folder) for folder in (spec.submodule_search_locations or ())] if spec else []
    for folder in folders:
        if (folder / name).is_file():
            return folder / name
    with contextlib.suppress(PackageNotFoundError):
        for file in distribution("owa-epanet").files or ():
            if file.name == name:
                return Path(str(file.locate()))
    raise ConfigError(f"the EPANET library {name} is missing; install the package owa-epanet")


@cache
def _library() -> ctypes.CDLL:
    return ctypes.CDLL(str(library_path()))


@cache
def engine_version() -> str:
    """Return the engine's name and version as the library reports them, like `EPANET 2.3.5`."""
    version = c_int()
    _library().EN_getversion(byref(version))
    major, rest = divmod(version.value, 10000)
    return f"EPANET {major}.{rest // 100}.{rest % 100}"


class Project:
    """One network opened in EPANET. Use it as a context manager; indices count from 1 as EPANET's do.

    Args:
        folder: A private folder for the INP, the report and the engine's temporary files.
        inp: The vetted text of the INP.
        mends_power: Whether pumps of constant power get what the INP says, where the engine reads it wrongly.

    Raises:
        InputError: If EPANET cannot read the INP; the message holds EPANET's own words.
    """

    def __init__(self, inp: str, folder: Path | None = None, *, mends_power: bool = True) -> None:
        self._folder = folder or Path.cwd()
        self._handle = ctypes.c_void_p()
        self._solver_open = False
        self.warnings: Counter[int] = Counter()
        self.warning = 0
        _library().EN_createproject(byref(self._handle))
        try:
            self._open(inp)
            if mends_power:
                self._mend_power()
        except BaseException:
            self.close()
            raise

    def _open(self, inp: str) -> None:
        inp_file, report_file = self._folder / "network.inp", self._folder / "network.rpt"
        inp_file.write_text(inp, encoding="utf-8")
        paths = (_bytes(str(inp_file)), _bytes(str(report_file)), b"")
        code = _library().EN_open(self._handle, *map(c_char_p, paths))
        if code > _LAST_WARNING:
            self.close()
            _write_errors(paths)
            raise InputError(_why_refused(code, report_file, inp))
        self.node_count = self.count(Count.NODES)
        self.link_count = self.count(Count.LINKS)
        self.units = EngineUnits(
            FlowUnits(self._integer("EN_getflowunits")),
            int(self.option(Option.PRESSURE_UNITS)),
            self.option(Option.SPECIFIC_GRAVITY),
        )

    def _mend_power(self) -> None:
        """Give pumps of constant power what their file says: EPANET 2.3.5 takes kilowatts for more than they are."""
        factor = _power_misread() if self.units.is_metric else 1.0
        if factor == 1.0:
            return
        for link, kind in enumerate(self.link_types(), start=1):
            if kind is LinkType.PUMP and self.pump_type(link) is PumpType.CONSTANT_POWER:
                power_kw = self.link_value(link, LinkValue.PUMP_POWER) / factor
                self.set_link(link, LinkValue.PUMP_POWER, power_kw)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def check_whole(self, inp: str) -> None:
        """Let EPANET look at the network as a whole, as before a run: sources, connections, levels, curves.

        Raises:
            InputError: If it cannot be solved; the message holds EPANET's own words. The project is closed then.
        """
        code = _library().EN_openH(self._handle)
        if code > _LAST_WARNING:
            self.close()  # which writes the report
            raise InputError(_why_refused(code, self._folder / "network.rpt", inp))
        _library().EN_closeH(self._handle)

    def close(self) -> None:
        """Release the engine's memory and files. Closing twice is harmless."""
        if self._handle:
            _library().EN_deleteproject(self._handle)  # closes it too; closing twice would crash
            self._handle = ctypes.c_void_p()

    # ------------------------------------------------------------------------------------------ what is there

    def count(self, kind: Count) -> int:
        """Return how many objects of a kind the network has."""
        return self._integer("EN_getcount", c_int(kind))

    def node_ids(self) -> list[str]:
        """Return the ids of all nodes, in the engine's order."""
        return [self._text("EN_getnodeid", c_int(index + 1)) for index in range(self.node_count)]

    def link_ids(self) -> list[str]:
        """Return the ids of all links, in the engine's order."""
        return [self._text("EN_getlinkid", c_int(index + 1)) for index in range(self.link_count)]

    def node_types(self) -> list[NodeType]:
        """Return the types of all nodes."""
        return [NodeType(self._integer("EN_getnodetype", c_int(index + 1))) for index in range(self.node_count)]

    def link_types(self) -> list[LinkType]:
        """Return the types of all links."""
        return [LinkType(self._integer("EN_getlinktype", c_int(index + 1))) for index in range(self.link_count)]

    def link_ends(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the positions (from 0) of the start and end nodes of all links."""
        start, end = c_int(), c_int()
        ends = np.empty((2, self.link_count), dtype=np.int64)
        for index in range(self.link_count):
            self._call("EN_getlinknodes", c_int(index + 1), byref(start), byref(end))
            ends[:, index] = start.value - 1, end.value - 1
        return ends[0], ends[1]

    def vertices(self, link: int) -> list[tuple[float, float]]:
        """Return the points between the ends of a link, in order."""
        x, y, points = c_double(), c_double(), []
        for number in range(1, self._integer("EN_getvertexcount", c_int(link)) + 1):
            self._call("EN_getvertex", c_int(link), c_int(number), byref(x), byref(y))
            points.append((x.value, y.value))
        return points

    def pattern_id(self, pattern: int) -> str:
        """Return the id of a time pattern, empty for none."""
        return self._text("EN_getpatternid", c_int(pattern)) if pattern else ""

    def curve_id(self, curve: int) -> str:
        """Return the id of a data curve, empty for none."""
        return self._text("EN_getcurveid", c_int(curve)) if curve else ""

    def coordinates(self, node: int) -> tuple[float, float] | None:
        """Return where a node lies on the map, if the INP says so."""
        x, y = c_double(), c_double()
        code = _library().EN_getcoord(self._handle, c_int(node), byref(x), byref(y))
        return (x.value, y.value) if code == 0 else None

    def node_values(self, what: NodeValue) -> Values:
        """Return a value of all nodes at once."""
        return self._bulk("EN_getnodevalues", what, self.node_count)

    def link_values(self, what: LinkValue) -> Values:
        """Return a value of all links at once."""
        return self._bulk("EN_getlinkvalues", what, self.link_count)

    def read_node_values(self, what: NodeValue, into: Values) -> None:
        """Write a value of all nodes into an array of their number, which lies in one piece."""
        self._call("EN_getnodevalues", c_int(what), c_void_p(into.ctypes.data))

    def read_link_values(self, what: LinkValue, into: Values) -> None:
        """Write a value of all links into an array of their number, which lies in one piece."""
        self._call("EN_getlinkvalues", c_int(what), c_void_p(into.ctypes.data))

    def node_value(self, node: int, what: NodeValue) -> float:
        """Return one value of one node."""
        return self._number("EN_getnodevalue", c_int(node), c_int(what))

    def link_value(self, link: int, what: LinkValue) -> float:
        """Return one value of one link."""
        return self._number("EN_getlinkvalue", c_int(link), c_int(what))

    def option(self, option: Option) -> float:
        """Return a value of the [OPTIONS] section."""
        return self._number("EN_getoption", c_int(option))

    def time(self, what: TimeValue) -> int:
        """Return a value of the [TIMES] section in seconds."""
        value = c_long()
        self._call("EN_gettimeparam", c_int(what), byref(value))
        return value.value

    def demands(self, node: int) -> list[tuple[float, int]]:
        """Return the base demand and the pattern (0: none) of each demand category of a junction."""
        found = []
        for category in range(1, self._integer("EN_getnumdemands", c_int(node)) + 1):
            base = self._number("EN_getbasedemand", c_int(node), c_int(category))
            found.append((base, self._integer("EN_getdemandpattern", c_int(node), c_int(category))))
        return found

    def pattern(self, pattern: int) -> Values:
        """Return the multipliers of a time pattern."""
        length = self._integer("EN_getpatternlen", c_int(pattern))
        return np.array(
            [self._number("EN_getpatternvalue", c_int(pattern), c_int(i + 1)) for i in range(length)], dtype=np.float64
        )

    def quality(self) -> tuple[QualityType, str, str]:
        """Return what of the water is followed, the chemical's name and its unit."""
        kind, trace = c_int(), c_int()
        name, unit = (ctypes.create_string_buffer(_TEXT_BYTES) for _ in range(2))
        self._call("EN_getqualinfo", byref(kind), name, unit, byref(trace))
        return QualityType(kind.value), _decoded(name), _decoded(unit)

    def curve(self, curve: int) -> tuple[Values, Values]:
        """Return the x and y values of a data curve."""
        length = self._integer("EN_getcurvelen", c_int(curve))
        x, y, points = c_double(), c_double(), np.empty((2, length))
        for i in range(length):
            self._call("EN_getcurvevalue", c_int(curve), c_int(i + 1), byref(x), byref(y))
            points[:, i] = x.value, y.value
        return points[0], points[1]

    def control(self, control: int) -> tuple[ControlType, int, float, int, float]:
        """Return type, link, setting, node (0: none) and level (or time in seconds) of a simple control."""
        kind, link, node, setting, level = c_int(), c_int(), c_int(), c_double(), c_double()
        self._call("EN_getcontrol", c_int(control), byref(kind), byref(link), byref(setting), byref(node), byref(level))
        return ControlType(kind.value), link.value, setting.value, node.value, level.value

    def links_of_rule(self, rule: int) -> set[int]:
        """Return the links that a rule acts on."""
        premises, thens, elses, priority = c_int(), c_int(), c_int(), c_double()
        self._call("EN_getrule", c_int(rule), byref(premises), byref(thens), byref(elses), byref(priority))
        link, status, setting = c_int(), c_int(), c_double()
        links = set()
        for name, actions in (("EN_getthenaction", thens.value), ("EN_getelseaction", elses.value)):
            for action in range(1, actions + 1):
                self._call(name, c_int(rule), c_int(action), byref(link), byref(status), byref(setting))
                links.add(link.value)
        return links

    # --------------------------------------------------------------------------------------------- what to set

    def set_node(self, node: int, what: NodeValue, value: float) -> None:
        """Set a value of a node."""
        self._call("EN_setnodevalue", c_int(node), c_int(what), c_double(value))

    def set_link(self, link: int, what: LinkValue, value: float) -> None:
        """Set a value of a link."""
        self._call("EN_setlinkvalue", c_int(link), c_int(what), c_double(value))

    def set_option(self, option: Option, value: float) -> None:
        """Set a value of the [OPTIONS] section."""
        self._call("EN_setoption", c_int(option), c_double(value))

    def set_time(self, what: TimeValue, seconds: int) -> None:
        """Set a value of the [TIMES] section."""
        self._call("EN_settimeparam", c_int(what), c_long(seconds))

    def demand_model(self) -> DemandModel:
        """Return how demand depends on pressure."""
        kind, numbers = c_int(), (c_double(), c_double(), c_double())
        self._call("EN_getdemandmodel", byref(kind), *map(byref, numbers))
        return DemandModel(kind.value == _PRESSURE_DRIVEN, *(number.value for number in numbers))

    def set_demand_model(self, model: DemandModel) -> None:
        """Set how demand depends on pressure."""
        numbers = map(c_double, (model.minimum_pressure, model.required_pressure, model.exponent))
        self._call("EN_setdemandmodel", c_int(model.is_pressure_driven), *numbers)

    def add_pattern(self, name: str, values: Sequence[float] | Values) -> int:
        """Add a time pattern and return its index."""
        self._call("EN_addpattern", c_char_p(_bytes(name)))
        index = self.count(Count.PATTERNS)
        self.set_pattern(index, values)
        return index

    def set_demand_pattern(self, node: int, category: int, pattern: int) -> None:
        """Give a demand category (from 1) of a junction another pattern."""
        self._call("EN_setdemandpattern", c_int(node), c_int(category), c_int(pattern))

    def set_control(self, control: int, kind: ControlType, link: int, setting: float, node: int, level: float) -> None:
        """Replace a simple control."""
        arguments = (c_int(control), c_int(kind), c_int(link), c_double(setting), c_int(node), c_double(level))
        self._call("EN_setcontrol", *arguments)

    def set_base_demand(self, node: int, category: int, demand: float) -> None:
        """Set the base demand of a category (from 1) of a junction."""
        self._call("EN_setbasedemand", c_int(node), c_int(category), c_double(demand))

    def add_demand(self, node: int, base: float) -> int:
        """Add a demand category without a pattern to a junction and return its number (from 1)."""
        self._call("EN_adddemand", c_int(node), c_double(base), c_char_p(b""), c_char_p(b""))
        return self._integer("EN_getnumdemands", c_int(node))

    def set_pattern(self, pattern: int, values: Sequence[float] | Values) -> None:
        """Replace the multipliers of a time pattern."""
        array = np.ascontiguousarray(values, dtype=np.float64)
        self._call("EN_setpattern", c_int(pattern), c_void_p(array.ctypes.data), c_int(len(array)))

    def delete_pattern(self, pattern: int) -> None:
        """Remove a time pattern that nothing uses; those after it move up."""
        self._call("EN_deletepattern", c_int(pattern))

    def demand_pattern(self, node: int, category: int) -> int:
        """Return the pattern (0: none) of a demand category (from 1) of a junction."""
        return self._integer("EN_getdemandpattern", c_int(node), c_int(category))

    def base_demand(self, node: int, category: int) -> float:
        """Return the base demand of a category (from 1) of a junction."""
        return self._number("EN_getbasedemand", c_int(node), c_int(category))

    def set_initial_status(self, link: int, *, is_open: bool) -> None:
        """Open or close a link at the start of the run.

        EPANET leaves a pump that its INP has closed at speed 0: opened alone it would stand open and move nothing.
        """
        self.set_link(link, LinkValue.INITIAL_STATUS, float(is_open))
        if is_open and self.link_type(link) is LinkType.PUMP and not self.link_value(link, LinkValue.INITIAL_SETTING):
            self.set_link(link, LinkValue.INITIAL_SETTING, _FULL_SPEED)

    def set_link_type(self, link: int, kind: LinkType) -> None:
        """Make a pipe a check valve or a check valve a pipe, while the solver is closed."""
        self._call("EN_setlinktype", byref(c_int(link)), c_int(kind), c_int(_UNCONDITIONALLY))

    def link_type(self, link: int) -> LinkType:
        """Return the type of a link."""
        return LinkType(self._integer("EN_getlinktype", c_int(link)))

    def pump_type(self, link: int) -> PumpType:
        """Return how a pump's curve is given."""
        return PumpType(self._integer("EN_getpumptype", c_int(link)))

    def is_control_enabled(self, control: int) -> bool:
        """Whether a simple control acts."""
        return bool(self._integer("EN_getcontrolenabled", c_int(control)))

    def enable_control(self, control: int, enabled: bool) -> None:
        """Let a simple control act, or not."""
        self._call("EN_setcontrolenabled", c_int(control), c_int(enabled))

    def is_rule_enabled(self, rule: int) -> bool:
        """Whether a rule acts."""
        return bool(self._integer("EN_getruleenabled", c_int(rule)))

    def enable_rule(self, rule: int, enabled: bool) -> None:
        """Let a rule act, or not."""
        self._call("EN_setruleenabled", c_int(rule), c_int(enabled))

    # ---------------------------------------------------------------------------------------------------- run

    def steps(
        self,
        *,
        max_steps: int = 200_000,
        wall_limit_s: float = 110.0,
        before_step: Callable[[int], None] | None = None,
        with_quality: bool = False,
    ) -> Iterator[int]:
        """Solve step by step; yield the model time in seconds after each solution, while its values can be read.

        `before_step` is called with the model time before each solution and may change the project. `with_quality`
        follows the water's quality too: what is read then holds for the moment of the solution.

        `warning` is EPANET's code for the present step, `warnings` counts those of the steps done. The last time
        yielded is the set duration.

        Raises:
            ModelError: If EPANET fails, the run ends early, or it takes too many steps or too much time.
        """
        duration, started = self.time(TimeValue.DURATION), time.monotonic()
        now, ahead, steps = c_long(), c_long(), 0
        self.warnings.clear()
        with self.solver(), self._quality_solver() if with_quality else contextlib.nullcontext():
            self._call("EN_initH", c_int(_INITIALIZE_FLOWS_SAVE_NOTHING))
            while True:
                if before_step is not None:
                    before_step(now.value + ahead.value)
                self.warning = self._call("EN_runH", byref(now))
                if with_quality:
                    self._call("EN_runQ", byref(c_long()))
                yield now.value
                if self.warning:
                    self.warnings[self.warning] += 1
                self._call("EN_nextH", byref(ahead))
                if with_quality:
                    self._call("EN_nextQ", byref(c_long()))
                if ahead.value <= 0:
                    break
                steps += 1
                if steps > max_steps or time.monotonic() - started > wall_limit_s:
                    raise ModelError(f"the run stopped at {now.value} s of {duration} s after {steps} steps: too long")
        if now.value < duration:
            because = _error_text(1) if self.warnings[1] else "EPANET gave no reason"
            raise ModelError(f"the run ended early, at {now.value} s of {duration} s: {because}")

    @contextlib.contextmanager
    def solver(self) -> Iterator[None]:
        """Hold the solver open: what is solved within need not set it up again."""
        if self._solver_open:
            yield
            return
        self._call("EN_openH")
        self._solver_open = True
        try:
            yield
        finally:
            self._solver_open = False
            _library().EN_closeH(self._handle)

    @contextlib.contextmanager
    def _quality_solver(self) -> Iterator[None]:
        """Hold the solver of quality open, set to its beginning."""
        self._call("EN_openQ")
        try:
            self._call("EN_initQ", c_int(0))
            yield
        finally:
            _library().EN_closeQ(self._handle)

    def solve_first(self) -> None:
        """Solve the first moment of the run as it is set up, from a cold start; needs an open `solver`."""
        self._call("EN_initH", c_int(_INITIALIZE_FLOWS_SAVE_NOTHING))
        self.warning = self._call("EN_runH", byref(c_long()))

    def solve_again(self) -> None:
        """Solve the present step once more, after values were changed."""
        self.warning = self._call("EN_runH", byref(c_long()))

    @property
    def relative_error(self) -> float:
        """The flow changes of the last trial over the flows: how far the present solution is from converged."""
        return self._number("EN_getstatistic", c_int(_RELATIVE_ERROR))

    # ----------------------------------------------------------------------------------------------- the calls

    def _call(self, name: str, *arguments: Any) -> int:
        """Call the library; return its warning (0: none) or raise ModelError with EPANET's own text."""
        code = int(getattr(_library(), name)(self._handle, *arguments))
        if code > _LAST_WARNING:
            raise ModelError(f"EPANET: {_error_text(code)} ({name})")
        return code

    def _integer(self, name: str, *arguments: Any) -> int:
        value = c_int()
        self._call(name, *arguments, byref(value))
        return value.value

    def _number(self, name: str, *arguments: Any) -> float:
        value = c_double()
        self._call(name, *arguments, byref(value))
        return value.value

    def _text(self, name: str, *arguments: Any) -> str:
        buffer = ctypes.create_string_buffer(_TEXT_BYTES)
        self._call(name, *arguments, buffer)
        return _decoded(buffer)

    def _bulk(self, name: str, what: int, length: int) -> Values:
        values = np.empty(length, dtype=np.float64)
        self._call(name, c_int(what), c_void_p(values.ctypes.data))
        return values


@cache
def _power_misread() -> float:
    """Return how many times the power in a metric file the engine gives a pump: 1 / 0.7457 in EPANET 2.3.5, which
    converts kilowatts to horsepower twice; 1 in a release that has mended it.
    """
    with tempfile.TemporaryDirectory() as folder, Project(_ONE_KW, Path(folder), mends_power=False) as project:
        return project.link_value(1, LinkValue.PUMP_POWER)


def warning_text(code: int) -> str:
    """Return EPANET's words for a warning code."""
    return _error_text(code)


def _error_text(code: int) -> str:
    buffer = ctypes.create_string_buffer(_TEXT_BYTES)
    _library().EN_geterror(c_int(code), buffer, c_int(_TEXT_BYTES - 1))
    return buffer.value.decode("utf-8", "replace").strip() or f"code {code}"


def _write_errors(paths: tuple[bytes, ...]) -> None:
    """Let EPANET write its report on a faulty input file: EN_open throws it away, EN_openX keeps it."""
    handle = ctypes.c_void_p()
    _library().EN_createproject(byref(handle))
    _library().EN_openX(handle, *map(c_char_p, paths))
    _library().EN_deleteproject(handle)


def _why_refused(code: int, report: Path, inp: str) -> str:
    """Return the first error of EPANET's report with the line it is about, else the text of the code."""
    lines = report.read_text(encoding="utf-8", errors="replace").splitlines() if report.exists() else []
    for position, line in enumerate(lines):
        complaint = " ".join(line.split())
        if "Error " not in line or f"Error {_OPEN_ERRORS}" in line:
            continue
        below = next((text.strip() for text in lines[position + 1 : position + 2] if "Error " not in text), "")
        number = line_of_complaint(inp, complaint, below)
        where = f"line {number}: " if number else ""
        return f"{where}EPANET says: {complaint} {below}".rstrip()
    return f"EPANET cannot read the network: {_error_text(code)}"


def _decoded(buffer: Any) -> str:
    return str(buffer.value.decode("utf-8", "replace"))


def _bytes(text: str) -> bytes:
    return text.encode("utf-8")
