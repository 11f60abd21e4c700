"""One look at a group: processes from the host, views from the engines, who is silent, offers of addresses. Decides nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial
from typing import Any

import msgspec

from cachefleet.control.guard_book import GuardBook
from cachefleet.control.iam_book import IamBook
from cachefleet.control.load_meter import LoadMeter, Reading
from cachefleet.control.parameter_book import parameters_of
from cachefleet.control.parameter_reader import ParameterReader, Subject
from cachefleet.control.pulse import Pulse
from cachefleet.control.seams import Seams
from cachefleet.control.specs import data_bytes, node_spec
from cachefleet.control.user_book import UserBook
from cachefleet.engine_interfaces import Build, EngineDriver, NodeSpec
from cachefleet.interfaces import NoAddresses
from cachefleet.model.group import EndpointRole, GroupDesired, GroupMemory, Shape, incarnation
from cachefleet.model.observed import Address, FeedView, NodeView, Observed, ProcessView, Silence
from cachefleet.model.resource import Kind
from cachefleet.model.row import GroupRow
from cachefleet.model.transit import Issuance
from cachefleet.planning.addresses import wanted
from cachefleet.planning.endpoint_ports import reader_port
from cachefleet.planning.memcached import discovery_node
from cachefleet.planning.node_addresses import form_of, node_address
from cachefleet.planning.pending import applied
from cachefleet.planning.service_updates import offered
from cachefleet.planning.users import with_renames
from cachefleet.reference.node_types import node_type

ASK_AGAIN_S = 4.0  # a silent node: TCP's own retries would take ever longer when a network comes back, a question on a new
# connection does not


class Books(msgspec.Struct, frozen=True):
    """What is remembered of the store, and of nodes, between looks."""

    users: UserBook
    tokens: IamBook
    guards: GuardBook
    parameters: ParameterReader


async def observe(seams: Seams, pulse: Pulse, meter: LoadMeter, books: Books, row: GroupRow) -> Observed:
    desired, memory = row.desired, row.memory
    users = await books.users.users_of(row)
    parameters = await parameters_of(seams.store, row.key.scope, desired.parameter_group)
    users = with_renames(users, parameters.get("rename-commands", ""))
    pending_group = desired.pending.parameter_group if desired.pending is not None else ""
    pending_parameters = await parameters_of(seams.store, row.key.scope, pending_group) if pending_group else parameters
    rules = await books.tokens.rules_of(row, users)  # may take a moment: before, and not after, nodes are looked at
    processes = seams.host.inspect(desired.uid)
    targets = {} if desired.deleting else _targets(seams, row, processes)
    pulse.watch(desired.uid, row.key, {target.incarnation: (target.driver, target.address) for target in targets.values()})
    views = await _probe(seams, pulse, row, targets)
    reading = await _read_load(meter, row, targets, views)
    offers: dict[str, tuple[str, ...]] = {}
    no_addresses = ""
    missing = wanted(desired, memory, row.key.kind is Kind.REPLICATION_GROUP)
    if missing:
        try:
            offers = seams.host.offer(desired.uid, missing)
        except NoAddresses as error:
            no_addresses = str(error)
    return Observed(
        processes=processes,
        views=views,
        silences=_silences(pulse, desired.uid, targets, views),
        watched_s=pulse.watched_s(),
        zones_out=seams.host.zones_out(),
        offers=offers,
        feeds=_feeds(seams, row),
        no_addresses=no_addresses,
        spread=_spread(seams, desired, memory),
        can_spread=seams.host.can_spread,
        guard=seams.host.guards().get(desired.uid),
        openings=await books.guards.openings_of(row),
        counting={name: reading.counting[at.incarnation] for name, at in targets.items() if at.incarnation in reading.counting},
        loads=reading.loads,
        beside_us=reading.beside_us,
        data_bytes=_data_bytes(seams, desired, parameters),
        threads=_threads(seams, desired),
        parameters=dict(parameters),
        parameter_views=await books.parameters.views(desired.uid, _subjects(seams, row, targets, views, parameters)),
        users=users,
        iam_rules=rules,
        can_check_tokens=any(user.iam for user in users) and _can_check_tokens(seams, desired),
        issuance=_issuance(seams, targets),
        updates=offered(seams.updates, desired, seams.catalogue.builds(), seams.settings.updates),
        **_pending(seams, desired, pending_parameters),
    )


def _can_check_tokens(seams: Seams, desired: GroupDesired) -> bool:
    build = seams.catalogue.exact(desired.engine, desired.engine_version)
    return build is not None and "auth-callback" in build.capabilities and seams.has_iam_module()


def _issuance(seams: Seams, targets: Mapping[str, _Target]) -> Issuance | None:
    """Only where a node has a certificate: the authority looks into its folder for it."""
    issuer = seams.certificates
    if issuer is None or not any(target.address.transit for target in targets.values()):
        return None
    return Issuance(issuer.series, issuer.until, issuer.lead_s)


def _feeds(seams: Seams, row: GroupRow) -> dict[str, FeedView]:
    """Those of current launches; others are ended."""
    uid, nodes = row.desired.uid, row.memory.nodes
    current = {incarnation(uid, name, node.launches): name for name, node in nodes.items() if node.seeded}
    seams.transfers.forget(uid, list(current))
    return {current[launch]: view for launch, view in seams.transfers.feeds(uid).items() if launch in current}


def _subjects(
    seams: Seams,
    row: GroupRow,
    targets: Mapping[str, _Target],
    views: Mapping[str, NodeView],
    parameters: Mapping[str, str],
) -> dict[str, Subject]:
    """Nodes of the cache itself."""
    desired, subjects = row.desired, {}
    for name, target in targets.items():
        if desired.shape is Shape.MEMCACHED and name == discovery_node(row.key.name):
            continue
        known, view = row.memory.nodes[name], views[name]
        asked = (parameters, desired.node_type, known.form, desired.logs)
        answers = known.ready and view.reachable and not view.why
        spec = partial(_spec, seams, row, name, parameters)
        subjects[name] = Subject(target.incarnation, target.driver, target.address, answers, asked, spec)
    return subjects


def _spec(seams: Seams, row: GroupRow, name: str, parameters: Mapping[str, str]) -> tuple[NodeSpec, Build] | None:
    form = form_of(row.desired, row.memory.nodes[name])
    build = seams.catalogue.exact(form.engine, form.version)
    try:
        return None if build is None else (node_spec(row, name, "", None, seams.settings.node_types, parameters), build)
    except LookupError:  # the setting that declared its node type is gone
        return None


def _data_bytes(seams: Seams, desired: GroupDesired, parameters: Mapping[str, str]) -> int:
    try:
        return data_bytes(desired, seams.settings.node_types, parameters)
    except LookupError:  # the setting that declared its node type is gone
        return 0


def _threads(seams: Seams, desired: GroupDesired) -> int:
    if desired.shape is not Shape.MEMCACHED:
        return 0
    kind = node_type(desired.node_type, seams.settings.node_types)
    return max(1, kind.memcached_threads) if kind is not None else 0


def _pending(seams: Seams, desired: GroupDesired, parameters: Mapping[str, str]) -> dict[str, Any]:
    """What has to be known again of a pending change before it begins."""
    if desired.pending is None:
        return {}
    then = applied(desired, desired.pending, 0.0)
    installed = seams.catalogue.exact(then.engine, then.engine_version) is not None
    return {"pending_bytes": _data_bytes(seams, then, parameters), "pending_build": installed}


def _spread(seams: Seams, desired: GroupDesired, memory: GroupMemory) -> tuple[str, ...]:
    reader = memory.endpoints.get(EndpointRole.READER, "")
    return seams.host.spreads().get((reader, reader_port(desired, memory)), ()) if reader else ()


def driver_of(seams: Seams, row: GroupRow, node: str) -> EngineDriver:
    if row.desired.shape is not Shape.MEMCACHED:
        return seams.resp
    return seams.discovery if node == discovery_node(row.key.name) else seams.memcached


class _Target(msgspec.Struct, frozen=True):
    """A node whose current incarnation runs."""

    incarnation: str
    driver: EngineDriver
    address: Address
    clustered: bool


def _targets(seams: Seams, row: GroupRow, processes: Mapping[str, ProcessView]) -> dict[str, _Target]:
    targets = {}
    for name, node in row.memory.nodes.items():
        current = incarnation(row.desired.uid, name, node.launches)
        process = processes.get(current)
        if process is not None and process.running:
            clustered = form_of(row.desired, node).clustered
            targets[name] = _Target(current, driver_of(seams, row, name), node_address(row, name), clustered)
    return targets


def _silences(pulse: Pulse, uid: str, targets: Mapping[str, _Target], views: Mapping[str, NodeView]) -> dict[str, Silence]:
    """Of those that did not answer this look, or only that they are busy."""
    found = {}
    for name, target in targets.items():
        view = views[name]
        busy = pulse.busy(uid, target.incarnation, view.busy_reply)
        silence = busy if view.reachable else pulse.silence(uid, target.incarnation)
        if silence is not None:
            found[name] = silence
    return found


async def _probe(seams: Seams, pulse: Pulse, row: GroupRow, targets: Mapping[str, _Target]) -> dict[str, NodeView]:
    """All at once. One that owes us an answer is rarely asked again: that would only hold up the others' failover."""
    rules = seams.settings.control

    async def probe(target: _Target) -> NodeView:
        owes_s = pulse.owes_answer_s(row.desired.uid, target.incarnation)
        if owes_s % ASK_AGAIN_S >= rules.pulse_interval_s:
            return NodeView(reachable=False, why=f"has not answered for {owes_s:.1f} s")
        try:
            async with asyncio.timeout(rules.probe_timeout_s):
                return await target.driver.probe(target.address, target.clustered)
        except TimeoutError:
            return NodeView(reachable=False, why=f"did not answer within {rules.probe_timeout_s:g} s")

    return dict(zip(targets, await asyncio.gather(*map(probe, targets.values())), strict=True))


async def _read_load(meter: LoadMeter, row: GroupRow, targets: Mapping[str, _Target], views: Mapping[str, NodeView]) -> Reading:
    """Only while somebody wants to know, which costs nothing at other times. Who did not answer just now is not asked: no
    failover waits for what a silent node does not tell."""
    memory, uid = row.memory, row.desired.uid
    silent = {target.incarnation for name, target in targets.items() if not views[name].reachable}
    if memory.balancing is not None and memory.balancing.measuring:
        primaries = [memory.shards[shard.shard_id].primary for shard in row.desired.shards if shard.shard_id in memory.shards]
        if all(name in targets for name in primaries):
            return await meter.measure(uid, {targets[name].incarnation: targets[name].address for name in primaries}, silent)
    told = [target for name, target in targets.items() if memory.nodes[name].counts_load and target.incarnation not in silent]
    if told:
        return await meter.counting(uid, {target.incarnation: target.address for target in told})
    meter.forget(uid)
    return Reading()
