"""Pages by key: nothing lost, nothing twice, whatever the sizes; a foreign or broken cursor is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.routes.query import make_cursor, page_by_key, read_cursor
from twin.errors import InputError


@given(st.sets(st.text(max_size=5), max_size=30), st.integers(1, 7))
def test_all_pages_together_are_the_list(items: set[str], limit: int) -> None:
    seen: list[str] = []
    cursor: str | None = None
    for _ in range(len(items) + 1):
        page = page_by_key(list(items), str, of="things", limit=limit, cursor=cursor)
        assert len(page.items) <= limit
        seen += page.items
        cursor = page.next_cursor
        if cursor is None:
            break
    assert seen == sorted(items)


@given(st.text(max_size=50))
def test_a_made_up_cursor_is_refused_and_never_breaks(text: str) -> None:
    with pytest.raises(InputError):
        read_cursor("things", text)


def test_a_cursor_of_another_list_is_refused() -> None:
    with pytest.raises(InputError, match="another list"):
        read_cursor("things", make_cursor("others", "a"))
