"""Access keys of IAM users: CreateAccessKey, ListAccessKeys, UpdateAccessKey, DeleteAccessKey.

The secret is in the reply to its creation and never again; the store has it sealed. A key that is inactive or gone is refused
from then on: here at once, by other services of the same database within app.access_keys.FRESH_S.
"""

from __future__ import annotations

import base64
from typing import Any

import msgspec

from cachefleet.api.access.iam_rows import change_user, limit_exceeded, listed, load_user, missing, refused, unique_id
from cachefleet.api.context import Context
from cachefleet.api.names import quoted
from cachefleet.api.registry import operation
from cachefleet.interfaces import Conflict, NameTaken
from cachefleet.model.iam import AccessKey, sealed_for
from cachefleet.model.row import IamUserRow

KEYS_PER_USER = 2
_ID_LENGTH = 20
_SECRET_BYTES = 30  # 40 characters, as those of AWS
_STATES = {True: "Active", False: "Inactive"}


@operation("CreateAccessKey", service="iam", effective=("UserName",))
async def create_access_key(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    row = await load_user(context, request.get("UserName"))
    if len(row.desired.keys) >= KEYS_PER_USER:
        raise limit_exceeded(
            f"Cannot exceed quota for AccessKeysPerUser: {KEYS_PER_USER}. Delete one of {row.desired.name} first."
        )
    secret = base64.b64encode(bytes.fromhex(context.entropy.hex(_SECRET_BYTES))).decode()
    key_id = unique_id(context, "AKIA", _ID_LENGTH)
    made = AccessKey(key_id, context.sealer.seal(secret, sealed_for(key_id)), context.clock.now())
    try:
        await change_user(context, row, keys=(*row.desired.keys, made))
    except NameTaken:
        raise Conflict(key_id) from None  # somebody else has this id: draw another one
    return {"AccessKey": {**_view(row, made), "SecretAccessKey": secret}}


@operation("ListAccessKeys", service="iam", effective=("UserName", "Marker", "MaxItems"))
async def list_access_keys(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    row = await load_user(context, request.get("UserName"))
    found = sorted(row.desired.keys, key=lambda key: key.key_id)
    return listed(request, "access-keys", "AccessKeyMetadata", found, lambda key: key.key_id, lambda key: _view(row, key))


@operation("UpdateAccessKey", service="iam", effective=("UserName", "AccessKeyId", "Status"))
async def update_access_key(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    status = request["Status"]
    if status not in _STATES.values():
        raise refused(status, "status", "be Active or Inactive")
    row = await load_user(context, request.get("UserName"))
    wanted = _key_of(row, request["AccessKeyId"])
    changed = msgspec.structs.replace(wanted, active=status == _STATES[True])
    await change_user(context, row, keys=tuple(changed if key is wanted else key for key in row.desired.keys))
    return {}


@operation("DeleteAccessKey", service="iam", effective=("UserName", "AccessKeyId"))
async def delete_access_key(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    row = await load_user(context, request.get("UserName"))
    doomed = _key_of(row, request["AccessKeyId"])
    await change_user(context, row, keys=tuple(key for key in row.desired.keys if key is not doomed))
    return {}


def _key_of(row: IamUserRow, key_id: str) -> AccessKey:
    for key in row.desired.keys:
        if key.key_id == key_id:
            return key
    raise missing(f"The Access Key with id {quoted(key_id)} cannot be found.")


def _view(row: IamUserRow, key: AccessKey) -> dict[str, Any]:
    return {
        "UserName": row.desired.name,
        "AccessKeyId": key.key_id,
        "Status": _STATES[key.active],
        "CreateDate": key.created_at,
    }
