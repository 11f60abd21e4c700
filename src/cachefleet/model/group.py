"""A group: what users asked for (desired), what the planner remembers (memory), what is shown (status).

One row holds one group: a replication group, a standalone cluster or a Memcached cluster, with all its nodes. Members that
DescribeCacheClusters shows are projections of that row.
"""

from __future__ import annotations

import hashlib
from enum import StrEnum

import msgspec

from cachefleet.model import snapshot_file
from cachefleet.model.access import Admitted, AuthTokens
from cachefleet.model.log_delivery import LogDelivery
from cachefleet.model.pending import PendingChange, ScaleConfig
from cachefleet.model.service_update import AskedUpdate, UpdateCourse
from cachefleet.model.snapshot_file import Restore

SLOTS = 16384
SlotRanges = snapshot_file.SlotRanges


class Engine(StrEnum):
    VALKEY = "valkey"
    REDIS = "redis"
    MEMCACHED = "memcached"


class Shape(StrEnum):
    """How the nodes of a group hang together."""

    REPLICATED = "replicated"  # cluster mode disabled: one shard, a primary and 0-5 replicas (also a standalone node)
    CLUSTERED = "clustered"  # cluster mode enabled: slots over shards
    MEMCACHED = "memcached"  # independent nodes and a configuration endpoint


class EndpointRole(StrEnum):
    """Addresses that clients are given and that outlive nodes."""

    PRIMARY = "primary"
    READER = "reader"
    CONFIGURATION = "configuration"
    NODE = "node"  # of a standalone node: the address that it began with, once it goes to whoever has the role


# --- desired -------------------------------------------------------------------------------------------------------


class DesiredNode(msgspec.Struct, frozen=True):
    """A node that ought to exist.

    name: unique in the account and region, never reused inside the group while the node lives: the member cluster id
    (`demo-001`, `demo-0002-003`, or a standalone cluster's id), for Memcached `<cluster id>.<cache node id>`.
    """

    name: str
    node_id: str  # CacheNodeId: "0001" for Valkey and Redis, "0001".. for Memcached
    zone: str
    created_at: float  # epoch seconds
    reboots: int = 0  # how often a reboot was asked for; the planner works off the difference to its memory
    tags: dict[str, str] = {}


class DesiredShard(msgspec.Struct, frozen=True):
    """shard_id "0001".."9999"; slots empty unless the group is clustered. nodes[0] is the first primary."""

    shard_id: str
    nodes: tuple[DesiredNode, ...]
    slots: SlotRanges = ()  # those that it shall own; which it owns is in GroupMemory.slots
    leaving: bool = False  # it shall own none; when that is so, the planner takes the shard out of the group
    handovers: int = 0  # how often a planned hand-over of the primary role was asked for; worked off as reboots are
    handover_to: str = ""  # to which node the last of them goes; "" any replica


class GroupDesired(msgspec.Struct, frozen=True, kw_only=True):
    """What users asked for. Written by the API only (the controller deletes the row when a deletion is done)."""

    uid: str  # random, unique for ever; begins every incarnation id of the group
    shape: Shape
    engine: Engine
    engine_version: str  # full version of the installed build, such as "9.1.2"
    node_type: str  # "cache.t4g.micro"
    port: int
    shards: tuple[DesiredShard, ...]  # exactly one for REPLICATED and MEMCACHED
    parameter_group: str
    subnet_group: str
    description: str = ""
    automatic_failover: bool = False
    multi_az: bool = False
    cluster_mode: str = "disabled"  # disabled | compatible | enabled
    at_rest_encryption: bool = False
    auto_minor_version_upgrade: bool = True
    maintenance_window: str = ""
    snapshot_window: str = ""
    snapshot_retention_days: int = 0
    notification_topic: str = ""
    notification_active: bool = True
    security_groups: tuple[str, ...] = ()
    network_type: str = "ipv4"
    ip_discovery: str = "ipv4"
    az_mode: str = ""  # Memcached: single-az | cross-az
    created_at: float = 0.0
    deleting: bool = False
    rebalances: int = 0  # how often slots were to be rebalanced by load; worked off as reboots are
    pending: PendingChange | None = None  # what waits for the maintenance window
    scale: ScaleConfig | None = None  # Memcached: how the change of its node type that is under way goes on
    snapshotting: str = ""  # the snapshot that is being made of it; everything else waits meanwhile
    final_snapshot: str = ""  # the snapshot after which the group is deleted, while it is snapshotting
    snapshotting_cluster: str = ""  # the member that automatic snapshots are taken of, "" whichever is best
    restore: Restore | None = None  # what it is filled with before it is available for the first time, or while it is refilled
    saved: Restore | None = None  # what it had when it was saved for a stop of everything (planning.refilling)
    transit: str = ""  # encryption in transit: "" none, "preferred" with TLS or without, "required" with TLS only
    auth: AuthTokens | None = None  # what clients show that use no user name; None nothing
    user_group: str = ""  # whom it lets in, "" everybody (or who shows what auth says)
    gentle: bool = False  # slots move slowly, so that clients hardly feel it
    config: str = ""  # what its clients get of CONFIG (model.config_access)
    logs: tuple[LogDelivery, ...] = ()  # which of its logs go where
    update: AskedUpdate | None = None  # the service update that brings engine_version, or brought it
    key_name: str = ""  # of the keyring: what its snapshots are encrypted with, "" the default key where they are encrypted

    @property
    def nodes(self) -> tuple[DesiredNode, ...]:
        """Every node, shard by shard."""
        return tuple(node for shard in self.shards for node in shard.nodes)


# --- memory --------------------------------------------------------------------------------------------------------


class Form(msgspec.Struct, frozen=True):
    """What a launch is made of and cannot change while it runs. A node whose form is not the one that its group asks for has
    to be launched anew."""

    engine: Engine
    version: str  # as GroupDesired.engine_version
    port: int
    clustered: bool = False  # cluster-enabled yes
    transit: str = ""  # as GroupDesired.transit
    config: bool = False  # with the module that clients need for their part of CONFIG


class NodeMemory(msgspec.Struct):
    """What must be remembered of one node and cannot be seen again."""

    zone: str
    address: str = ""  # kept for the node's whole life
    form: Form | None = None  # of the current launch; None before the first
    used_bytes: int = 0  # memory that its data take, in coarse steps, so that an idle group is not written anew
    launches: int = 0  # how often it was started; the incarnation is `<uid>.<name>.<launches>`, "" before the first
    launches_before: int = 0  # of those, how many were of an earlier node with this name
    launched_at: float = 0.0
    ended_at: float = 0.0  # when its process was first seen to be gone, 0 while it runs
    end_unseen: bool = False  # nobody watched when it ended: it may have been long before ended_at
    failures: int = 0  # launches in a row that never answered
    failure: str = ""  # how the last of them failed, for people
    retry_at: float = 0.0  # no launch before
    seeded: bool = False  # its current launch loads what the group is restored from
    feed_at: float = 0.0  # when somebody was told to feed it, 0 before
    fed_at: float = 0.0  # when it was first seen to have been given everything, 0 before
    reboots: int = 0  # of DesiredNode.reboots, how many were begun
    reboot_of: int = 0  # the launch that the last reboot has to end; 0 when that reboot is done
    roll_of: int = 0  # the launch that ends because the group has another form now; 0 when the next one is ready
    engine_id: str = ""  # cluster-bus node id of the current incarnation
    ready: bool = False  # was ready in the last pass
    became_ready: bool = False  # the current incarnation was ready once
    held_data: bool = False  # a replica: it said once that it has data; a full sync that is broken off leaves it what it had
    ready_at: float = 0.0  # when that was, 0 before
    lagging_since: float = 0.0  # a replica: since when it is seen not to get every write at once, 0 while it does
    given_up: int = 0  # the launch that was silent for too long and has to end; 0 none
    syncs_from: int = -1  # a replica that is not in sync: how many full syncs its primary had begun when that began, -1 none
    syncs_of: str = ""  # that primary
    buffer_percent: int = 0  # a primary: what its buffers for replicas were raised to (planning.resync), 0 not
    recovering: bool = False  # users were told that it is being recovered, and not yet that it is done
    introduced: bool = False  # users know that it is there, by an event of its own or by its group's creation
    counts_load: bool = False  # its current launch was told to count what each slot costs, and not seen to have stopped
    left_at: float = 0.0  # a Memcached node whose launch is to end: since when it is not in the published list, 0 before
    lacks_parameters: bool = False  # its parameter group says what only another launch brings
    checks_no_tokens: bool = False  # its current launch was seen not to be able to, while there are users with IAM
    met_again_at: float = 0.0  # when others that had forgotten it (cluster mode) were told of it again, 0 never


class ShardMemory(msgspec.Struct):
    primary: str = ""  # name of the node that holds (or is being given) the primary role
    epoch: int = 0  # of that decision
    decided_at: float = 0.0  # when it was made
    taken: bool = False  # the role was seen to be taken since
    claimant: str = ""  # cluster-bus node id for which that epoch was chosen to claim slots
    temporary: bool = False  # it has one replica more for as long as its only node is changed (planning.temporaries)
    previous: str = ""  # who had the role before that decision; told when the role is taken
    handovers: int = 0  # of DesiredShard.handovers, how many are done
    handing_from: str = ""  # who had the role when a hand-over was begun that is not done yet
    return_to: str = ""  # the node that shall be primary again once it is back in sync (reboot; failover off)
    headless: bool = False  # the primary has ended and no replica qualifies: somebody has to choose one
    balanced_at: float = 0.0  # when its role was last handed over so that zones are even, 0 never
    restored: bool = False  # its primary has loaded what the group is restored from, all of it
    restored_keys: int = -1  # and so many keys those are, expired ones included; -1 not known


class SlotMove(msgspec.Struct):
    """Slots that are on their way from one shard to another. They count as the source's until the target is seen to own them;
    saved before anything is moved."""

    slots: SlotRanges
    source: str  # shard ids
    target: str
    begun_at: float
    job: str = ""  # the engine's name of the migration, once it was seen (engines with atomic migration)
    remaining_bytes: int = -1  # what it still has to send, -1 not known
    progressed_at: float = 0.0  # when it was last seen to get on
    stage: str = ""  # the engine's word for how far its job is
    by_keys: bool = False  # slots one by one, with their keys; else by jobs of the engines
    gentle: bool = False  # that is so for the group's pace only
    failures: int = 0  # attempts in a row that came to nothing
    refusal: str = ""  # what was said to the last of these


class LoadBalancing(msgspec.Struct):
    """A rebalancing by load that is under way: the load is measured, slots move, it is measured again."""

    asked: int  # GroupDesired.rebalances when it began
    begun_at: float  # of the measurement that is under way
    measuring: bool = True
    before: dict[str, float] = {}  # shard id -> its part of the load as measured first, 0 to 1; empty until then
    expected: dict[str, float] = {}  # and as it was to become
    moved: int = 0  # how many slots that takes


class Settled(msgspec.Struct, frozen=True):
    """What a group was when nothing was left to change last: the way back of a change that fails, and what changed since."""

    form: Form
    parameter_group: str
    subnet_group: str
    node_type: str
    config: str = ""


class GroupMemory(msgspec.Struct):
    """Written by the controller only, before any effect that depends on it."""

    nodes: dict[str, NodeMemory] = {}
    shards: dict[str, ShardMemory] = {}
    endpoints: dict[str, str] = {}  # EndpointRole -> address
    slots: dict[
        str, SlotRanges
    ] = {}  # shard id -> slots that it owns by our books; every slot once. Empty before the first look
    moves: list[SlotMove] = []
    rebalances: int = 0  # of GroupDesired.rebalances, how many are done
    balancing: LoadBalancing | None = None  # the one that is under way
    slots_to_move: int = 0  # how many had to change their owner when that began; 0 when none had
    strays_since: float = 0.0  # since when slots are half moved that no move is journaled for, 0 while there are none
    slots_held_since: float = 0.0  # since when no slot can move for lack of room, 0 while that is not so
    settled: Settled | None = None  # None before it was available once
    departed: dict[str, int] = {}  # names of nodes that have left -> their launches, which a new one of that name goes on from
    endpoint_holder: str = ""  # the node that was last seen to listen on the reader or configuration endpoint
    mode: str = ""  # the cluster mode that the group was in when nothing was left to change last; "" before
    other_databases: bool = False  # there are keys outside database 0
    encrypted_links: bool = False  # the nodes reach each other with TLS; all of them can
    epoch: int = 0  # rises with every decision on a role
    provisioned: bool = False  # was available once
    refilling: bool = False  # shards that have lost their nodes are filled with what was saved for a stop of everything
    failure: str = ""  # why creation was given up
    unrestorable: bool = False  # that was because of what it was to be restored from
    settled_nodes: int = 0  # how many nodes it had when all of them were ready last and none was to go, 0 before
    settled_shards: int = 0  # and how many shards, 0 before
    lacks_addresses: bool = False  # users were told that there are none for its new nodes
    guarded_by: tuple[str, ...] | None = None  # the security groups that were in force last, None not known
    renewing: bool = False  # certificates were to be renewed, and users are not told yet that it is done
    strangers_since: float = 0.0  # since when nodes that are not ours are seen in the cluster, 0 while there are none
    strangers: tuple[str, ...] = ()  # their hosts, as users were told last
    scaling: tuple[str, ...] = ()  # Memcached nodes that get another size at present, where that is done in portions
    scaled_at: float = 0.0  # when the last such portion was done, 0 before
    proof_at: float = 0.0  # when a snapshot of it was last restored as a proof that it can be, 0 never
    proof_why: str = ""  # why it could not, "" when it could
    admitted: Admitted | None = None  # None before the first look
    parameters: dict[str, str] = {}  # what its parameter group set when all nodes had that last
    updates: list[UpdateCourse] = []  # newer versions of the engine that it is given, or was given in the last days
    offered_update: str = ""  # the newest service update of which users were told
    node_list_version: int = 0  # Memcached auto discovery
    node_list: tuple[str, ...] = ()  # node names last published
    node_list_hosts: tuple[str, ...] = ()  # and where they were

    @property
    def unfilled(self) -> bool:
        """It has no data but those of shards that have been restored: it was never available, or is being refilled."""
        return self.refilling or not self.provisioned


def incarnation(uid: str, node_name: str, launches: int) -> str:
    """The id of one launch of a node. Never reused: uid is random, launches only rises and is saved before the launch."""
    return f"{uid}.{node_name}.{launches}"


def stand_in(uid: str, host: str) -> str:
    """The engine id under which cluster nodes know a primary at this host that is no cluster node (engines.stand_ins)."""
    return hashlib.sha1(f"{uid} {host}".encode(), usedforsecurity=False).hexdigest()


# --- status --------------------------------------------------------------------------------------------------------


IN_SYNC, APPLYING, PENDING_REBOOT = "in-sync", "applying", "pending-reboot"  # ParameterApplyStatus


class NodeStatus(msgspec.Struct, frozen=True):
    state: str  # creating | available | modifying | rebooting | deleting | failed | recovering
    address: str = ""
    role: str = ""  # primary | replica, "" when not known or Memcached
    why: str = ""  # why it is not available
    port: int = 0  # on which its current launch listens; 0 the group's
    parameters: str = IN_SYNC  # whether it has what its parameter group says


class GroupStatus(msgspec.Struct, frozen=True):
    """What DescribeReplicationGroups and DescribeCacheClusters show; computed anew on every pass."""

    state: str = "creating"  # creating | available | modifying | deleting | create-failed | rebooting | ...
    nodes: dict[str, NodeStatus] = {}
    endpoints: dict[str, str] = {}  # EndpointRole -> address, only those that lead somewhere
    why: str = ""  # why it is not available, for people
    ports: dict[str, int] = {}  # EndpointRole -> port, where that is not the group's (yet)
