"""What an operation is given besides its input: who calls, and the seams it may use. Never an engine, never a host."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import msgspec

from cachefleet.access_interfaces import AccessReading, AccessUnread, Sealer
from cachefleet.clock import Clock, Entropy
from cachefleet.engine_interfaces import Build, Catalogue
from cachefleet.interfaces import Store
from cachefleet.log_interfaces import LogStore
from cachefleet.metric_interfaces import Metrics, NoMetrics
from cachefleet.model.resource import Key, Scope
from cachefleet.planning.service_updates import ServiceUpdate
from cachefleet.policies.document import Policy
from cachefleet.settings import Settings
from cachefleet.usage_interfaces import UsageLedger


class Caller(msgspec.Struct, frozen=True):
    """Who signed the request. arn and user_id as STS shows them. is_root: may do everything; anybody else what the policies let
    pass. source_address: where the request came from, "" not known."""

    account: str
    region: str
    access_key_id: str
    arn: str
    user_id: str
    request_id: str = ""
    is_root: bool = False
    user_name: str = ""  # of a user
    policies: tuple[Policy, ...] = ()
    source_address: str = ""
    user_agent: str = ""


async def any_token() -> str:
    return ""


async def any_key(name: str) -> str:
    """Context.refuses_key where nobody knows better."""
    return ""


async def no_reader(access_strings: Sequence[str], builds: Sequence[Build]) -> list[AccessReading]:
    """Context.read_access where there is no engine to ask."""
    raise AccessUnread("this installation reads no access strings")


class Context(msgspec.Struct, frozen=True, kw_only=True):
    caller: Caller
    store: Store
    clock: Clock
    entropy: Entropy
    settings: Settings
    catalogue: Catalogue
    refuses: Callable[[int, int], str]  # (more nodes, bytes) -> why they cannot run, "" when they can: Host.refuses
    wake: Callable[[Key], None]  # tell the controller that this row changed (after the transaction)
    sealer: Sealer
    users_changed: Callable[[], None] = lambda: None  # users, keys or policies are not what they were (after the transaction)
    refuses_key: Callable[[str], Awaitable[str]] = any_key  # why the key of this name cannot be used, "" when it can
    refuses_tokens: Callable[[], Awaitable[str]] = any_token  # why engines here cannot check IAM tokens, "" when they can
    refuses_config: Callable[[], Awaitable[str]] = any_token  # why clients cannot get part of CONFIG here, "" when they can
    unguarded: Callable[[], str] = lambda: ""  # why security groups are not enforced here, "" when they are
    network: int = 0  # N of the 127.N.0.0/16 in which nodes have their addresses
    # access_interfaces.AccessStrings.read
    read_access: Callable[[Sequence[str], Sequence[Build]], Awaitable[list[AccessReading]]] = no_reader
    metrics: Metrics = NoMetrics()
    logs: LogStore | None = None  # None where no logs are kept
    usage: UsageLedger | None = None  # None where no nodes are counted
    updates: tuple[ServiceUpdate, ...] = ()  # the service updates that there are
    shared: bool = False  # the controller may be another service's: leave word in the transaction, too

    @property
    def scope(self) -> Scope:
        return Scope(self.caller.account, self.caller.region)
