"""What nodes a group had for how long: spans of time in which that did not change."""

from __future__ import annotations

import msgspec

from cachefleet.model.resource import Key


class Use(msgspec.Struct, frozen=True):
    """What is counted of a group. nodes: whose processes run. tags: the group's, without those that ask for something."""

    engine: str
    node_type: str
    nodes: int
    tags: dict[str, str] = {}


class Span(msgspec.Struct, frozen=True):
    """uid: of the group, so that a later one of its name is told apart. Times in epoch seconds. end: None while it goes on, and
    then as far as was counted. number: of the store, 0 before."""

    group: Key
    uid: str
    use: Use
    begin: float
    end: float | None = None
    number: int = 0


class Counted(msgspec.Struct, frozen=True):
    """From when until when nodes were counted, in epoch seconds."""

    since: float
    until: float
