"""What probes and the host just saw. A dead or silent thing is data with a reason, never an exception."""

from __future__ import annotations

import math

import msgspec

from cachefleet.model import transit as modes
from cachefleet.model.access import OPEN, EngineUser
from cachefleet.model.group import SlotRanges
from cachefleet.model.guard import Guard, Opening
from cachefleet.model.iam_rules import IamRules
from cachefleet.model.service_update import OfferedUpdate
from cachefleet.model.transit import CertificateView, Issuance


class Address(msgspec.Struct, frozen=True, eq=False):
    """Host and port name it. All else says how to get in, and does not count when two are compared."""

    host: str
    port: int
    launch: str = ""  # the incarnation that is expected there, "" none of ours: nothing to show to it
    transit: str = ""  # encryption in transit of that launch (model.transit)
    encrypted_links: bool = False  # the other nodes of its group reach it with TLS

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Address) and (self.host, self.port) == (other.host, other.port)

    def __hash__(self) -> int:
        return hash((self.host, self.port))

    def __lt__(self, other: Address) -> bool:
        return (self.host, self.port) < (other.host, other.port)

    @property
    def tls_port(self) -> int:
        """Where it speaks with TLS; 0 nowhere."""
        return modes.tls_port(self.transit, self.port) if self.port else 0

    @property
    def own_port(self) -> int:
        """Where we speak with it."""
        return self.tls_port or self.port

    @property
    def link_port(self) -> int:
        """Where the other nodes of its group reach it."""
        return modes.link_port(self.transit, self.port, encrypted=self.encrypted_links) if self.port else 0

    @property
    def ports(self) -> tuple[int, ...]:
        """All on which it has clients."""
        return tuple(dict.fromkeys(port for port in (modes.plain_port(self.transit, self.port), self.tls_port) if port))


class ProcessView(msgspec.Struct, frozen=True):
    """One incarnation as its host sees it. An incarnation that the host does not know is absent from the mapping."""

    incarnation: str
    running: bool
    pid: int = 0
    exit: str = ""  # "exit code 1", "signal 9 (SIGKILL)", "" while it runs or when nobody saw it end
    ended_s: float = 0.0  # for how long it has been over, since its host noticed
    log_tail: str = ""  # last lines of its log, only for one that ended


class Activity(msgspec.Struct, frozen=True):
    """What the kernel says of a process at one instant."""

    stopped: bool = False  # by a signal or a debugger
    busy: bool = False  # it runs or wants to, or waits for a disk or for memory; not just for input
    cpu_s: float = 0.0  # processor time that it has used so far


class Usage(msgspec.Struct, frozen=True):
    """What a process has used since it began, and has at present."""

    cpu_s: float  # processor time of all its threads, and of children that have ended
    main_cpu_s: float  # of its first thread
    major_faults: int  # times that it waited for a page from a disk
    resident_bytes: int
    swapped_bytes: int


class Silence(msgspec.Struct, frozen=True):
    """A process that runs and does not answer."""

    seconds: float  # since the first question that was not answered in time, time of our own not counted
    stopped: bool = False  # see Activity, at this look
    busy: bool = False  # at this look, or it used a good share of a processor since it fell silent


class ClusterNodeView(msgspec.Struct, frozen=True):
    """One line of CLUSTER NODES."""

    engine_id: str
    host: str
    primary: bool
    primary_id: str = ""  # of a replica
    failed: bool = False  # fail flag (agreed by majority)
    suspected: bool = False  # fail? flag
    handshake: bool = False
    link_up: bool = True
    port: int = 0  # as this view's node tells a client like us; 0 not known
    epoch: int = 0
    slots: SlotRanges = ()


class SlotMigrationView(msgspec.Struct, frozen=True):
    """A job of atomic slot migration as one of its two ends tells it; those that are over stay listed for a while."""

    job: str
    slots: SlotRanges
    source_id: str
    target_id: str
    exports: bool  # this node is the source
    state: str  # the engine's word: snapshotting, replicating, ...
    over: bool  # it has ended
    succeeded: bool = False
    message: str = ""  # why it failed
    remaining_bytes: int = -1  # what the source still has to send, -1 not known


class OpenSlot(msgspec.Struct, frozen=True):
    """A slot that is being moved key by key, as one of its two ends has it."""

    slot: int
    other_id: str
    importing: bool  # else migrating


class SlotLoad(msgspec.Struct, frozen=True):
    """What a slot has cost its owner, counted since it became the owner, since statistics were switched on there or since
    CONFIG RESETSTAT: only differences between two looks at the same owner mean something. -1: not counted."""

    keys: int  # that it has now
    cpu_us: int = -1
    in_bytes: int = -1
    out_bytes: int = -1


class ClusterView(msgspec.Struct, frozen=True):
    """The cluster as one node sees it."""

    my_id: str
    ok: bool  # cluster_state:ok
    current_epoch: int = 0
    nodes: dict[str, ClusterNodeView] = {}  # by engine id, itself included
    migrations: tuple[SlotMigrationView, ...] = ()
    open_slots: tuple[OpenSlot, ...] = ()
    atomic: bool = False  # it moves slots by jobs of its own, all of a job at once (atomic slot migration)


class NodeView(msgspec.Struct, frozen=True, kw_only=True):
    """One probe of one node address."""

    reachable: bool
    why: str = ""  # when not reachable, or reachable but not usable ("loading", "wrong incarnation ...")
    incarnation: str = ""  # which launch answers there (read from the engine), "" when it is not one of ours
    pid: int = 0  # of the process that answers; Memcached has no incarnation to read, only this
    version: str = ""
    primary: bool = False
    loading: bool = False
    busy_reply: bool = False  # alive, but refuses every question (a script runs too long): all else is what it last said
    has_child: bool = False  # it has forked (to feed a replica): its sockets had better not be touched
    offset: int = 0  # replication offset: of the stream it writes (primary) or has applied (replica; -1: never had data)
    history: str = ""  # replication id: offsets can be compared within it
    link_up: bool = False  # replica: connected to its primary and in sync
    link_down_s: int = -1  # replica: seconds since the link broke, -1 when up or never up
    heard_s: int = -1  # replica: whole seconds since it last heard from its primary, -1 without a link
    syncing: bool = False  # replica: full sync under way
    follows: str = ""  # replica: host of the primary it was told to follow
    follows_port: int = 0  # and its port, 0 not known
    streams_to: tuple[str, ...] = ()  # primary: hosts of the replicas that get every write at once
    full_syncs: int = -1  # primary: how often it began to send all of its data to a replica, since it started; -1 not known
    threads: int = -1  # that serve clients, -1 not known
    bound: tuple[str, ...] = ()  # addresses it listens on, its own included
    used_bytes: int = -1  # memory that its data take, -1 not known
    libraries: int = 0  # of functions
    maxmemory_bytes: int = -1  # memory that it may use for data, 0 without a limit, -1 not known
    other_databases: bool = False  # it has keys outside database 0
    stream_errors: int = 0  # replica: commands of its primary that it refused
    keys: int = -1  # in all databases, -1 not known
    loaded_keys: int = -1  # of its last load of a snapshot: kept and dropped as expired together; -1 not known
    access: str | None = None  # model.access.fingerprint of the users that it has, "" not set up by us; None not known
    iam_rules: str | None = None  # IamRules.fingerprint() of what it was told, "" none yet; None: it checks no tokens
    encrypted_links: bool | None = None  # it reaches the other nodes with TLS; None not known, or it cannot
    certificate: CertificateView | None = None  # None without TLS
    cluster: ClusterView | None = None


class ParameterDifference(msgspec.Struct, frozen=True):
    """A directive that a running node has otherwise than it ought to, and that can be set while it runs."""

    directive: str  # the engine's name
    value: str  # that it ought to have, as CONFIG SET takes it
    parameters: tuple[str, ...]  # ElastiCache's names of what it says


class ParameterView(msgspec.Struct, frozen=True):
    """How the parameters of a running node differ from those that it ought to have."""

    differing: tuple[ParameterDifference, ...] = ()
    at_launch: tuple[str, ...] = ()  # parameters that another launch would bring


class FeedView(msgspec.Struct, frozen=True):
    """How far the data are that a node loads at its start (a restore). One that we do not know of any more, since we were
    started anew, has ended: the engine ends with it unless it had everything."""

    done: bool = False  # the engine was given all of it, every checksum was right
    failure: str = ""  # why it ended before that
    lasting: bool = False  # which trying again would not change: a wrong key, damage, something that does not fit
    keys: int = -1  # that it was given, -1 not counted
    fed_bytes: int = 0  # of total_bytes, 0 not known
    total_bytes: int = 0


class Observed(msgspec.Struct, frozen=True):
    """Everything that a planner may look at besides desired and memory."""

    processes: dict[str, ProcessView] = {}  # by incarnation, everything of this group that the host knows
    views: dict[str, NodeView] = {}  # by node name; absent when not probed
    silences: dict[str, Silence] = {}  # by node name, those that have not answered for a while
    watched_s: float = math.inf  # for so long ends of processes have been seen at once
    zones_out: frozenset[str] = frozenset()  # letters of zones in which nothing can run at present
    offers: dict[str, tuple[str, ...]] = {}  # free addresses by zone ("" for endpoints), reserved for this group
    no_addresses: str = ""  # why there are no offers
    refusals: dict[str, str] = {}  # by node name: the last pass wanted slots to leave it, and why that did not begin or go on
    spread: tuple[str, ...] = ()  # where the kernel spreads the reader endpoint to at present
    can_spread: bool = False
    guard: Guard | None = None  # who may connect at present, None: nothing is guarded
    openings: tuple[Opening, ...] | None = None  # who shall, by the group's security groups; None where that cannot be enforced
    issuance: Issuance | None = None  # of certificates; None when there are none
    users: tuple[EngineUser, ...] = (OPEN,)  # whom the group's engines shall let in, and to what
    iam_rules: IamRules | None = None  # what nodes that check tokens shall be told; None: there are no such nodes
    can_check_tokens: bool = False  # whoever is launched now would
    counting: dict[str, bool] = {}  # nodes that were told to count what their slots cost -> whether they do
    loads: dict[int, SlotLoad] | None = None  # what every slot cost within a sample (keys: that it has); None when not measured
    beside_us: float = 0.0  # processor time of all primaries in that sample that no command took
    data_bytes: int = 0  # memory for data that a node of the group's node type has, 0 not known
    threads: int = 0  # that a Memcached node of the group's node type has, 0 not known
    parameters: dict[str, str] = {}  # that the group's own parameter group sets, by ElastiCache's names
    parameter_views: dict[str, ParameterView] = {}  # by node name; absent while not known
    feeds: dict[str, FeedView] = {}  # by node name: current launches that are fed, or were
    pending_bytes: int = 0  # as data_bytes, with what is pending; 0 not known
    updates: tuple[OfferedUpdate, ...] = ()  # service updates that the group may have, the newest version last
    pending_build: bool = True  # the engine version that is pending is installed, where there is one
