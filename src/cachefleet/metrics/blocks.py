"""Values of a stretch of time, and the bytes as which they are stored. Pure.

A metric has a column: times, as numbers of the resolution since the block's begin, and a value for each. There is nothing where
nothing was measured, so gaps stay gaps. Most columns hardly change from one time to the next, hence the compression.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping, Set

import msgspec

from cachefleet.metrics.values import Value, merged
from cachefleet.model.metric import MetricName

_LEVEL = 4

Column = dict[int, Value]  # number of the time within the block -> value
Columns = dict[MetricName, Column]


class _Stored(msgspec.Struct, array_like=True):
    name: str
    unit: str
    times: list[int]
    values: list[float | Value]  # a number is a single measurement


class Damaged(Exception):
    """The bytes are no block."""


def add(columns: Columns, time: int, values: Mapping[MetricName, Value]) -> None:
    """What is there for that time already is merged with it."""
    for name, value in values.items():
        column = columns.setdefault(name, {})
        column[time] = merged((column[time], value)) if time in column else value


def encoded(columns: Columns) -> bytes:
    stored = [
        _Stored(name.name, name.unit, sorted(column), [_short(column[time]) for time in sorted(column)])
        for name, column in sorted(columns.items())
    ]
    return zlib.compress(_ENCODER.encode(stored), _LEVEL)


def decoded(data: bytes, names: Set[MetricName] | None = None) -> Columns:
    """names: only these; None all. Raises Damaged."""
    try:
        stored = _DECODER.decode(zlib.decompress(data))
        return {
            MetricName(one.name, one.unit): {
                time: value if isinstance(value, Value) else Value(value)
                for time, value in zip(one.times, one.values, strict=True)
            }
            for one in stored
            if names is None or MetricName(one.name, one.unit) in names
        }
    except (zlib.error, msgspec.DecodeError, ValueError) as error:
        raise Damaged(str(error)) from None


def joined(blocks: Iterable[Columns]) -> Columns:
    """Of several writers."""
    made: Columns = {}
    for columns in blocks:
        for name, column in columns.items():
            for time, value in column.items():
                add(made, time, {name: value})
    return made


def _short(value: Value) -> float | Value:
    return value.total if value.count == 1 and value.lowest == value.highest else value


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(list[_Stored])
