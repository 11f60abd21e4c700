"""What the audit log says of a call: who did what, when, from where, and how it ended, in CloudTrail's field names.

Secrets are masked, long values cut. Decides what is worth a record, and writes nothing itself. Called by the gateway.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from cachefleet.clock import Clock, Entropy
from cachefleet.policies.credential import Credential
from cachefleet.protocol.service import clip

Record = dict[str, Any]

HIDDEN = "HIDDEN_DUE_TO_SECURITY_REASONS"  # CloudTrail's word
UNVERIFIED = "UnverifiedCall"  # eventName where it is not proven whose request it is: what it asks for may be anything
UNKNOWN = "UnknownCall"  # ... where it asks for no operation that there is
UNVERIFIED_PER_MINUTE = 60  # more of them are only counted: nobody without a key can fill the log
_SECRET = frozenset(
    {"authtoken", "password", "passwords", "secretaccesskey", "sessiontoken"} | {"endpoint", "message", "token"}  # SNS's
)
_IN_ACCESS_STRING = re.compile(r"[<>]\S+")
_SHORTEST_SECRET = 4  # that is searched for in messages
_TEXT = 1024
_ITEMS = 100
_PARAMETERS_BYTES = 16_384
_REPLY_MEMBERS = 30
_READ_ONLY = ("Describe", "Filter", "Get", "List")


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """credential: None of a caller who has not proven who it is; access_key_id: as claimed. parameters, reply: None where it
    did not come to that."""

    request_id: str
    service: str
    operation: str
    region: str
    source_address: str
    user_agent: str
    access_key_id: str
    credential: Credential | None
    parameters: Mapping[str, Any] | None
    reply: Mapping[str, Any] | None
    error_code: str = ""
    error_message: str = ""


class Auditor:
    """Turns calls into records. write must not wait."""

    def __init__(
        self, write: Callable[[Record], None], clock: Clock, entropy: Entropy, account: str, *, reads: bool = True
    ) -> None:
        """reads: whether calls that change nothing are recorded."""
        self._write = write
        self._clock = clock
        self._entropy = entropy
        self._account = account
        self._reads = reads
        self._room = float(UNVERIFIED_PER_MINUTE)
        self._room_at = clock.monotonic()
        self._left_out = 0

    def tell(self, call: Call) -> None:
        if call.credential is None:
            if not self._has_room():
                self._left_out += 1
                return
        elif not self._reads and _is_read_only(call.operation) and not call.error_code:
            return
        record = record_of(call, self._clock.now(), self._account, self._entropy.hex(16))
        if self._left_out:
            record["additionalEventData"] = {"unverifiedCallsNotRecorded": self._left_out}
            self._left_out = 0
        self._write(record)

    def _has_room(self) -> bool:
        now = self._clock.monotonic()
        gained = (now - self._room_at) * UNVERIFIED_PER_MINUTE / 60
        self._room, self._room_at = min(float(UNVERIFIED_PER_MINUTE), self._room + gained), now
        if self._room < 1:
            return False
        self._room -= 1
        return True


def record_of(call: Call, now: float, account: str, event_id: str) -> Record:
    """Pure. now: epoch seconds. event_id: 32 hexadecimal digits."""
    reads = _is_read_only(call.operation)
    record: Record = {
        "eventVersion": "1.09",
        "userIdentity": _identity(call),
        "eventTime": datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "eventSource": f"{call.service}.amazonaws.com" if call.service != "cachefleet" else "cachefleet",
        "eventName": (call.operation or UNKNOWN) if call.credential else UNVERIFIED,
        "awsRegion": call.region,
        "sourceIPAddress": call.source_address,
        "userAgent": clip(call.user_agent, 256),
        "requestParameters": _bounded(masked(call.parameters)) if call.parameters else None,
        "responseElements": _short(call.reply) if call.reply and not reads else None,
        "requestID": call.request_id,
        "eventID": f"{event_id[:8]}-{event_id[8:12]}-{event_id[12:16]}-{event_id[16:20]}-{event_id[20:]}",
        "readOnly": reads,
        "eventType": "AwsApiCall",
        "managementEvent": True,
        "recipientAccountId": call.credential.account if call.credential else account,
        "eventCategory": "Management",
    }
    if call.error_code:
        record["errorCode"] = call.error_code
        record["errorMessage"] = clip(_without_secrets(call.error_message, call.parameters), _TEXT)
    return record


def _is_read_only(operation: str) -> bool:
    return operation.startswith(_READ_ONLY)


def _identity(call: Call) -> Record:
    found = call.credential
    if found is None:
        return {"type": "Unknown", "accessKeyId": call.access_key_id}
    if ":assumed-role/" in found.arn:  # the service's own, which has no key
        return {
            "type": "AssumedRole",
            "principalId": found.user_id,
            "arn": found.arn,
            "accountId": found.account,
            "invokedBy": call.source_address,
        }
    identity = {
        "type": "Root" if found.is_root else "IAMUser",
        "principalId": found.user_id,
        "arn": found.arn,
        "accountId": found.account,
        "accessKeyId": found.access_key_id,
    }
    return identity if found.is_root else {**identity, "userName": found.user_name}


def masked(value: Any, name: str = "") -> Any:
    """Members as CloudTrail spells them, without secrets; long texts and lists are cut. name: of the member."""
    if isinstance(value, Mapping):
        return {_spelled(key): masked(item, key) for key, item in value.items()}
    if name.lower() in _SECRET and value not in (None, "", []):
        return HIDDEN
    if isinstance(value, list | tuple):
        return [masked(item, name) for item in value[:_ITEMS]]
    if isinstance(value, str):
        shown = _IN_ACCESS_STRING.sub(HIDDEN, value) if name.lower() == "accessstring" else value
        return clip(shown, _TEXT)
    return value if value is None or isinstance(value, bool | int | float) else clip(str(value), _TEXT)


def _spelled(name: str) -> str:
    return name[:1].lower() + name[1:]


def _bounded(parameters: Any) -> Any:
    size = len(msgspec.json.encode(parameters))
    if size <= _PARAMETERS_BYTES:
        return parameters
    return {"omitted": True, "originalSize": size, "reason": "requestParameters are too large"}


def _short(reply: Mapping[str, Any]) -> Record:
    """Its single values, and those of the structures in it; no lists, nothing deeper."""
    shown: Record = {}
    for name, value in list(reply.items())[:_REPLY_MEMBERS]:
        if isinstance(value, Mapping):
            single = {key: item for key, item in list(value.items())[:_REPLY_MEMBERS] if isinstance(item, str | int | float)}
            shown[_spelled(name)] = masked(single)
        elif isinstance(value, str | int | float):
            shown[_spelled(name)] = masked(value, name)
    return shown


def _without_secrets(message: str, parameters: Mapping[str, Any] | None) -> str:
    for secret in _secrets_in(parameters, ""):
        if len(secret) >= _SHORTEST_SECRET:
            message = message.replace(secret, HIDDEN)
    return message


def _secrets_in(value: Any, name: str) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _secrets_in(item, key)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _secrets_in(item, name)
    elif isinstance(value, str) and name.lower() in _SECRET:
        yield value
