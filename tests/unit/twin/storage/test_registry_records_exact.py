"""What is written into documents, columns and digests is exactly what is read, or is refused."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twin.errors import InputError, UnavailableError
from twin.storage.registry.columns import mended_text, storable_text
from twin.storage.registry.documents import Document
from twin.storage.registry.part import digest


@dataclass(frozen=True, slots=True)
class Record:
    text: str
    number: float
    moment: datetime
    steps: tuple[float | None, ...] = ()


zones = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
moments = st.datetimes(datetime(1900, 1, 2), datetime(2200, 1, 1), timezones=zones)  # noqa: DTZ001
finite = st.floats(allow_nan=False, allow_infinity=False)
plain_text = st.text(st.characters(exclude_categories=["Cs"]))
records = st.builds(Record, plain_text, finite, moments, st.lists(st.none() | finite).map(tuple))


@given(records)
def test_a_document_comes_back_exactly_as_text_and_packed(record: Record) -> None:
    document = Document(Record)
    for back in (document.decode(document.encode(record)), document.unpack(document.pack(record))):
        assert back == record
        assert repr(back.number) == repr(record.number)


@given(records, st.sampled_from([math.nan, math.inf, -math.inf]))
def test_a_number_that_is_none_is_refused_wherever_it_hides(record: Record, bad: float) -> None:
    with pytest.raises(InputError, match=r"Record\.steps"):
        Document(Record).encode(Record(record.text, record.number, record.moment, (*record.steps, bad)))


@given(records, st.data())
def test_a_packed_document_that_was_cut_is_never_half_read(record: Record, data: st.DataObject) -> None:
    packed = Document(Record).pack(record)
    cut = data.draw(st.integers(0, len(packed) - 1))
    with pytest.raises(UnavailableError, match="Record is damaged"):
        Document(Record).unpack(packed[:cut])


@given(st.text(st.characters()) | plain_text)
def test_mended_text_can_be_stored_and_good_text_is_left_alone(text: str) -> None:
    mended = mended_text(text)
    assert storable_text(mended) == mended
    is_good = "\x00" not in text and not any("\ud800" <= letter <= "\udfff" for letter in text)
    assert (mended == text) == is_good
    if not is_good:
        with pytest.raises(InputError):
            storable_text(text)


parts = st.lists(st.binary(max_size=4), min_size=1, max_size=3)


@given(parts, parts)
def test_only_the_same_parts_have_the_same_digest(one: list[bytes], other: list[bytes]) -> None:
    assert (digest(*one) == digest(*other)) == (one == other)
