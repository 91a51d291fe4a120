from __future__ import annotations

from contract.registry.records import a_key, an_entry, at

from twin.storage.registry import SqlRegistry


def test_keys_come_back_in_order_of_creation(registry: SqlRegistry) -> None:
    keys = [a_key(number) for number in (3, 1, 2)]
    for key in keys:
        registry.save_key(key)
    assert registry.keys() == [a_key(1), a_key(2), a_key(3)]
    assert registry.key("K-2") == a_key(2)
    assert registry.key("K-9") is None


def test_a_key_is_revoked_by_saving_it_again(registry: SqlRegistry) -> None:
    registry.save_key(a_key(1, revoked_at=None))
    registry.save_key(a_key(2, revoked_at=None))
    registry.save_key(a_key(1, revoked_at=at(7)))
    kept = registry.keys()
    assert [key.revoked_at for key in kept] == [at(7), None]


def test_audit_entries_are_listed_newest_first_and_equal_ones_are_all_kept(registry: SqlRegistry) -> None:
    for entry in (an_entry(1), an_entry(3), an_entry(3), an_entry(3, action="publish"), an_entry(2)):
        registry.record(entry)
    assert list(registry.audit_entries().items) == [
        an_entry(3, action="publish"),
        an_entry(3),
        an_entry(3),
        an_entry(2),
        an_entry(1),
    ]
