"""Which addresses a Valkey or Redis node listens on, and whose client connections end when one goes away.

`CONFIG SET bind` closes all listening sockets and opens new ones. So nothing is sent when nothing changes, and a change that
failed or was cut short leaves a doubt, with which the next one is made in any case. Called by the verbs of both modes.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from cachefleet.engine_interfaces import EngineRefused
from cachefleet.engines.connection import Command, ErrorReply
from cachefleet.engines.connections import Connections, accepted
from cachefleet.engines.replies import parse_config, parse_fields
from cachefleet.model.observed import Address

GET_BIND: Command = ("CONFIG", "GET", "bind")
SET_BIND: Command = ("CONFIG", "SET", "bind")
_FORK_LATER: Command = ("CONFIG", "SET", "repl-diskless-sync-delay", "2")
_FORK_AT_ONCE: Command = ("CONFIG", "SET", "repl-diskless-sync-delay", "0")
_LOCAL_ADDRESS = re.compile(r" laddr=(\S+):\d+ ")
_ATTEMPTS = 2000  # of a round trip each, some 200 ms in all: far longer than a child needs to close what it inherited


def set_bind(at: Address, addresses: Iterable[str]) -> Command:
    """Own address first: the engine uses the first one for connections that it opens itself."""
    return *SET_BIND, " ".join(dict.fromkeys((at.host, *addresses)))


def kill_through(at: Address, addresses: Iterable[str]) -> tuple[Command, ...]:
    """Ends every client connection that came in through one of these addresses. Ours come through the node's own."""
    given_up = [address for address in addresses if address != at.host]
    return tuple(("CLIENT", "KILL", "LADDR", f"{address}:{port}") for address in given_up for port in at.ports)


def bound_in(connections: Connections, at: Address, reply: Any) -> tuple[str, ...]:
    """The answer to GET_BIND; nothing as long as it is in doubt, so that a change is made in any case."""
    return () if connections.doubted(at) else tuple(parse_config(reply).get("bind", "").split())


async def bound_at(connections: Connections, at: Address) -> tuple[str, ...]:
    """What it listens on now."""
    (reply,) = await connections.call(at, GET_BIND)
    return bound_in(connections, at, reply)


async def cut_strays(connections: Connections, at: Address) -> None:
    """End client connections that came through addresses on which the node does not listen any more."""
    clients, reply = await connections.call(at, ("CLIENT", "LIST"), GET_BIND)
    commands = kill_through(at, strays(clients, bound_in(connections, at, reply)))
    if commands:
        await connections.call(at, *commands)


def strays(clients: str, bound: Collection[str]) -> list[str]:
    """Addresses that clients are connected to (CLIENT LIST) and that are not among those bound."""
    return sorted({host.strip("[]") for host in _LOCAL_ADDRESS.findall(clients)} - set(bound))


async def listen(connections: Connections, at: Address, addresses: Sequence[str]) -> None:
    """Own address plus these, and no others. Raises EngineRefused (an address that another process has)."""
    await change(connections, at, await bound_at(connections, at), addresses)


async def change(
    connections: Connections,
    at: Address,
    bound: Sequence[str],
    addresses: Sequence[str],
    *,
    first: Sequence[Command] = (),
    kill: bool = True,
) -> None:
    """From what it listens on to own address plus these, after the commands in `first`. All in one write, the end of the
    connections that came through an address given up included (unless not kill), so that an interruption cannot come in
    between. Raises EngineRefused."""
    wanted = {at.host, *addresses}
    if wanted == set(bound):
        if first:
            await connections.call(at, *first)
        return
    careful = "bind-failure-survived" not in (await connections.identity(at)).capabilities
    if careful:
        await _without_children(connections, at)
    commands = [*first, set_bind(at, addresses), *((_FORK_AT_ONCE,) if careful else ())]
    commands += kill_through(at, [name for name in bound if name not in wanted]) if kill else ()
    was_doubted = connections.doubted(at)
    replies = await connections.ask_change(at, *commands)
    place = len(first)
    if isinstance(replies[place], ErrorReply):
        replies[place] = await _insist(connections, at, addresses, bound, replies[place])
    accepted(at, commands, replies)
    if was_doubted:
        await cut_strays(connections, at)


async def _without_children(connections: Connections, at: Address) -> None:
    """Redis 6.2 ends itself where others only refuse (see _insist). So no child may be young when the sockets are changed:
    new ones are put off, and those that there are must have closed what they inherited. Raises EngineRefused."""
    for _ in range(_ATTEMPTS):
        _, text = await connections.call(at, _FORK_LATER, ("INFO", "persistence"))
        info = parse_fields(text)
        if info.get("rdb_bgsave_in_progress") != "1" or int(info.get("rdb_current_bgsave_time_sec", "0")) >= 2:
            return
    raise EngineRefused(f"CONFIG SET bind was not sent to {at}: it has just begun to feed a replica")


async def _insist(
    connections: Connections, at: Address, addresses: Sequence[str], bound: Sequence[str], refusal: ErrorReply
) -> Any:
    """After a refused change the node may listen nowhere: a child that it has just forked (to feed a replica) holds the old
    sockets for an instant, so that not even its own address is free. Then try again; otherwise go back to what was."""
    answer: Any = refusal
    for _ in range(_ATTEMPTS):
        persistence, answer = await connections.ask_change(at, ("INFO", "persistence"), set_bind(at, addresses))
        if not isinstance(answer, ErrorReply):
            return answer
        if parse_fields(str(persistence)).get("rdb_bgsave_in_progress") != "1":
            break
    await connections.ask_change(at, set_bind(at, bound))
    return answer
