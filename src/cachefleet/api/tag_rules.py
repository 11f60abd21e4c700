"""What tags may be, and what adding and removing does to a set of them (reference 3.1). Pure.

Called by the tag operations and by every operation that takes Tags.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from cachefleet.api.names import is_writable, quoted
from cachefleet.model import config_access, memcached_snapshots, metric_interval, proof, saving
from cachefleet.model.errors import AwsError, invalid_value
from cachefleet.model.vpc import MEMBERS, read_members
from cachefleet.settings import INTERVALS_S

if TYPE_CHECKING:
    from types_boto3_elasticache.type_defs import TagTypeDef

MAX_TAGS = 50
KEY_LENGTH = 128
VALUE_LENGTH = 256
_MARKS = frozenset("_.:/=+-@")
_RESERVED = "aws:"

# Tags that ask for something beyond ElastiCache: how slots are rebalanced and how fast they move (here), another port or subnet
# group (relocation), the proof of a snapshot (model.proof), what becomes of the data in a stop of everything (model.saving),
# snapshots of Memcached (model.memcached_snapshots), how often nodes are measured (model.metric_interval), what clients get of
# CONFIG (model.config_access), further members of a security group (model.vpc).
_OURS = "cachefleet:"
BALANCE, BY_LOAD = "cachefleet:balance", "load"
PACE, GENTLE = "cachefleet:reshard", "gentle"
PORT, SUBNET_GROUP = "cachefleet:port", "cachefleet:subnet-group"
_KNOWN = (
    BALANCE,
    PACE,
    PORT,
    SUBNET_GROUP,
    proof.ASKED,
    saving.WANTED,
    saving.ASKED,
    memcached_snapshots.ASKED,
    metric_interval.TAG,
    config_access.ASKED,
)
_RESULTS = (*proof.RESULTS, *saving.RESULTS)
_OF_GROUPS = (saving.WANTED, saving.ASKED, config_access.ASKED)


def read_tags(
    tags: Sequence[Mapping[str, Any]], field: str = "Tags", *, of_snapshot: bool = False, of_network: bool = False
) -> dict[str, str]:
    """Tags of a request; of_snapshot: that are a snapshot's; of_network: of a VPC, a subnet or a security group. Raises
    InvalidParameterValue, TagQuotaPerResourceExceeded."""
    _check_quota(len(tags))  # before any of them is looked at
    read: dict[str, str] = {}
    for tag in tags:
        key, text = tag.get("Key", ""), tag.get("Value") or ""
        if of_network:
            _check_network_tag(key, text, field)
        else:
            _check_key(key, field, of_snapshot)
        if len(text) > VALUE_LENGTH:
            raise invalid_value(
                f"{field}: the value of {quoted(key)} has {len(text)} characters; at most {VALUE_LENGTH} are allowed."
            )
        _check_characters(text, f"{field}: the value of {quoted(key)}")
        if key == BALANCE and text != BY_LOAD:
            raise invalid_value(
                f"{field}: {BALANCE} can only be {BY_LOAD}, so that slots are rebalanced by measured load; leave the tag "
                "out for equal numbers of slots."
            )
        if key == PACE and text != GENTLE:
            raise invalid_value(
                f"{field}: {PACE} can only be {GENTLE}, so that clients hardly feel it when slots move; leave the tag out for "
                "slots that move as fast as they can."
            )
        if key == saving.WANTED and text not in (saving.ON, saving.OFF):
            raise invalid_value(f"{field}: {saving.WANTED} can only be {saving.ON} or {saving.OFF}.")
        if key == memcached_snapshots.ASKED and text != memcached_snapshots.ON:
            raise invalid_value(
                f"{field}: {key} can only be {memcached_snapshots.ON}, so that a Memcached cluster can have snapshots; leave "
                "the tag out where it shall have none."
            )
        if key == metric_interval.TAG and not (text.isdecimal() and int(text) in INTERVALS_S):
            choices = ", ".join(map(str, INTERVALS_S))
            raise invalid_value(f"{field}: {key} is one of {choices}: how often the nodes are measured, in seconds.")
        if key == config_access.ASKED and text not in config_access.VALUES:
            raise invalid_value(
                f"{field}: {key} can only be {config_access.GET}, so that clients may read harmless parameters, or "
                f"{config_access.SET}, so that they may also change some of them; leave the tag out for neither."
            )
        if key in read:
            raise invalid_value(f"{field} names the key {quoted(key)} twice; name each once.")
        read[key] = text
    return read


def read_other_tags(tags: Sequence[Mapping[str, Any]], what: str) -> dict[str, str]:
    """Of a creation of something that is no cache, or only a member of one. Raises as read_tags."""
    read = read_tags(tags)
    check_saving(read, saves=False, what=what)
    return read


def read_plain_tags(given: Iterable[tuple[str, str]], refuse: Callable[[str], AwsError]) -> dict[str, str]:
    """Keys and values of tags that ask for nothing: of alarms, topics, log groups. refuse: makes an error of a reason. Raises
    that."""
    read: dict[str, str] = {}
    for key, text in given:
        if not 1 <= len(key) <= KEY_LENGTH or len(text) > VALUE_LENGTH or not all(map(is_writable, key + text)):
            raise refuse(
                f"a key has 1 to {KEY_LENGTH} characters, a value at most {VALUE_LENGTH}, and none is a control character."
            )
        if key.lower().startswith(_RESERVED):
            raise refuse(f"the key {quoted(key)} begins with {_RESERVED}, which is reserved; choose another.")
        if key in read:
            raise refuse(f"the key {quoted(key)} is given twice; name each once.")
        read[key] = text
    return read


def added(tags: Mapping[str, str], more: Mapping[str, str]) -> dict[str, str]:
    """Raises TagQuotaPerResourceExceeded."""
    all_tags = {**tags, **more}
    _check_quota(sum(key not in _RESULTS for key in all_tags))
    return all_tags


def removed(tags: Mapping[str, str], keys: Sequence[str]) -> dict[str, str]:
    """Keys that are not there are no error here; see check_present."""
    gone = frozenset(keys)
    return {key: text for key, text in tags.items() if key not in gone}


def check_present(tags: Mapping[str, str], keys: Sequence[str]) -> None:
    """Raises TagNotFound."""
    for key in keys:
        if key not in tags:
            raise AwsError("TagNotFound", f"TagKeys: the resource has no tag with the key {quoted(key)} (case matters).")


def check_sharded(tags: Mapping[str, str], *, sharded: bool, what: str) -> None:
    """Raises InvalidParameterValue where there are no slots that could move."""
    for key in (BALANCE, PACE):
        if key in tags and not sharded:
            raise invalid_value(f"Tags: {key} is for a replication group with cluster mode enabled; {what} has no shards.")


def check_saving(tags: Mapping[str, str], *, saves: bool, what: str) -> None:
    """saves: it is a group of Valkey or Redis, with all of its nodes. Raises InvalidParameterValue where there is nothing that
    a planned stop could save, and nothing that clients could configure."""
    key = next((key for key in _OF_GROUPS if key in tags), "")
    if key and not saves:
        raise invalid_value(
            f"Tags: {key} is for a replication group, or a Valkey or Redis cluster of its own; {what} is neither."
        )


def check_memcached(tags: Mapping[str, str], *, memcached: bool, what: str) -> None:
    """memcached: it is a Memcached cluster. Raises InvalidParameterValue where snapshots need no tag, or cannot be."""
    if memcached_snapshots.ASKED in tags and not memcached:
        raise invalid_value(f"Tags: {memcached_snapshots.ASKED} is for a Memcached cluster; {what} is none.")


def for_nodes(tags: Mapping[str, str]) -> dict[str, str]:
    """Those that a group's nodes get along with it: not those that only a whole group can have."""
    return {key: text for key, text in tags.items() if key not in _OF_GROUPS}


def is_balanced_by_load(tags: Mapping[str, str]) -> bool:
    """Whether a replication group with these tags is to be rebalanced by load."""
    return tags.get(BALANCE) == BY_LOAD


def is_gentle(tags: Mapping[str, str]) -> bool:
    """Whether slots of a replication group with these tags are to move slowly."""
    return tags.get(PACE) == GENTLE


def show_tags(tags: Mapping[str, str]) -> list[TagTypeDef]:
    """A TagList, in the order of keys."""
    return [{"Key": key, "Value": tags[key]} for key in sorted(tags)]


def _check_key(key: str, field: str, of_snapshot: bool) -> None:
    if not 1 <= len(key) <= KEY_LENGTH:
        raise invalid_value(f"{field}: a key has {len(key)} characters; it must have 1 to {KEY_LENGTH}.")
    if key.lower().startswith(_RESERVED):
        raise invalid_value(f"{field}: the key {quoted(key)} begins with {_RESERVED}, which is reserved; choose another.")
    if key in proof.RESULTS:
        raise invalid_value(f"{field}: {key} tells how a snapshot was verified and cannot be set; {proof.ASKED} asks for that.")
    if key in saving.RESULTS:
        raise invalid_value(f"{field}: {key} tells how {saving.ASKED} ended and cannot be set.")
    if key.lower().startswith(_OURS) and key not in _KNOWN:
        known = f"{', '.join(_KNOWN[:-1])} and {_KNOWN[-1]}"
        raise invalid_value(f"{field}: {quoted(key)} has no meaning; of the keys that begin with {_OURS} there are {known}.")
    if key == proof.ASKED and not of_snapshot:
        raise invalid_value(f"{field}: {key} asks for the proof of a snapshot; only snapshots can have it.")
    _check_characters(key, f"{field}: the key {quoted(key)}")


def _check_network_tag(key: str, text: str, field: str) -> None:
    if key != MEMBERS:
        _check_key(key, field, of_snapshot=False)
        if key.lower().startswith(_OURS):
            raise invalid_value(f"{field}: {key} has no meaning for networks; of such keys only {MEMBERS} has one.")
        return
    try:
        read_members(text)
    except ValueError as error:
        raise invalid_value(f"{field}: {key} must be IPv4 networks with spaces between, such as 127.0.0.0/8: {error}") from None


def _check_characters(text: str, what: str) -> None:
    if not all(character in _MARKS or unicodedata.category(character)[0] in "LNZ" for character in text):
        raise invalid_value(
            f"{what} contains a character that is not allowed; use letters, digits, spaces and _ . : / = + - @."
        )


def _check_quota(count: int) -> None:
    if count > MAX_TAGS:
        raise AwsError("TagQuotaPerResourceExceeded", f"{count} tags are too many; a resource may have {MAX_TAGS}.")
