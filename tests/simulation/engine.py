"""A simulated Valkey with cluster mode disabled: the commands that the drivers send, and writes of clients.

It does what engines/valkey_config.py has it do: it starts as a replica of somebody or of nobody. A command that it does not
know is a violation: it cannot fall behind the drivers unnoticed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from random import Random
from typing import Any, ClassVar, Protocol

from cachefleet.engine_interfaces import Build
from cachefleet.engines.replies import IAM_MODULE
from cachefleet.model.group import Engine as Kind
from tests.simulation import functions, keys
from tests.simulation.access import Doors
from tests.simulation.directives import with_value
from tests.simulation.encryption import Ports
from tests.simulation.network import End
from tests.simulation.process import Process
from tests.simulation.replication import OFFSET_UNIT, Replication, Tuning
from tests.simulation.resp import OK, QUIET, QUIET_PAIRS, Commands, encoded
from tests.simulation.slots import ALL, Mask

_BULK = 4  # commands that are told of as one
_EMPTY_BYTES, _WRITE_BYTES = 900_000, 120
RETIRED_S = 4.0  # longer than the pause in which a hand-over waits for its heir


class Witness(Protocol):
    """Who is told what an engine does (checkers)."""

    def promoted(self, engine: Engine, by: str, slots: Mask = ALL) -> None: ...

    def claimed(self, engine: Engine, slots: Mask) -> None: ...

    def moved(self, engine: Engine, writes: Iterable[int]) -> None: ...

    def went_on(self, engine: Engine, slots: Mask) -> None: ...

    def wrote(self, engine: Engine, address: str, write: int) -> None: ...

    def loaded(self, engine: Engine, before: set[int], after: set[int]) -> None: ...

    def reported(self, engine: Engine, to: str) -> None: ...

    def commanded(self, engine: Engine, by: str, words: list[str]) -> None: ...

    def identified(self, engine: Engine, engine_id: str) -> None: ...

    def ordered(self, engine: Engine, by: str) -> None: ...

    def forgot(self, engine: Engine, engine_id: str) -> None: ...

    def led_by_hand(self, engine: Engine) -> None: ...

    def unknown(self, engine: Engine, words: list[str]) -> None: ...


class Engine:
    """config: the directives of its configuration file. build: which engine it is. files: of its folder, as they are now."""

    def __init__(
        self,
        process: Process,
        config: dict[str, str],
        chance: Random,
        tuning: Tuning,
        witness: Witness,
        build: Build,
        files: Callable[[], Mapping[str, bytes]],
    ) -> None:
        self.process = process
        self.config = config
        self.chance = chance
        self.witness = witness
        self.build = build
        self.replicates_marks = "setslot-replicated" in build.capabilities
        self.seeded = False  # it loads its data from a pipe at its start
        self.loaded_keys = 0  # of that, or 0
        self.script_since_s = 0.0  # since when it runs a script, and refuses everything else; 0: it does not
        self.iam_rules = ""  # what its module was told, if it has one
        self.doors: Doors | None = None  # whom it lets in; None: anybody, who may do everything
        self.superseded = False  # the engines have elected another one meanwhile
        self.by_hand = False  # somebody else than a control plane made it primary
        self._bind = config["bind"].split()
        self.transit = Ports(process, config, files)
        self.replication = Replication(process, chance, tuning, lambda before, after: witness.loaded(self, before, after))
        self.replication.feeds_nobody = lambda: int(config.get("repl-diskless-sync-delay", "0")) > 60
        self.replication.quiet = lambda: self.paused or self.script_since_s > 0
        self.replication.way = lambda: (self.replication.follows_port, self.transit.replicates_encrypted)
        self._pauses: dict[str, float] = {}  # purpose -> until when
        self._blocked: list[tuple[End, tuple[Any, ...]]] = []

    is_clustered: ClassVar[bool] = False

    @property
    def host(self) -> str:
        return self.process.party

    @property
    def paused(self) -> bool:
        return self._paused_s > 0

    @property
    def _paused_s(self) -> float:
        return max(self._pauses.values(), default=0.0) - self.process.network.now()

    @property
    def retired(self) -> bool:
        """Its writers wait for so long that somebody comes back to demote it before."""
        return self._paused_s > RETIRED_S

    @property
    def leads(self) -> bool:
        """It has the primary role."""
        return self.replication.primary

    @property
    def used_bytes(self) -> int:
        return _EMPTY_BYTES + _WRITE_BYTES * len(self.replication.stream)

    @property
    def writable(self) -> bool:
        """It would take writes, were it asked."""
        return self.replication.primary and not self.paused and self.replication.state != "loading"

    def reachable(self, address: str = "") -> bool:
        """Clients may write to it through that endpoint; through any when not given."""
        here = [host for host in self.process.listens if host != self.host]
        here += [end.address for end in self.process.ends if end.open and end.peer.owner.party == "clients"]
        return address in here if address else any(host != self.host for host in here)

    def start(self) -> None:
        heard = [self.process.listen(host) for host in self._bind]
        if not all(heard):
            self.process.end("exit code 1")
        elif self.seeded:
            self.process.loads = True
        else:
            self.serve()

    def seed(self, data: Iterable[int]) -> None:
        """The pipe has given everything."""
        writes = tuple(sorted(data))
        self.loaded_keys = len(writes)
        self.replication.begin_with(writes)
        self.claim_seeded()
        self.serve()
        self.process.end_load()

    def claim_seeded(self) -> None:
        """What it makes of keys that it finds at its start."""

    def serve(self) -> None:
        """It listens now."""
        self.replication.start()
        host, port = self.config.get("replicaof", " 0").split(" ")
        self.replication.follow(host if port != "0" else "", int(port))

    # --- connections ---

    def received(self, end: End | None, payload: Any) -> None:
        if end is None:
            return
        if end is self.replication.link:
            self.replication.heard(payload)
        elif isinstance(payload, bytes):
            self._asked(end, payload)
        elif payload[0] == "SET":
            self.write(end, payload)
        elif payload[0] == "PSYNC":
            self.replication.asked_to_sync(end, *payload[1:])
        elif payload[0] == "ACK" and end in self.replication.feeds:
            self.replication.feeds[end].acknowledged_s = self.replication.now_s

    def lost(self, end: End) -> None:
        self.replication.feeds.pop(end, None)
        if end is self.replication.link:
            self.replication.link_lost()

    def _asked(self, end: End, data: bytes) -> None:
        if end.state is None:
            end.state = Commands()
        commands = end.state.feed(data)
        bulk = len(commands) > _BULK and all(words[:2] == ["CLUSTER", "SETSLOT"] for words in commands)
        if bulk:
            told = [*commands[0], f"... {len(commands)} slots, the last of them", commands[-1][2]]
            self.witness.commanded(self, end.peer.owner.party, told)
        replies = [encoded(self._answer(end, words, quiet=bulk)) for words in commands]
        if self.process.running:
            end.send(b"".join(replies))

    def _answer(self, end: End, words: list[str], *, quiet: bool = False) -> Any:
        handler = self.handlers.get(words[0])
        by = end.peer.owner.party
        if not quiet and words[0] not in QUIET and tuple(words[:2]) not in QUIET_PAIRS:
            self.witness.commanded(self, by, words)
        said = ... if self.doors is None else self.doors.answer(self, end, words)
        if said is not ...:
            return said
        if handler is None:
            self.witness.unknown(self, words)
            return "-ERR unknown command"
        if self.script_since_s:
            return "-BUSY Valkey is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE."
        if self.replication.state == "loading" and words[0] not in ("INFO", "CONFIG", "CLIENT"):
            return "-LOADING the dataset is being loaded in memory"
        return handler(self, by, words[1:])

    # --- writes of clients ---

    def write(self, end: End, payload: tuple[Any, ...]) -> None:
        """("SET", write, slot, asking) is answered with ("OK", write) or ("ERR", code)."""
        refusal = self.refusal(payload[2], asking=payload[3])
        if refusal:
            end.send(("ERR", *refusal))
        elif self.paused:
            self._blocked.append((end, payload))
        else:
            self.replication.append(payload[1])
            self.applied(payload[1])
            self.witness.wrote(self, end.address, payload[1])
            end.send(("OK", payload[1]))

    def applied(self, write: int) -> None:
        """A client's write is in the data."""

    def refusal(self, slot: int, *, asking: bool = False) -> tuple[str, ...]:
        if self.script_since_s:
            return ("BUSY",)
        if self.replication.state == "loading":
            return ("LOADING",)
        return () if self.replication.primary else ("READONLY",)

    def _answer_blocked(self) -> None:
        if self.paused:
            return  # for longer, meanwhile
        blocked, self._blocked = self._blocked, []
        for end, payload in blocked:
            if end.open:
                self.write(end, payload)

    # --- commands ---

    def ping(self, by: str, words: list[str]) -> Any:
        return "+PONG"

    def info(self, by: str, words: list[str]) -> Any:
        if words == ["server"]:
            version = f"redis_version:{self.build.version}"
            if self.build.engine is Kind.VALKEY:
                version = f"redis_version:7.2.4\r\nvalkey_version:{self.build.version}"
            folder = self.config["dir"]
            return f"{version}\r\nprocess_id:{self.process.pid}\r\nconfig_file:{folder}/engine.conf\r\n"
        if words == ["modules"]:
            return f"module:name={IAM_MODULE},ver=1\r\n" if "loadmodule" in self.config else ""
        loading = int(self.replication.state == "loading")
        if words == ["persistence"]:
            told = f"loading:{loading}\r\nrdb_bgsave_in_progress:{int(self.replication.children > 0)}\r\n"
            kept = f"rdb_last_load_keys_loaded:{self.loaded_keys}\r\nrdb_last_load_keys_expired:0\r\n"
            return told if self.build.version.startswith("6.") else told + kept
        if words == ["keyspace"]:
            return f"db0:keys={len(self.replication.data)},expires=0,avg_ttl=0\r\n" if self.replication.data else ""
        if words == ["stats"]:
            return f"sync_full:{self.replication.full_syncs}\r\n"
        if words == ["memory"]:
            libraries = len(self.replication.functions)
            limit = self.config.get("maxmemory", "0")
            return f"used_memory:{self.used_bytes}\r\nmaxmemory:{limit}\r\nnumber_of_libraries:{libraries}\r\n"
        self.witness.reported(self, by)
        return "\r\n".join(self._info_replication())

    def _info_replication(self) -> list[str]:
        state, length = self.replication, len(self.replication.stream) * OFFSET_UNIT
        if state.primary:
            feeds = [feed for feed in state.feeds.values() if feed.online]
            lines = ["role:master", f"master_replid:{state.replid}", f"master_repl_offset:{length}"]
            return lines + [
                f"slave{number}:ip={feed.host},port={self.process.port},state=online,"
                f"offset={length if feed.acknowledged_s >= 0 else 0},"
                f"lag={int(state.now_s - max(feed.began_s, feed.acknowledged_s))}"
                for number, feed in enumerate(feeds)
            ]
        up = state.state == "up"
        known = up or state.cached
        lines = [
            "role:slave",
            f"master_replid:{state.replid}",
            f"master_host:{state.follows or self.host}",
            f"master_port:{self._source_port()}",
        ]
        lines.append(f"master_link_status:{'up' if up else 'down'}")
        lines.append(f"master_last_io_seconds_ago:{int(state.now_s - state.heard_s) if up else -1}")
        lines.append(f"master_sync_in_progress:{int(state.state in ('syncing', 'loading'))}")
        lines.append(f"slave_repl_offset:{length if known else 1}")
        if not up:
            down_s = int(state.now_s - state.down_since_s) if state.down_since_s >= 0 else -1
            lines.append(f"master_link_down_since_seconds:{down_s}")
        return lines

    def _source_port(self) -> int:
        return self.replication.way()[0] if self.replication.follows else 0

    def client(self, by: str, words: list[str]) -> Any:
        verb = words[0]
        if verb == "LIST":
            open_ends = [end for end in self.process.ends if end.open and end.peer.owner.party == "clients"]
            return "".join(f"id=1 laddr={end.address}:{end.port} fd=8\n" for end in open_ends)
        if verb == "KILL":
            host, _, port = words[2].rpartition(":")
            self.cut_clients(host, int(port))
        elif verb == "PAUSE":
            self.pause(int(words[1]) / 1000, "client")
        elif verb == "UNPAUSE":
            self.unpause("client")
        return OK

    def pause(self, seconds: float, purpose: str = "failover") -> None:
        """Writes wait."""
        self._pauses[purpose] = max(self._pauses.get(purpose, 0.0), self.process.network.now() + seconds)
        self.process.after(seconds + 0.0001, self._answer_blocked)

    def unpause(self, purpose: str = "") -> None:
        """Of that purpose, or of all."""
        for known in [known for known in self._pauses if purpose in ("", known)]:
            del self._pauses[known]
        self._answer_blocked()

    def cut_clients(self, host: str, port: int) -> None:
        for end in self.process.ends:
            if end.open and (end.address, end.port) == (host, port) and end.peer.owner.party == "clients":
                end.close()

    def configure(self, by: str, words: list[str]) -> Any:
        verb, name = words[0], words[1]
        if verb == "GET":
            told = {**self.config, "bind": " ".join(self.process.listens)}
            return [word for name in words[1:] if name in told or len(words) == 2 for word in (name, told.get(name, ""))]
        if name != "bind":
            for directive, value in zip(words[1::2], words[2::2], strict=True):
                self.config[directive] = with_value(self.config, directive, value)
            if "tls-cert-file" in words:
                self.transit.read()
            return OK
        wanted = words[2].split()
        if not all(map(self.process.is_free, wanted)):
            return "-ERR Failed to bind to specified addresses."
        for host in [host for host in self.process.listens if host not in wanted]:
            self.process.deafen(host)
        for host in wanted:
            self.process.listen(host)
        return OK

    def run_script(self, *, begins: bool) -> None:
        """For a while it answers nothing but that it is busy."""
        self.script_since_s = self.process.network.now() if begins else 0.0

    def lead_by_hand(self) -> None:
        """Somebody said REPLICAOF NO ONE to it."""
        self.by_hand = True
        self.witness.led_by_hand(self)
        self.replication.lead()

    def size(self, by: str, words: list[str]) -> Any:
        return len(self.replication.data)

    def replicaof(self, by: str, words: list[str]) -> Any:
        if words == ["NO", "ONE"]:
            if not self.replication.primary:
                self.witness.promoted(self, by)
                self.replication.lead()
        else:
            self.by_hand = False
            self.replication.follow(words[0] if words[1] != "0" else "", int(words[1]))
        return OK

    handlers: ClassVar[dict[str, Callable[[Any, str, list[str]], Any]]] = {
        "PING": ping,
        "INFO": info,
        "CLIENT": client,
        "CONFIG": configure,
        "REPLICAOF": replicaof,
        "FUNCTION": functions.asked,
        "DBSIZE": size,
        "CACHEFLEET.IAM": keys.asked,
    }
