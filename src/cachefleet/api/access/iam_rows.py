"""IAM users in the store: found by name, changed by compare-and-swap; names, lists and refusals as IAM has them.

Called by the IAM operations. Whoever changes a user tells the gateway, which keeps what it knows of callers for a moment.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from cachefleet.api.context import Context
from cachefleet.api.names import quoted
from cachefleet.api.paging import read_marker, write_marker
from cachefleet.model.errors import AwsError
from cachefleet.model.iam import IamUserDesired, iam_scope
from cachefleet.model.resource import Key, Kind
from cachefleet.model.row import IamUserRow

T = TypeVar("T")

NAME_LENGTH = 64
POLICY_NAME_LENGTH = 128
PATH_LENGTH = 512
MAX_ITEMS = 1000
DEFAULT_ITEMS = 100
_NAME = re.compile(r"[\w+=,.@-]+", re.ASCII)
_PATH = re.compile(r"/(?:[!-~]{0,510}/)?", re.ASCII)
_BASE32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"


def user_key(context: Context, name: str) -> Key:
    return iam_scope(context.caller.account).key(Kind.IAM_USER, name.lower())


async def load_user(context: Context, name: str | None) -> IamUserRow:
    """name: None is the caller. Raises NoSuchEntity, ValidationError."""
    asked = context.caller.user_name if name is None else checked_name(name, "userName")
    if not asked:
        raise invalid("UserName must be given: the caller is the root of the account, which is no user.")
    row: IamUserRow | None = await context.store.get(user_key(context, asked))
    if row is None or row.desired.name != asked:
        raise missing(f"The user with name {asked} cannot be found.")
    return row


async def change_user(context: Context, row: IamUserRow, **changes: Any) -> IamUserRow:
    """The row as stored. Raises Conflict, NameTaken (an access key's id)."""
    desired: IamUserDesired = msgspec.structs.replace(row.desired, **changes)
    async with context.store.transaction() as transaction:
        stored: IamUserRow = await transaction.update(msgspec.structs.replace(row, desired=desired), desired.key_ids)
    context.users_changed()
    return stored


def checked_name(name: str, field: str, longest: int = NAME_LENGTH) -> str:
    """Raises ValidationError."""
    if not 1 <= len(name) <= longest or not _NAME.fullmatch(name):
        raise refused(
            name, field, f"have 1 to {longest} characters and satisfy regular expression pattern: [\\w+=,.@-]+ (ASCII only)"
        )
    return name


def checked_path(path: str, field: str = "path") -> str:
    """Raises ValidationError."""
    if len(path) > PATH_LENGTH or not _PATH.fullmatch(path) or "//" in path:
        raise refused(path, field, "begin and end with / and have printable ASCII characters only, no two / in a row")
    return path


def refused(value: str, field: str, rule: str) -> AwsError:
    return invalid(
        f"1 validation error detected: Value {quoted(value)} at '{field}' failed to satisfy constraint: it must {rule}."
    )


def invalid(message: str) -> AwsError:
    return AwsError("ValidationError", message)


def missing(message: str) -> AwsError:
    return AwsError("NoSuchEntity", message)


def limit_exceeded(message: str) -> AwsError:
    return AwsError("LimitExceeded", message)


def listed(
    request: Mapping[str, Any], kind: str, member: str, found: Sequence[T], name: Callable[[T], str], show: Callable[[T], Any]
) -> dict[str, Any]:
    """A page of a list that is sorted by name. kind: a word that ties the marker to its operation. Raises ValidationError."""
    limit = request.get("MaxItems", DEFAULT_ITEMS)
    if not 1 <= limit <= MAX_ITEMS:
        raise refused(str(limit), "maxItems", f"be from 1 to {MAX_ITEMS}")
    after = ""
    if request.get("Marker"):
        try:
            after = read_marker(kind, request["Marker"])
        except AwsError as error:
            raise invalid(error.message) from None
    left = [one for one in found if name(one) > after]
    page = {member: [show(one) for one in left[:limit]], "IsTruncated": len(left) > limit}
    return {**page, "Marker": write_marker(kind, name(left[limit - 1]))} if len(left) > limit else page


def unique_id(context: Context, prefix: str, length: int) -> str:
    """prefix and random characters of Base32, so many in all."""
    return prefix + "".join(_BASE32[context.entropy.below(len(_BASE32))] for _ in range(length - len(prefix)))
