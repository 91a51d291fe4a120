"""Keys: made once, kept hashed, found only by their exact text."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.auth import Role, find_key, make_key
from twin.errors import InputError, NaiveDatetimeError
from twin.ports import ApiKey

NOW = datetime(2026, 3, 1, tzinfo=UTC)


class _Keys(dict[str, ApiKey]):
    def save_key(self, key: ApiKey) -> None:
        self[key.key_id] = key

    def key(self, key_id: str) -> ApiKey | None:
        return self.get(key_id)

    def keys(self) -> list[ApiKey]:  # type: ignore[override]
        return list(self.values())


def _kept(role: str = "operator") -> tuple[_Keys, ApiKey, str]:
    keys = _Keys()
    key, text = make_key("night shift", role, NOW)
    keys.save_key(key)
    return keys, key, text


def test_a_key_is_found_by_its_text() -> None:
    keys, key, text = _kept()
    assert find_key(keys, text) == key


def test_what_is_kept_is_the_salted_hmac_of_the_secret_and_not_the_secret() -> None:
    _, key, text = _kept()
    _, key_id, secret = text.split("_")
    method, salt, digest = key.secret_hash.split("$")
    assert (method, key_id) == ("hmac-sha256", key.key_id)
    assert digest == hmac.digest(salt.encode(), secret.encode(), hashlib.sha256).hex()
    assert secret not in repr(key)
    assert len(bytes.fromhex(secret)) * 8 == 256


def test_two_keys_share_neither_id_nor_secret_nor_salt() -> None:
    (one, text), (other, other_text) = make_key("a", "viewer", NOW), make_key("a", "viewer", NOW)
    assert one.key_id != other.key_id
    assert text.split("_")[2] != other_text.split("_")[2]
    assert one.secret_hash.split("$")[1] != other.secret_hash.split("$")[1]


def test_a_revoked_key_is_not_found() -> None:
    keys, key, text = _kept()
    keys.save_key(replace(key, revoked_at=NOW))
    assert find_key(keys, text) is None


@pytest.mark.parametrize(
    "change",
    [lambda t: t[:-1], lambda t: t + "0", lambda t: t.upper(), lambda t: t[3:], lambda t: t + "\n"],
    ids=["shorter", "longer", "in capitals", "without its prefix", "with a line end"],
)
def test_a_changed_text_is_not_found(change) -> None:  # type: ignore[no-untyped-def]
    keys, _, text = _kept()
    assert find_key(keys, change(text)) is None


def test_another_keys_secret_does_not_open_this_key() -> None:
    keys, key, _ = _kept()
    other, text = make_key("other", "admin", NOW)
    keys.save_key(other)
    assert find_key(keys, f"h2_{key.key_id}_{text.split('_')[2]}") is None


@given(st.text())
def test_no_text_at_all_breaks_the_search(text: str) -> None:
    assert find_key(_Keys(), text) is None


@pytest.mark.parametrize(
    ("name", "role"),
    [("", "viewer"), (" ", "viewer"), ("x" * 101, "viewer"), ("a\nb", "viewer"), ("a", "root"), ("a", "")],
)
def test_a_key_without_a_proper_name_or_role_is_refused(name: str, role: str) -> None:
    with pytest.raises(InputError):
        make_key(name, role, NOW)


def test_a_key_is_made_at_a_time_with_a_zone() -> None:
    with pytest.raises(NaiveDatetimeError):
        make_key("a", "viewer", datetime(2026, 1, 1))  # noqa: DTZ001


@pytest.mark.parametrize(
    ("has", "needs", "may"),
    [
        ("viewer", "viewer", True), ("viewer", "operator", False), ("viewer", "admin", False),
        ("operator", "viewer", True), ("operator", "operator", True), ("operator", "admin", False),
        ("admin", "viewer", True), ("admin", "operator", True), ("admin", "admin", True),
    ],
)  # fmt: skip
def test_each_role_includes_those_below_it(has: str, needs: str, may: bool) -> None:
    assert Role(has).includes(Role(needs)) is may
