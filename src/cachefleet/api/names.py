"""Identifiers and texts as callers write them: checked and brought into the form that is stored (reference 3.1).

Pure; every check raises InvalidParameterValue with the field, the rule and the remedy. Called by every operation.
"""

from __future__ import annotations

import re
import unicodedata

from cachefleet.model.errors import invalid_value

CLUSTER_ID_LENGTH = 50
REPLICATION_GROUP_ID_LENGTH = 40
GROUP_NAME_LENGTH = 255
SNAPSHOT_NAME_LENGTH = 200  # the stored files have it in their names
TEXT_LENGTH = 255
_LONGEST_QUOTE = 120

_ID = re.compile(r"[a-zA-Z](?:-?[a-zA-Z0-9])*", re.ASCII)


def cluster_id(value: str, field: str = "CacheClusterId") -> str:
    """The cache cluster id in lower case."""
    return _identifier(value, field, CLUSTER_ID_LENGTH)


def replication_group_id(value: str, field: str = "ReplicationGroupId") -> str:
    """The replication group id in lower case."""
    return _identifier(value, field, REPLICATION_GROUP_ID_LENGTH)


def snapshot_name(value: str, field: str = "SnapshotName") -> str:
    """The name of a new snapshot in lower case."""
    return _identifier(value, field, SNAPSHOT_NAME_LENGTH)


def quoted(value: str) -> str:
    """What a caller sent, for a message: in quotes, control characters escaped, clipped."""
    return repr(value if len(value) <= _LONGEST_QUOTE else value[:_LONGEST_QUOTE] + "...")


def folded(value: str) -> str:
    """A name that is only looked up: lower case, no rule checked, since what breaks one cannot exist.

    Only ASCII is folded: the Kelvin sign is no k."""
    return value.lower() if value.isascii() else value


def _identifier(value: str, field: str, longest: int) -> str:
    if len(value) > longest or not _ID.fullmatch(value):
        raise invalid_value(
            f"The parameter {field} is not a valid identifier: it must have 1 to {longest} ASCII letters, digits and "
            "hyphens, begin with a letter, not end with a hyphen and not contain two hyphens in a row."
        )
    return value.lower()


def group_name(value: str, field: str) -> str:
    """The name of a subnet or parameter group, or of a reservation, in lower case."""
    return _identifier(value, field, GROUP_NAME_LENGTH)


def description(value: str, field: str) -> str:
    """A text for people, as given: at most 255 characters, no control characters but line breaks and tabs."""
    if len(value) > TEXT_LENGTH:
        raise invalid_value(f"{field} has {len(value)} characters; the longest allowed is {TEXT_LENGTH}.")
    if not all(map(is_writable, value)):
        raise invalid_value(f"{field} contains a control character; use printable characters only.")
    return value


def is_writable(character: str) -> bool:
    """Whether a reply (XML 1.0) carries the character unchanged."""
    if unicodedata.category(character) in ("Cc", "Cs"):
        return character in "\n\t"
    return ord(character) & 0xFFFE != 0xFFFE


def node_group_id(value: str, field: str = "NodeGroupId") -> str:
    """A shard id in its four-digit form: "1" and "0001" are the same shard."""
    if not re.fullmatch(r"[0-9]{1,4}", value, re.ASCII) or int(value) == 0:
        raise invalid_value(f"{field} {quoted(value)} is not valid: it must be a number from 0001 to 9999.")
    return value.zfill(4)
