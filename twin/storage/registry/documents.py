"""Records as JSON documents, exactly as they were: what JSON cannot say is refused when it is saved."""

from __future__ import annotations

import dataclasses
import math
import zlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Generic, TypeVar

import msgspec

from twin.clock import as_utc
from twin.errors import InputError, UnavailableError

T = TypeVar("T")


class Document(Generic[T]):
    """How records of one type are written as text (`encode`) or compressed (`pack`), and read again.

    A record may have grown fields with defaults since it was written; fields it has lost are passed over.
    """

    def __init__(self, kind: type[T]) -> None:
        self._name = kind.__name__
        self._decoder = msgspec.json.Decoder(kind)

    def encode(self, record: T) -> str:
        """Return the record as JSON text.

        Raises:
            InputError: If it holds NaN, an infinity, text that is no Unicode, or something that is no plain value.
            NaiveDatetimeError: If it holds a time without a zone.
        """
        return self._encoded(record).decode()

    def decode(self, text: str | bytes) -> T:
        """Return the record that `encode` wrote.

        Raises:
            UnavailableError: If the text is damaged.
        """
        try:
            return self._decoder.decode(text)
        except msgspec.MsgspecError as error:
            raise UnavailableError(f"an archived {self._name} is damaged, restore a backup: {error}") from error

    def pack(self, record: T) -> bytes:
        """Return the record as compressed JSON; raises like `encode`."""
        return zlib.compress(self._encoded(record), level=6)

    def unpack(self, packed: bytes) -> T:
        """Return the record that `pack` wrote; raises like `decode`."""
        try:
            text = zlib.decompress(packed)
        except zlib.error as error:
            raise UnavailableError(f"an archived {self._name} is damaged, restore a backup: {error}") from error
        return self.decode(text)

    def _encoded(self, record: T) -> bytes:
        _require_exact(record, self._name)
        try:
            return msgspec.json.encode(record, enc_hook=_plain)
        except (TypeError, UnicodeEncodeError) as error:
            raise InputError(f"{self._name} cannot be archived: {error}") from error


def _require_exact(value: object, path: str) -> None:
    """Refuse what JSON would change without a word: NaN and infinities (to null) and times without a zone."""
    if isinstance(value, float):
        if not math.isfinite(value):
            raise InputError(f"{path} is {value}: only finite numbers can be archived")
    elif isinstance(value, datetime):
        as_utc(value)
    elif isinstance(value, tuple | list):
        for index, item in enumerate(value):
            _require_exact(item, f"{path}[{index}]")
    elif isinstance(value, Mapping):
        for key, item in value.items():
            _require_exact(item, f"{path}[{key!r}]")
    elif dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            _require_exact(getattr(value, field.name), f"{path}.{field.name}")


def _plain(value: Any) -> object:
    """Return NumPy's scalars, and subclasses of plain values, as plain values; Mappings as dicts."""
    if isinstance(value, Mapping):
        return dict(value)
    for plain in (str, float, int):
        if isinstance(value, plain):
            return plain(value)
    raise TypeError(f"{type(value).__name__} is no plain value")
