"""Settings: one TOML file and CACHEFLEET_* variables, read once into frozen structs.

A variable CACHEFLEET_A_B sets key b of section a (top-level keys: CACHEFLEET_KEY) and wins over the file. An unknown key, a
value of the wrong type and one that cannot be meant are refused with their name; so nobody else has to check them again.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec


class SettingsError(Exception):
    """A setting that is unknown or of the wrong type; the message names it."""


INTERVALS_S = (1, 2, 5, 10, 30, 60)  # between measurements: minutes are whole numbers of them


def _check_positive(section: msgspec.Struct, name: str, but: tuple[str, ...] = ()) -> None:
    """Every number of the section but those. Raises ValueError."""
    for key in section.__struct_fields__:
        value = getattr(section, key)
        if isinstance(value, int | float) and key not in but and not value > 0:  # NaN is not, either
            raise ValueError(f"{name}.{key} is {value}; it must be more than 0")


class NodeTypeSetting(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A node type of one's own: [node_types."cache.tiny"]."""

    maxmemory_bytes: int  # what the node may hold, before reserved-memory-percent
    vcpu: int = 1  # worker threads of Memcached; Valkey and Redis have one
    memcached_mb: int = 0  # 0: maxmemory in MB

    def __post_init__(self) -> None:
        _check_positive(self, "node_types", but=("memcached_mb",))
        if self.memcached_mb < 0:
            raise ValueError(f"node_types: memcached_mb is {self.memcached_mb}; it is a number of MB, or 0 for maxmemory")


class EngineSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where to look for engines besides PATH, the usual folders and packages."""

    binaries: tuple[str, ...] = ()  # paths of valkey-server, redis-server or memcached binaries
    packages: bool = True  # look into Python packages that carry an engine


class HostSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """This machine as a place for caches."""

    network: int = 0  # second number of 127.N.0.0/16; 0: choose a free one at the first start
    memory: str = "overcommit"  # overcommit: node types are upper bounds; reserve: their sum must fit the machine
    guard: str = "auto"  # auto: nftables enforces security groups where that may be done; never
    spread: str = "auto"  # auto: nftables spreads the reader endpoint where that may be done; never

    def __post_init__(self) -> None:
        if self.memory not in ("overcommit", "reserve"):
            raise ValueError(f"host.memory is {self.memory!r}; it is overcommit or reserve")
        if self.guard not in ("auto", "never"):
            raise ValueError(f"host.guard is {self.guard!r}; it is auto or never")
        if self.spread not in ("auto", "never"):
            raise ValueError(f"host.spread is {self.spread!r}; it is auto or never")
        if not 0 <= self.network <= 254:
            raise ValueError(f"host.network is {self.network}; it is 1 to 254, or 0 for any that is free")


class ControlSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The control loop. Times in seconds."""

    probe_interval_s: float = 2.0  # how often a quiet group is looked at
    pulse_interval_s: float = 0.25  # how often every node is asked for a sign of life
    silence_budget_s: float = 1.5  # a silent node is given up within that time of its last sign of life
    busy_limit_s: float = 30.0  # the same for one that is busy with a command, or whose data no other node has
    probe_timeout_s: float = 0.5  # a node that has not answered by then counts as not reachable in this look
    launch_timeout_s: float = 20.0  # a launch that has not answered by then has failed
    create_attempts: int = 3  # failed launches of one node before a creation is given up
    lease_s: float = 3.0  # several services on one database: one that is silent for so long no longer leads
    discovery_grace_s: float = 5.0  # a Memcached node goes on for so long after it left the list of auto discovery
    load_sample_s: float = 5.0  # for so long slots' load is measured before they are rebalanced by it
    cluster_node_timeout_ms: int = 2000  # cluster mode: silence after which nodes fail over by themselves

    def __post_init__(self) -> None:
        _check_positive(self, "control")

    @property
    def silence_limit_s(self) -> float:
        """The measured silence that uses the budget up: a beat may pass before it begins, and one until it is seen."""
        return max(0.0, self.silence_budget_s - 2 * self.pulse_interval_s)


class ApiSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Limits of the API; the quotas are those of ElastiCache."""

    max_body_bytes: int = 1_048_576  # a longer request is refused
    clock_skew_s: float = 900.0  # how far the time of a signature may be off
    wrong_signatures: int = 10  # in a row, from one address with one access key: refused for a while beyond
    lockout_s: float = 60.0  # for so long after the last of them
    nodes: int = 300  # of all caches of one account and region: NodeQuotaForCustomerExceeded beyond
    clusters: int = 300  # the same for cache clusters; each node of a replication group is one
    shards_per_group: int = 90  # NodeGroupsPerReplicationGroupQuotaExceeded beyond; with small groups up to 500 make sense
    nodes_per_group: int = 90  # of one replication group, over all shards
    memcached_nodes: int = 40  # of one Memcached cluster
    subnet_groups: int = 300  # of one account and region
    subnets_per_group: int = 20  # of one subnet group
    parameter_groups: int = 300  # of one account and region, without the built-in ones
    snapshots_per_day: int = 20  # manual ones of one node in any 24 hours: SnapshotQuotaExceededFault beyond
    users: int = 2000  # of one account and region
    user_groups: int = 200  # of one account and region
    users_per_group: int = 100  # of one user group
    test_failovers_per_day: int = 15  # calls of TestFailover in one account and region in any 24 hours
    reserved_nodes: int = 300  # of one account and region, over all reservations that have not ended

    def __post_init__(self) -> None:
        _check_positive(self, "api")


UPDATE_SEVERITIES = ("critical", "important", "medium", "low")


class UpdateSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Service updates: newer versions of engines that are installed here."""

    patch_severity: str = "important"  # of 8.1.4 for caches of 8.1.3: critical, important, medium or low
    minor_severity: str = "low"  # of 8.1.4 for caches of 8.0
    severities: dict[str, str] = {}  # of single updates, by their names
    automatic: str = "minor"  # applied in the window of caches with AutoMinorVersionUpgrade: minor (and patches), patch, never
    automatic_after_days: float = -1.0  # how long after a cache may have it; -1 is 14, 30, 60 or 90 days by its severity

    def __post_init__(self) -> None:
        for name, severity in {"patch": self.patch_severity, "minor": self.minor_severity, **self.severities}.items():
            if severity not in UPDATE_SEVERITIES:
                raise ValueError(f"updates: the severity of {name} is {severity!r}; it is {', '.join(UPDATE_SEVERITIES)}")
        if self.automatic not in ("minor", "patch", "never"):
            raise ValueError(f"updates.automatic is {self.automatic!r}; it is minor, patch or never")
        if not (self.automatic_after_days >= 0 or self.automatic_after_days == -1):
            raise ValueError(
                f"updates.automatic_after_days is {self.automatic_after_days}; it is a number of days, or -1 for those of the "
                "severity"
            )


class ArchiveSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where snapshots are kept, and how."""

    url: str = ""  # "" means snapshots in the data folder; or a folder, s3://BUCKET/PREFIX, gs://..., az://...
    options: dict[str, str] = {}  # of the store: endpoint, access_key_id, secret_access_key, region, allow_http, ...
    buckets: dict[str, dict[str, str]] = {}  # the same for buckets of TargetBucket and SnapshotArns; "*" is any other
    key_commands: dict[str, tuple[str, ...]] = {}  # keys that a command prints (an age identity), by name: program, arguments
    parallel: int = 2  # shards that are stored at one time
    attempts: int = 5  # of one snapshot, before it has failed
    stalled_s: float = 60.0  # without a byte for so long an attempt is given up
    verify_every_h: float = 0.0  # restore the newest snapshot of each group as a proof, so often; 0 never
    save_on_down: bool = False  # `cachefleet down` saves the caches, and the next `up` brings their data back

    def __post_init__(self) -> None:
        _check_positive(self, "archive", but=("verify_every_h", "save_on_down"))
        if not self.verify_every_h >= 0:
            raise ValueError(f"archive.verify_every_h is {self.verify_every_h}; it is a number of hours, or 0 for never")


class TransitSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Encryption in transit (TLS) of caches."""

    ca_certificate: str = ""  # PEM file of one's own certificate authority, itself first; "" makes one in the data folder
    ca_key: str = ""  # PEM file of its key, without a password
    names: tuple[str, ...] = ()  # DNS names that certificates have beside addresses; {group} and {node} stand for their names
    certificate_days: float = 90.0  # how long a node's certificate is valid; it is replaced in the last third of that

    def __post_init__(self) -> None:
        _check_positive(self, "transit")
        if bool(self.ca_certificate) != bool(self.ca_key):
            raise ValueError("transit.ca_certificate and transit.ca_key belong together: give both, or none")
        for name in self.names:
            if not re.fullmatch(r"(\*\.)?([a-z0-9_-]|\{group\}|\{node\})+(\.([a-z0-9_-]|\{group\}|\{node\})+)*", name):
                raise ValueError(f"transit.names has {name!r}; a DNS name has lower-case letters, digits, hyphens and dots")


class AuditSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The log of who called what: audit.log in the data folder."""

    file_bytes: int = 67_108_864  # a longer file is rotated
    files: int = 10  # rotated ones that are kept, audit.log.1 being the newest
    reads: bool = True  # also calls that change nothing; those that are refused always are

    def __post_init__(self) -> None:
        _check_positive(self, "audit", but=("reads",))


class MetricSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is measured of caches."""

    interval_s: int = 60  # how often each node is; a group's tag cachefleet:metrics-interval-s wins
    open: bool = False  # GET /metrics answers everybody, not only who shows the token in metrics.token

    def __post_init__(self) -> None:
        if self.interval_s not in INTERVALS_S:
            raise ValueError(f"metrics.interval_s is {self.interval_s}; it is one of {', '.join(map(str, INTERVALS_S))}")


_URL = re.compile(r"https?://[^\s/?#@]+(/[^\s?#]*)?")


class TraceSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Traces of API requests and of what the control loop does, for OpenTelemetry."""

    endpoint: str = ""  # of a collector that takes OTLP over HTTP, such as http://127.0.0.1:4318; "" there is none
    headers: dict[str, str] = {}  # sent along, for collectors that ask who sends

    def __post_init__(self) -> None:
        if self.endpoint and not _URL.fullmatch(self.endpoint):
            raise ValueError(f"traces.endpoint is {self.endpoint!r}; it is a URL such as http://127.0.0.1:4318")

    @property
    def traces_url(self) -> str:
        """OTLP's path behind the endpoint, unless it is there."""
        return f"{self.endpoint.rstrip('/').removesuffix('/v1/traces')}/v1/traces"


class LogSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Logs of nodes that are delivered, and log groups."""

    streams: dict[str, str] = {}  # DeliveryStream names -> file:///folder, otlp+http://..., loki+https://...
    interval_s: float = 1.0  # how often logs that are delivered are read
    stored_bytes: int = 1_073_741_824  # of all log groups; the oldest events go beyond
    engine_file_bytes: int = 16_777_216  # a longer log file of an engine is rotated; one rotated file is kept
    folder_bytes: int = 1_073_741_824  # of the files of one stream in a folder; the oldest go beyond
    waiting_events: int = 50_000  # for one stream that takes none; then logs are no longer read for it

    def __post_init__(self) -> None:
        _check_positive(self, "logs")
        for name, url in self.streams.items():
            if not re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", name):
                raise ValueError(f"logs.streams has {name!r}; a name has 1 to 64 letters, digits, dots, hyphens, underscores")
            host = r"([^\s/@]+@)?([^\s/@:?#\[\]]+|\[[0-9a-fA-F:]+\])(:[0-9]{1,5})?"
            if not re.fullmatch(rf"file:///[^\s?#]+|(otlp|loki)\+https?://{host}(/\S*)?", url):
                raise ValueError(
                    f"logs.streams: {name} must be file:///folder, or a URL that begins with otlp+http://, otlp+https://, "
                    "loki+http:// or loki+https://"
                )


class NotificationSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How messages of topics (SNS) reach their subscribers."""

    url: str = ""  # of this API as subscribers reach it, for the links that they are sent; "" is where it listens
    smtp_host: str = ""  # the mail relay for subscriptions of email and email-json; "" there is none
    smtp_port: int = 25
    smtp_from: str = "cachefleet@localhost"  # whom mails are from
    folder: str = ""  # where subscriptions of the protocol file write; "" is notifications in the data folder
    ca_file: str = ""  # PEM file of authorities that https endpoints may have besides the usual ones
    attempt_timeout_s: float = 15.0  # an endpoint that has not answered by then has not got the message
    most_waiting: int = 10_000  # messages that wait for one subscription; further ones are lost to it

    def __post_init__(self) -> None:
        _check_positive(self, "notifications")
        if self.smtp_port > 65_535:
            raise ValueError(f"notifications.smtp_port is {self.smtp_port}; it is 1 to 65535")
        if not re.fullmatch(r"[^\s@<>]+@[^\s@<>]+", self.smtp_from):
            raise ValueError(f"notifications.smtp_from is {self.smtp_from!r}; it is an address such as caches@example.com")
        if self.url and not _URL.fullmatch(self.url):
            raise ValueError(f"notifications.url is {self.url!r}; it begins with http:// or https:// and a host")


class PriceSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What nodes cost: numbers of one's own, for reserved nodes and `cachefleet cost`. No default is a price of AWS."""

    currency: str = "USD"  # of all prices: three capital letters
    per_vcpu_hour: float = 0.02  # of one node for an hour, for each processor of its type
    per_gib_hour: float = 0.01  # and for each GiB of its type's maxmemory
    hourly: dict[str, float] = {}  # node type -> price of one node for an hour, instead of what the two above come to
    no_upfront_1y_percent: float = 20.0  # a node that is reserved for 1 year and paid by the hour costs so much less
    partial_upfront_1y_percent: float = 25.0  # the same, half of it paid at once
    all_upfront_1y_percent: float = 28.0  # the same, all of it paid at once
    no_upfront_3y_percent: float = 35.0  # for 3 years, paid by the hour
    partial_upfront_3y_percent: float = 40.0  # for 3 years, half of it paid at once
    all_upfront_3y_percent: float = 45.0  # for 3 years, all of it paid at once

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Z]{3}", self.currency):
            raise ValueError(f"prices.currency is {self.currency!r}; it has three capital letters, such as USD")
        numbers = {key: getattr(self, key) for key in self.__struct_fields__ if key not in ("currency", "hourly")}
        for key, price in {**numbers, **{f"hourly.{name}": price for name, price in self.hourly.items()}}.items():
            if not 0 <= price < 1e9:
                raise ValueError(f"prices.{key} is {price}; it is 0 or more, and less than 1,000,000,000")
            if key.endswith("_percent") and price > 100:
                raise ValueError(f"prices.{key} is {price}; nothing costs less by more than 100 percent")


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything that can be set. Section names are the field names."""

    data: str = ""  # the data folder; "" means cachefleet in the XDG state folder
    listen: str = "127.0.0.1:8300"  # HOST:PORT of the API
    region: str = "local-1"  # of the demo and of what `cachefleet env` prints; requests may name any other
    account: str = "000000000000"  # account id in ARNs and in GetCallerIdentity
    database_url: str = ""  # "" means SQLite in the data folder; or postgresql+asyncpg://...
    demo: bool = True  # make the replication group `demo` at the start unless it is there
    engines: EngineSettings = EngineSettings()
    host: HostSettings = HostSettings()
    control: ControlSettings = ControlSettings()
    api: ApiSettings = ApiSettings()
    updates: UpdateSettings = UpdateSettings()
    archive: ArchiveSettings = ArchiveSettings()
    transit: TransitSettings = TransitSettings()
    audit: AuditSettings = AuditSettings()
    metrics: MetricSettings = MetricSettings()
    traces: TraceSettings = TraceSettings()
    notifications: NotificationSettings = NotificationSettings()
    logs: LogSettings = LogSettings()
    prices: PriceSettings = PriceSettings()
    node_types: dict[str, NodeTypeSetting] = {}

    @property
    def data_dir(self) -> Path:
        if self.data:
            return Path(self.data).expanduser().resolve()
        state = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
        return (Path(state) / "cachefleet").resolve()


_SECTIONS: dict[str, type] = {
    "engines": EngineSettings,
    "host": HostSettings,
    "control": ControlSettings,
    "api": ApiSettings,
    "archive": ArchiveSettings,
    "updates": UpdateSettings,
    "audit": AuditSettings,
    "logs": LogSettings,
    "metrics": MetricSettings,
    "traces": TraceSettings,
    "notifications": NotificationSettings,
    "transit": TransitSettings,
    "prices": PriceSettings,
}


def load(environment: Mapping[str, str], overrides: Mapping[str, Any] | None = None) -> Settings:
    """Read the file named by CACHEFLEET_CONFIG (if any), then variables, then overrides (command-line options).

    Raises SettingsError.
    """
    document: dict[str, Any] = {}
    path = environment.get("CACHEFLEET_CONFIG", "")
    if path:
        try:
            document = tomllib.loads(Path(path).read_text())
        except OSError as error:
            raise SettingsError(f"{path}: {error.strerror}") from error
        except ValueError as error:  # no TOML, or no UTF-8
            raise SettingsError(f"{path}: {error}") from error
    for name, value in environment.items():
        if name.startswith("CACHEFLEET_") and name != "CACHEFLEET_CONFIG":
            _place(document, name.removeprefix("CACHEFLEET_").lower(), value)
    document.update({key: value for key, value in (overrides or {}).items() if value is not None})
    try:
        settings = msgspec.convert(document, Settings, strict=False)
    except msgspec.ValidationError as error:
        raise SettingsError(f"settings: {error}") from error
    if not re.fullmatch(r"[0-9]{12}", settings.account, re.ASCII):
        raise SettingsError(f"settings: account is {settings.account!r}; it has 12 digits")
    if not re.fullmatch(r"[a-z0-9-]{1,32}", settings.region):
        raise SettingsError(
            f"settings: region is {settings.region!r}; it has 1 to 32 lower-case letters, digits and hyphens, or no client "
            "could sign for it"
        )
    return settings


def _place(document: dict[str, Any], name: str, value: str) -> None:
    if name in Settings.__struct_fields__:
        document[name] = value
        return
    for section, fields in _SECTIONS.items():
        key = name.removeprefix(section + "_")
        if name.startswith(section + "_") and key in fields.__struct_fields__:  # type: ignore[attr-defined]
            is_list = "tuple" in str(fields.__annotations__[key])
            keys = document.setdefault(section, {})
            if isinstance(keys, dict):  # else the file is wrong, and refused for it
                keys[key] = value.split(os.pathsep) if is_list else value
            return
    raise SettingsError(f"CACHEFLEET_{name.upper()} is not a setting")
