"""What a client did once: a write or a read with one retry, when, and what came of it.

Records have a fixed size, so that a client that is killed leaves a file that can be read.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from enum import IntEnum
from pathlib import Path
from typing import NamedTuple

_FORMAT = struct.Struct("<ddIQBBB")
SIZE_BYTES = _FORMAT.size


class Outcome(IntEnum):
    DONE = 0  # acknowledged, or read as it must be
    FAILED = 1  # an error, and another one at the retry
    WRONG = 2  # read, and an acknowledged value was not there


class Operation(NamedTuple):
    due_s: float  # when it should have begun; times are of time.perf_counter(), which all processes of a machine share
    ended_s: float
    key: int  # the number of the client's key
    value: int  # written by the last attempt; attempt n of a write has the value 2 * serial + n
    write: bool
    tries: int  # 1, or 2 with the retry
    outcome: Outcome

    def packed(self) -> bytes:
        return _FORMAT.pack(*self)

    @property
    def took_s(self) -> float:
        return self.ended_s - self.due_s


def read_operations(path: Path) -> Iterator[Operation]:
    """In the order in which they ended; one that was cut off at the end of the file is left out."""
    content = path.read_bytes()
    for due_s, ended_s, key, value, write, tries, outcome in _FORMAT.iter_unpack(
        content[: len(content) // SIZE_BYTES * SIZE_BYTES]
    ):
        yield Operation(due_s, ended_s, key, value, bool(write), tries, Outcome(outcome))
