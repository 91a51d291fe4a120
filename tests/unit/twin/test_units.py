import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twin.errors import InputError, UnknownUnitError, WrongDimensionError
from twin.units import Quantity, from_si, si_unit, to_si

# Expected values are from the units' definitions (NIST SP 811, appendix B), not from the table under test.
CASES = [
    pytest.param(1.0, "bar", Quantity.PRESSURE, 10.19716, id="1 bar of water column at 1000 kg/m3 and 9.80665 m/s2"),
    pytest.param(1.0, "psi", Quantity.PRESSURE, 0.7030696, id="1 psi"),
    pytest.param(100.0, "kPa", Quantity.PRESSURE, 10.19716, id="100 kPa"),
    pytest.param(36.0, "m3/h", Quantity.FLOW, 0.01, id="36 m3/h are 10 L/s"),
    pytest.param(1.0, "gpm", Quantity.FLOW, 6.30902e-5, id="US gallon a minute"),
    pytest.param(1.0, "MGD", Quantity.FLOW, 0.0438126, id="million US gallons a day"),
    pytest.param(1.0, "ft3/s", Quantity.FLOW, 0.028316847, id="cubic foot a second"),
    pytest.param(86400.0, "m3/d", Quantity.DEMAND, 1.0, id="a day of seconds"),
    pytest.param(1.0, "in", Quantity.RAIN, 25.4, id="inch of rain"),
    pytest.param(212.0, "degF", Quantity.TEMPERATURE, 100.0, id="boiling water, with the offset"),
    pytest.param(0.0, "K", Quantity.TEMPERATURE, -273.15, id="absolute zero"),
    pytest.param(1.0, "kWh", Quantity.ENERGY, 3.6e6, id="kilowatt hour"),
    pytest.param(50.0, "%", Quantity.SPEED, 0.5, id="half speed"),
    pytest.param(1000.0, "uS/cm", Quantity.CONDUCTIVITY, 0.1, id="1 mS/cm is 0.1 S/m"),
    pytest.param(250.0, "ug/L", Quantity.CHLORINE, 0.25, id="chlorine"),
]


@pytest.mark.parametrize(("value", "unit", "quantity", "expected"), CASES)
def test_converts_to_si(value: float, unit: str, quantity: Quantity, expected: float) -> None:
    assert to_si(value, unit, quantity) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("quantity", list(Quantity))
@given(value=st.floats(-1e9, 1e9))
def test_the_si_unit_changes_nothing(quantity: Quantity, value: float) -> None:
    assert to_si(value, si_unit(quantity), quantity) == value


@given(value=st.floats(-1e6, 1e6), unit=st.sampled_from(["bar", "psi", "kPa", "ft", "cm"]))
def test_there_and_back_is_the_same(value: float, unit: str) -> None:
    there = to_si(value, unit, Quantity.PRESSURE)
    assert from_si(there, unit, Quantity.PRESSURE) == pytest.approx(value, rel=1e-12, abs=1e-12)


@given(low=st.floats(-100, 100), step=st.floats(0.001, 100), unit=st.sampled_from(["degC", "degF", "K"]))
def test_conversion_keeps_the_order(low: float, step: float, unit: str) -> None:
    assert to_si(low, unit, Quantity.TEMPERATURE) < to_si(low + step, unit, Quantity.TEMPERATURE)


def test_an_unknown_unit_is_named_with_the_known_ones() -> None:
    with pytest.raises(UnknownUnitError, match=r"'furlong'.*known units: .*m3/s"):
        to_si(1.0, "furlong", Quantity.LEVEL)


def test_psi_is_no_flow() -> None:
    with pytest.raises(WrongDimensionError, match="psi"):
        to_si(1.0, "psi", Quantity.FLOW)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e308])
def test_what_is_not_finite_in_si_is_refused(value: float) -> None:
    with pytest.raises(InputError, match="finite"):
        to_si(value, "kWh", Quantity.ENERGY)


@pytest.mark.parametrize(
    ("unit", "quantity"),
    [
        pytest.param("rpm", Quantity.SPEED, id="revolutions say nothing of the rated speed"),
        pytest.param("%", Quantity.PH, id="a share is no pH"),
    ],
)
def test_what_looks_convertible_but_is_not_is_refused(unit: str, quantity: Quantity) -> None:
    with pytest.raises(InputError):
        to_si(7.0, unit, quantity)
