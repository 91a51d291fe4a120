from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingest.files.customers import OPTIONAL, REQUIRED, read_customers
from twin.customers import Customer, Sensitivity
from twin.errors import InputError

DATA = Path(__file__).parents[3] / "data" / "files"
SHORT = ",".join(REQUIRED)
HEADER = ",".join((*REQUIRED, *OPTIONAL))
GOOD = "c-1,k-1,J7,3,none,pt"


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "customers.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_the_example() -> None:
    assert read_customers(DATA / "customers.csv") == [
        Customer(
            "c-1", "k-1", "J7", 3, Sensitivity.NONE, "pt", ("mailto:ana@example.org", "https://example.org/hook"), True,
            "22:00-07:00", "Rua do Cais, 5", "1100-001", "+351 210 000 000", "ana@example.org",
        ),
        Customer("c-1", "k-2", "J8"),
        Customer("c-2", "k-3", "10", 400, Sensitivity.HOSPITAL, "en", ("tgram://bot/1",), True),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [f"{SHORT}\n{GOOD}", f"{HEADER}\n{GOOD}", f"{HEADER}\n{GOOD},,,,,,,", f"\ufeff{SHORT},email\r\n{GOOD},\r\n"],
    ids=["columns left out", "row ends early", "cells empty", "some columns"],
)
def test_all_after_language_may_be_left_out(tmp_path: Path, text: str) -> None:
    assert read_customers(written(tmp_path, text)) == [Customer("c-1", "k-1", "J7", 3)]


def test_channels_are_separated_by_semicolons(tmp_path: Path) -> None:
    (customer,) = read_customers(written(tmp_path, f"{SHORT},channels\n{GOOD}, sms:+351 ;; http://a.pt/x ;"))
    assert customer.channels == ("sms:+351", "http://a.pt/x")


BAD_ROWS = {
    "no customer": (",k-1,J7,3,none,pt", "customer_id", "is empty"),
    "no connection": ("c-1,,J7,3,none,pt", "connection_id", "is empty"),
    "no node": ("c-1,k-1,,3,none,pt", "node_id", "is empty"),
    "half a person": ("c-1,k-1,J7,2.5,none,pt", "population", "not a whole number"),
    "fewer than nobody": ("c-1,k-1,J7,-1,none,pt", "population", "-1 is not between"),
    "more than a country": ("c-1,k-1,J7,99999999,none,pt", "population", "is not between"),
    "many digits": ("c-1,k-1,J7," + "9" * 5000 + ",none,pt", "population", "not a whole number"),
    "unknown sensitivity": ("c-1,k-1,J7,3,Hospital,pt", "sensitive", "'Hospital' is not one of none, hospital"),
    "sensitivity left out": ("c-1,k-1,J7,3,,pt", "sensitive", "'' is not one of none, hospital"),
    "another language": ("c-1,k-1,J7,3,none,fr", "language", "'fr' is not one of pt, en"),
    "channel without scheme": (f"{GOOD},ana@example.org", "channels", "not a notification URL"),
    "channel without host": (f"{GOOD},https://", "channels", "not a notification URL"),
    "channel with a broken host": (f"{GOOD},http://[::1", "channels", "not a notification URL"),
    "second channel wrong": (f"{GOOD},mailto:a@b.pt;nowhere", "channels", "'nowhere'"),
    "consent unclear": (f"{GOOD},,maybe", "consent", "neither true nor false"),
    "hours of another kind": (f"{GOOD},,,10pm-7am", "quiet_hours", "22:00-07:00"),
    "hours of no day": (f"{GOOD},,,24:00-07:00", "quiet_hours", "22:00-07:00"),
    "no address": (f"{GOOD},,,,,,,ana", "email", "not an e-mail address"),
    "cut off": ("c-1,k-1,J7,3,none", "language", "the row ends before it"),
}


@pytest.mark.parametrize("name", BAD_ROWS)
def test_a_bad_row_is_named_and_nothing_imported(tmp_path: Path, name: str) -> None:
    row, column, reason = BAD_ROWS[name]
    with pytest.raises(InputError) as caught:
        read_customers(written(tmp_path, f"{HEADER}\nc-0,k-0,J7,3,none,pt\n{row}\n"))
    assert str(caught.value).startswith(f"customers.csv, line 3, column {column}: ")
    assert reason in str(caught.value)


def test_a_connection_is_named_once(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="line 3, column connection_id: 'k-1' is already in line 2"):
        read_customers(written(tmp_path, f"{SHORT}\n{GOOD}\n{GOOD}"))


def test_a_column_of_another_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has unknown 'nif'"):
        read_customers(written(tmp_path, f"{SHORT},nif\n{GOOD},1"))


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(st.lists(st.one_of(st.text(max_size=9), st.sampled_from(GOOD.split(","))), max_size=14), max_size=4)
)
def test_no_file_does_worse_than_an_input_error(tmp_path: Path, rows: list[list[str]]) -> None:
    text = "\n".join([HEADER, *(",".join(row) for row in rows)]).encode(errors="surrogatepass")
    customers = []
    with suppress(InputError):
        customers = read_customers(written(tmp_path, text))
    assert len({customer.connection_id for customer in customers}) == len(customers)
