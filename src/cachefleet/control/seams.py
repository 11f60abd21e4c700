"""What the controller is given to act with: the host, the engine drivers, the store. Everything concrete is injected."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import msgspec

from cachefleet.access_interfaces import Certificates
from cachefleet.clock import Clock, Entropy
from cachefleet.engine_interfaces import Catalogue, EngineDriver, RespDriver
from cachefleet.interfaces import Host, Store
from cachefleet.metrics.instruments import Instruments
from cachefleet.model.observed import Address
from cachefleet.model.span import Trace, untraced
from cachefleet.planning.service_updates import ServiceUpdate
from cachefleet.policies.credential import Credential
from cachefleet.settings import Settings
from cachefleet.snapshot_interfaces import Transfers


class NodeListFile(Protocol):
    """Renders the file that a Memcached configuration endpoint serves."""

    def __call__(self, address: Address, version: int, nodes: Sequence[tuple[str, int]]) -> bytes: ...


class Authority(Protocol):
    """Whether this control plane may act, among all that share a store."""

    def token(self) -> int:
        """The fencing token to act under. Cheap. Raises Deposed when there is none, or may be none, at this instant."""


class Holders(Protocol):
    """Who may sign requests, and tokens."""

    async def all(self) -> Sequence[Credential]:
        """With every access key that is not switched off, the root's included; a few seconds old at most. Raises StoreError."""


async def no_module() -> str:
    return ""


class Nobody:
    """Holders where there are none."""

    async def all(self) -> Sequence[Credential]:
        return ()


class Seams(msgspec.Struct, frozen=True, kw_only=True):
    store: Store
    authority: Authority
    host: Host
    catalogue: Catalogue
    resp: RespDriver  # Valkey and Redis: a group may have nodes of both while it is upgraded
    memcached: EngineDriver
    discovery: EngineDriver  # the process behind a Memcached configuration endpoint
    node_list_file: NodeListFile
    transfers: Transfers
    clock: Clock
    entropy: Entropy
    settings: Settings
    certificates: Certificates | None = None  # None: there is no encryption in transit
    holders: Holders = Nobody()
    iam_module: Callable[[], Awaitable[str]] = no_module  # path of what checks IAM tokens in engines; "" where it cannot be
    has_iam_module: Callable[[], bool] = lambda: False  # whether that was made; cheap
    config_module: Callable[[], Awaitable[str]] = no_module  # path of what gives clients part of CONFIG; "" where it cannot be
    trace_module: Callable[[], Awaitable[str]] = no_module  # path of what samples which keys are used; "" where it cannot be
    clients_module: Callable[[], Awaitable[str]] = no_module  # path of what renames commands for clients; "" where it cannot be
    updates: tuple[ServiceUpdate, ...] = ()  # the service updates that there are
    shared_store: bool = False  # others write to it, too, and leave word there
    instruments: Instruments = msgspec.field(default_factory=Instruments)
    trace: Trace = untraced
