"""rename-commands: what may be written there."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachefleet.reference.renamable_commands import BLOCKED, RENAMABLE, renames


def test_pairs() -> None:
    assert renames("") == {}
    assert renames("flushall blocked KEYS secretKeys1") == {"FLUSHALL": "blocked", "KEYS": "secretKeys1"}
    assert renames("get blocked set BLOCKED ping blocked") == {"GET": BLOCKED, "SET": BLOCKED, "PING": BLOCKED}


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("keys", "must be pairs"),
        ("keys  hidden", "one space between all words"),
        (" keys hidden", "one space"),
        ("keys\thidden", "must be pairs"),
        ("config hidden", "'config' is no command that can be renamed"),
        ("AUTH blocked", "no command that can be renamed"),
        ("ping pong", "PING can be blocked, but have no new name"),
        ("shutdown blocked", "no command that can be renamed"),
        ("ﬀlushall blocked", "no command that can be renamed"),
        ("keys a keys b", "KEYS is renamed twice"),
        ("keys a KEYS b", "KEYS is renamed twice"),
        ("keys a_b", "1 to 20 ASCII letters and digits"),
        ("keys " + "x" * 21, "1 to 20 ASCII letters and digits"),
        ("keys get", "the name of a command already"),
        ("keys Config", "the name of a command already"),
        ("keys hidden get HIDDEN", "'HIDDEN' is the new name of two commands"),
    ],
)
def test_what_is_refused(value: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        renames(value)


def test_commands_for_those_who_administer_are_not_among_them() -> None:
    assert not RENAMABLE & {"CONFIG", "DEBUG", "SHUTDOWN", "REPLICAOF", "SYNC", "PSYNC", "MIGRATE", "MODULE", "HELLO", "SAVE"}
    assert {"FLUSHALL", "FLUSHDB", "KEYS", "EVAL", "SORT", "GEOADD", "HGETALL", "XADD", "ZADD", "PFADD"} <= RENAMABLE


@given(st.text(max_size=60))
def test_any_text_is_taken_or_refused(value: str) -> None:
    try:
        found = renames(value)
    except ValueError:
        return
    assert found.keys() <= RENAMABLE
    assert len(value.split()) == 2 * len(found)


@given(st.dictionaries(st.sampled_from(sorted(RENAMABLE)), st.integers(0, 999), max_size=30))
def test_every_command_that_can_be_renamed_is_taken(asked: dict[str, int]) -> None:
    words = [
        f"{command} {BLOCKED if number < 500 or command == 'PING' else f'x{number}{index}z'}"
        for index, (command, number) in enumerate(asked.items())
    ]
    assert renames(" ".join(words)).keys() == asked.keys()
