"""A key pair that may sign requests, and whom it stands for.

Plain data; looked up by the function that app gives the gateway, and by whom engines are told of keys (control.iam_book).
"""

from __future__ import annotations

import msgspec

from cachefleet.policies.document import Policy


class Credential(msgspec.Struct, frozen=True):
    """arn and user_id are what STS shows. user_name and policies: of a user; the root has neither."""

    access_key_id: str
    secret_access_key: str
    account: str
    arn: str
    user_id: str
    is_root: bool = False
    user_name: str = ""
    policies: tuple[Policy, ...] = ()

    def __repr__(self) -> str:
        return f"Credential({self.access_key_id!r})"  # never the secret
