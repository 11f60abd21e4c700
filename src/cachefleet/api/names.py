"""Identifiers, texts, slots and ARNs as callers write them: checked and brought into the form that is stored (reference 3.1).

Pure; every check raises InvalidParameterValue with the field, the rule and the remedy. Called by every operation.
"""

from __future__ import annotations

import re
import unicodedata

import msgspec

from cachefleet.model.errors import AwsError, invalid_value
from cachefleet.model.group import SLOTS, SlotRanges
from cachefleet.model.resource import Scope

CLUSTER_ID_LENGTH = 50
REPLICATION_GROUP_ID_LENGTH = 40
GROUP_NAME_LENGTH = 255
TEXT_LENGTH = 255
_LONGEST_QUOTE = 120

_ID = re.compile(r"[a-zA-Z](?:-?[a-zA-Z0-9])*", re.ASCII)
_GROUP_NAME = re.compile(r"[a-zA-Z0-9-]+", re.ASCII)
_SLOT_RANGE = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?", re.ASCII)


def cluster_id(value: str, field: str = "CacheClusterId") -> str:
    """The cache cluster id in lower case."""
    return _identifier(value, field, CLUSTER_ID_LENGTH)


def replication_group_id(value: str, field: str = "ReplicationGroupId") -> str:
    """The replication group id in lower case."""
    return _identifier(value, field, REPLICATION_GROUP_ID_LENGTH)


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
    """The name of a subnet or parameter group in lower case."""
    if len(value) > GROUP_NAME_LENGTH or not _GROUP_NAME.fullmatch(value):
        raise invalid_value(
            f"The parameter {field} is not a valid name: it must have 1 to {GROUP_NAME_LENGTH} ASCII letters, digits "
            "and hyphens."
        )
    return value.lower()


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


# --- slots ---------------------------------------------------------------------------------------------------------


def parse_slots(value: str, field: str = "Slots") -> SlotRanges:
    """The ranges of "0-1023,2048", ascending, neighbours joined. Raises InvalidParameterValue (overlaps too)."""
    ranges: list[tuple[int, int]] = []
    for first, last in sorted(_slot_range(part.strip(), field) for part in value.split(",")):
        if ranges and first <= ranges[-1][1]:
            raise invalid_value(f"{field} {quoted(value)} names slot {first} twice; name every slot once.")
        if ranges and first == ranges[-1][1] + 1:
            ranges[-1] = (ranges[-1][0], last)
        else:
            ranges.append((first, last))
    return tuple(ranges)


def _slot_range(part: str, field: str) -> tuple[int, int]:
    match = _SLOT_RANGE.fullmatch(part)
    if match is None:
        raise invalid_value(f"{field}: {quoted(part)} is not a slot or a range of slots; write them as in 0-1023,2048.")
    first, last = int(match[1]), int(match[2] or match[1])
    if not first <= last < SLOTS:
        raise invalid_value(
            f"{field}: {quoted(part)} is not a range of slots; they go from 0 to {SLOTS - 1}, the smaller one first."
        )
    return first, last


def format_slots(slots: SlotRanges) -> str:
    """ "0-1023,2048"."""
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in slots)


# --- ARNs ----------------------------------------------------------------------------------------------------------


class Arn(msgspec.Struct, frozen=True):
    """type_word: cluster, replicationgroup, subnetgroup, parametergroup ... name: in lower case."""

    type_word: str
    name: str


def parse_arn(value: str, scope: Scope, field: str = "ResourceName") -> Arn:
    """What an ARN names. Raises InvalidARN when it is none of ElastiCache's, of this region and this account."""
    parts = value.split(":", 6)
    if len(parts) != 7 or parts[0] != "arn" or parts[2] != "elasticache" or not parts[5] or not parts[6]:
        raise AwsError(
            "InvalidARN",
            f"{field} {quoted(value)} is not an ElastiCache ARN; one looks like {scope.arn('replicationgroup', 'my-group')}.",
        )
    if (parts[3], parts[4]) != (scope.region, scope.account):
        raise AwsError(
            "InvalidARN",
            f"{field} {quoted(value)} is not of region {scope.region} and account {scope.account}, which this request is for.",
        )
    return Arn(parts[5], folded(parts[6]))
