"""The replication group `demo`, made through the public API so that a first start ends with something to talk to.

Runs in a thread beside the service, as any other client; waits with a bound; what goes wrong is one line, since the
service itself is fine. Called by `cachefleet up`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import msgspec
from botocore.exceptions import ClientError

from cachefleet.cli.failure import Failure, in_words
from cachefleet.clock import Clock

DEMO_ID = "demo"
REQUEST = {
    "ReplicationGroupId": DEMO_ID,
    "ReplicationGroupDescription": "A cache to try things with: one shard, one replica.",
    "Engine": "valkey",
    "CacheNodeType": "cache.t4g.micro",
    "NumCacheClusters": 2,
    "AutomaticFailoverEnabled": True,
}
WAIT_S = 60.0
LOOK_AGAIN_S = 0.1
STOP_GRACE_S = 2.0


class DemoEndpoints(msgspec.Struct, frozen=True):
    primary: str  # address
    reader: str  # address
    port: int


class Demo(threading.Thread):
    """start() it when the API listens; finish() ends its waiting and the thread."""

    def __init__(
        self, client: Any, clock: Clock, ready: Callable[[DemoEndpoints], None], failed: Callable[[str], None]
    ) -> None:
        super().__init__(name="demo", daemon=True)
        self._client = client
        self._clock = clock
        self._ready = ready
        self._failed = failed
        self._ending = threading.Event()

    def finish(self) -> None:
        self._ending.set()
        self.join(timeout=5)

    def run(self) -> None:
        try:
            found = self._make_and_wait()
        except Exception as error:
            # A service that stops closes its door first and tells us afterwards.
            if not self._ending.wait(STOP_GRACE_S):
                self._failed(in_words(error))
            return
        if found is not None:
            self._ready(found)

    def _make_and_wait(self) -> DemoEndpoints | None:
        """None when finish() was called before it was there."""
        try:
            self._client.create_replication_group(**REQUEST)
        except ClientError as error:
            if error.response["Error"]["Code"] != "ReplicationGroupAlreadyExists":
                raise
        give_up_at = self._clock.monotonic() + WAIT_S
        while not self._ending.wait(LOOK_AGAIN_S):
            group = self._client.describe_replication_groups(ReplicationGroupId=DEMO_ID)["ReplicationGroups"][0]
            if group["Status"] == "available":
                return endpoints_of(group)
            if group["Status"] == "create-failed" or self._clock.monotonic() > give_up_at:
                raise Failure(f"it is {group['Status']}; its events say why: aws elasticache describe-events")
        return None


def endpoints_of(group: dict[str, Any]) -> DemoEndpoints:
    """Pure: one ReplicationGroup of the API that is available."""
    shard = group["NodeGroups"][0]
    primary = shard["PrimaryEndpoint"]
    return DemoEndpoints(primary["Address"], shard.get("ReaderEndpoint", primary)["Address"], primary["Port"])
