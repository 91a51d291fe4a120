"""Saved engine states under seal: what they belong to, when they are valid, and a sum that shows a missing byte.

SWMM's own hot start file holds numbers by index and hardly checks them: a foreign one is read without complaint.
So the bytes are kept behind one line of JSON with the model's state key, the time and a checksum.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime

from twin.clock import format_time, parse_time
from twin.errors import InputError

_MAGIC = b"h2twin drainage state 1\n"


@dataclass(frozen=True, slots=True)
class SavedState:
    """The engine's hot start bytes, the moment they are valid at, and the key of the model they belong to."""

    key: str
    valid_at: datetime
    hotstart: bytes


def seal(state: SavedState) -> bytes:
    """Return the state as bytes that `unseal` can judge."""
    header = {
        "key": state.key,
        "valid_at": format_time(state.valid_at),
        "sha256": hashlib.sha256(state.hotstart).hexdigest(),
    }
    return _MAGIC + json.dumps(header).encode() + b"\n" + state.hotstart


def unseal(content: bytes, key: str) -> SavedState:
    """Return the state in `content` if it belongs to `key` and is whole.

    Raises:
        InputError: If it is no saved state, truncated or altered, or belongs to another model; the message says which.
    """
    if not content.startswith(_MAGIC):
        raise InputError("the saved state is no drainage state of h2twin (its first line is not ours)")
    header_line, newline, hotstart = content[len(_MAGIC) :].partition(b"\n")
    try:
        header = json.loads(header_line)
        belongs_to, valid_at, checksum = header["key"], parse_time(header["valid_at"]), header["sha256"]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError("the saved state is damaged: its header cannot be read") from error
    if not newline or hashlib.sha256(hotstart).hexdigest() != checksum:
        raise InputError(f"the saved state of {format_time(valid_at)} is truncated or altered: its checksum is wrong")
    if belongs_to != key:
        raise InputError(
            f"the saved state of {format_time(valid_at)} belongs to another model, another order of its objects, "
            f"other options or another engine (its key is {belongs_to[:12]}, the model's {key[:12]}); start cold"
        )
    return SavedState(belongs_to, valid_at, hotstart)
