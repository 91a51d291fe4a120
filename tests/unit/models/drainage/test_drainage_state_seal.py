from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.drainage.state import SavedState, seal, unseal
from twin.errors import InputError

AT = datetime(2026, 3, 7, 6, tzinfo=UTC)


@given(hotstart=st.binary(max_size=200))
def test_a_state_comes_back_as_it_was(hotstart: bytes) -> None:
    state = SavedState("k1", AT, hotstart)

    assert unseal(seal(state), "k1") == state


@given(data=st.data())
def test_no_byte_can_be_lost_or_changed(data: st.DataObject) -> None:
    content = seal(SavedState("k1", AT, b"SWMM5-HOTSTART4" + bytes(range(40))))
    at = data.draw(st.integers(0, len(content) - 1))
    damaged = data.draw(
        st.sampled_from([content[:at], content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :], content + b"x"])
    )

    try:
        state = unseal(damaged, "k1")
    except InputError:
        return
    assert state.hotstart == b"SWMM5-HOTSTART4" + bytes(range(40))  # a changed digit of the time leaves the water whole


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"SWMM5-HOTSTART4\x01\x00", "no drainage state of h2twin"),
        (b"", "no drainage state of h2twin"),
        (b"h2twin drainage state 1\n{}\n", "header cannot be read"),
        (b"h2twin drainage state 1\n", "header cannot be read"),
    ],
)
def test_foreign_and_broken_files_are_refused(content: bytes, words: str) -> None:
    with pytest.raises(InputError, match=words):
        unseal(content, "k1")


def test_the_state_of_another_model_is_named() -> None:
    with pytest.raises(InputError, match="state of 2026-03-07T06:00:00Z belongs to another model"):
        unseal(seal(SavedState("k2", AT, b"x")), "k1")
