"""The parts of a service: constructs the store, the host, the drivers and the controller, each with what it needs.

Called by service, which adds the gateway and ends all of them in order.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from functools import partial

import msgspec

import cachefleet.api.operations  # noqa: F401  (registers them)
from cachefleet.app.access_keys import AccessKeys
from cachefleet.app.certificate_authority import AuthorityUnusable, CertificateAuthority
from cachefleet.app.engine_passwords import DerivedPasswords
from cachefleet.app.installation import Credentials, Installation, ServiceLock
from cachefleet.app.loadable_module import LoadableModule
from cachefleet.app.sealing import KeySealer
from cachefleet.app.seen_builds import remember_builds
from cachefleet.app.services import Membership, is_dead
from cachefleet.app.transfers import WorkerTransfers
from cachefleet.clock import Clock, SystemEntropy
from cachefleet.control.controller import Controller
from cachefleet.control.leadership import Leadership
from cachefleet.control.seams import Seams
from cachefleet.engines.catalogue import BUILT_FOLDER, InstalledEngines
from cachefleet.engines.clients_module import CLIENTS_SOURCE
from cachefleet.engines.config_module import CONFIG_SOURCE
from cachefleet.engines.discovery import DiscoveryDriver, node_list_file
from cachefleet.engines.iam_module import IAM_SOURCE
from cachefleet.engines.memcached import MemcachedDriver
from cachefleet.engines.trace_module import TRACE_SOURCE
from cachefleet.engines.trust import Trust
from cachefleet.engines.valkey import ValkeyDriver
from cachefleet.hosts.local import LocalHost
from cachefleet.metrics.instruments import Instruments
from cachefleet.model.span import Trace
from cachefleet.planning.service_updates import ServiceUpdate, service_updates
from cachefleet.policies.credential import Credential
from cachefleet.settings import Settings
from cachefleet.snapshot_interfaces import TransferFailed, Transfers
from cachefleet.store import SqlStore, open_store
from cachefleet.telemetry.collector import Sources


class StartFailed(Exception):
    """The service cannot start; the message says what to change."""


class Folder(msgspec.Struct, frozen=True):
    """What this service has in its data folder."""

    installation: Installation
    credentials: Credentials
    lock: ServiceLock
    member: Membership

    def lost(self) -> bool:
        return self.lock.lost() or self.member.lost()


class Parts(msgspec.Struct, frozen=True):
    """What a service consists of, but for its gateway."""

    store: SqlStore
    host: LocalHost
    catalogue: InstalledEngines
    leadership: Leadership
    controller: Controller
    transfers: Transfers
    certificates: CertificateAuthority
    sealer: KeySealer
    keys: AccessKeys
    iam_module: LoadableModule
    config_module: LoadableModule
    sources: Sources
    resp: ValkeyDriver
    updates: tuple[ServiceUpdate, ...]


async def refuses_key(transfers: Transfers, name: str) -> str:
    """Context.refuses_key."""
    try:
        await transfers.newest_key(name)
    except TransferFailed as error:
        return str(error)
    return ""


async def assemble(
    settings: Settings, folder: Folder, clock: Clock, stack: AsyncExitStack, instruments: Instruments, trace: Trace
) -> Parts:
    """Whatever has to be closed is, with the stack. Raises as _open."""
    store = await _open(settings, folder.installation, clock, instruments)
    stack.push_async_callback(store.close)
    leadership = Leadership(
        store,
        clock,
        folder.member.holder,
        settings.control.lease_s,
        is_dead=partial(is_dead, settings.data_dir),
        sole=not store.shared,
        changed=folder.member.leads,
    )
    host = LocalHost(settings.data_dir, settings.host, clock, permit=leadership.permit)
    stack.push_async_callback(host.close)
    entropy = SystemEntropy()
    sealer = KeySealer.of(settings.data_dir, entropy)
    keys = AccessKeys(_root(settings, folder.credentials), store, sealer, clock)
    iam_module = LoadableModule(settings.data_dir, IAM_SOURCE, "engines cannot check IAM tokens")
    config_module = LoadableModule(settings.data_dir, CONFIG_SOURCE, "engines cannot give clients part of CONFIG")
    trace_module = LoadableModule(settings.data_dir, TRACE_SOURCE, "engines cannot sample which keys are used")
    clients_module = LoadableModule(settings.data_dir, CLIENTS_SOURCE, "engines cannot rename commands")
    catalogue = InstalledEngines(settings.engines, built=settings.data_dir / BUILT_FOLDER)
    updates = service_updates(await remember_builds(store, catalogue, clock), catalogue.builds(), settings.updates)
    passwords = DerivedPasswords.of(settings.data_dir)
    certificates = _certificates(settings, clock)
    trust = Trust(certificates.authorities)
    resp = ValkeyDriver(settings.control.cluster_node_timeout_ms, leadership.permit, passwords, trust)
    memcached, discovery = MemcachedDriver(trust=trust), DiscoveryDriver(trust=trust)
    transfers = WorkerTransfers(settings.data_dir, settings.archive, clock, passwords, certificates.authorities, host.children)
    for close in (resp.close, memcached.close, discovery.close, transfers.close):
        stack.push_async_callback(close)
    seams = Seams(
        store=store,
        authority=leadership,
        host=host,
        catalogue=catalogue,
        resp=resp,
        memcached=memcached,
        discovery=discovery,
        node_list_file=node_list_file,
        transfers=transfers,
        clock=clock,
        entropy=entropy,
        settings=settings,
        holders=keys,
        iam_module=iam_module.file,
        has_iam_module=iam_module.is_there,
        config_module=config_module.file,
        trace_module=trace_module.file,
        clients_module=clients_module.file,
        certificates=certificates,
        updates=updates,
        shared_store=store.shared,
        instruments=instruments,
        trace=trace,
    )
    sources = _sources(seams, host, leadership)
    return Parts(
        store, host, catalogue, leadership, Controller(seams), transfers, certificates, sealer, keys, iam_module,
        config_module, sources, resp, updates,
    )  # fmt: skip


def _sources(seams: Seams, host: LocalHost, leadership: Leadership) -> Sources:
    return Sources(
        store=seams.store,
        machine=host,
        resp=seams.resp,
        memcached=seams.memcached,
        clock=seams.clock,
        settings=seams.settings,
        permit=leadership.permit,
        instruments=seams.instruments,
    )


def _certificates(settings: Settings, clock: Clock) -> CertificateAuthority:
    """Raises StartFailed."""
    try:
        return CertificateAuthority.of(settings.data_dir, settings.transit, clock)
    except AuthorityUnusable as error:
        raise StartFailed(f"encryption in transit: {error}") from None


async def _open(settings: Settings, installation: Installation, clock: Clock, instruments: Instruments) -> SqlStore:
    """Raises StoreError; StartFailed for a database whose caches live in another data folder."""
    url = settings.database_url or f"sqlite+aiosqlite:///{settings.data_dir / 'cachefleet.db'}"
    store = await open_store(url, clock, instruments.transactions)
    if settings.database_url:
        try:
            owner, place = await store.claim(installation.identity, str(settings.data_dir))
            if owner != installation.identity:
                raise StartFailed(
                    f"the caches of this database belong to the data folder {place}; with {settings.data_dir} each would be "
                    f"started a second time. Use --data {place}. If that folder is lost and none of its caches runs any more: "
                    f"write {owner} to {settings.data_dir / 'installation'}"
                )
        except BaseException:
            await store.close()
            raise
    return store


def _root(settings: Settings, credentials: Credentials) -> Credential:
    """The first user, whose key the data folder has; all others are rows."""
    return Credential(
        access_key_id=credentials.access_key_id,
        secret_access_key=credentials.secret_access_key,
        account=settings.account,
        arn=f"arn:aws:iam::{settings.account}:root",
        user_id=settings.account,
        is_root=True,
    )
