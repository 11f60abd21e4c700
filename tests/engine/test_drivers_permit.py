"""A control plane that may not act any more: no engine hears a command of it, wherever in a verb it was."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from cachefleet.engines.valkey import ValkeyDriver
from cachefleet.interfaces import Deposed
from cachefleet.model.group import Engine
from cachefleet.model.plan import TakeOverBy
from tests.engine.engine_processes import NODE_TIMEOUT_MS, Client, EngineProcesses, Node, build_of, endpoints, processes

PORT = 6379
SWITCH_ASKS = 40  # more than a hand-over has commands


class Turn:
    """after: how many more questions are answered with yes; then `at_end` is called, once."""

    def __init__(self) -> None:
        self.after: int | None = None
        self.at_end: Callable[[], None] = lambda: None
        self.over = False

    def __call__(self) -> None:
        if self.after is None:
            return
        if self.after <= 0:
            if not self.over:
                self.over = True
                self.at_end()
            raise Deposed("it is another one's turn")
        self.after -= 1


def heard(node: Node) -> dict[str, str]:
    """How often each command was carried out; without those that this look itself and replication need."""
    with Client(node.address.host, PORT) as client:
        lines = client.call("INFO", "commandstats").splitlines()
    counts = dict(line.split(",")[0].split(":calls=") for line in lines if ":calls=" in line)
    quiet = ("info", "ping", "replconf", "psync", "client|setname", "publish")
    return {name: count for name, count in counts.items() if name.removeprefix("cmdstat_") not in quiet}


def verbs(driver: ValkeyDriver, at: Any, to: Any) -> dict[str, Callable[[], Awaitable[None]]]:
    return {
        "promote": lambda: driver.promote(at, ()),
        "follow": lambda: driver.follow(at, to, ()),
        "bind": lambda: driver.bind(at, ["127.9.9.9"]),
        "switch": lambda: driver.switch(at, to, to_bind=(), from_bind=(), others=()),
        "set_parameters": lambda: driver.set_parameters(at, {"maxmemory-policy": "noeviction"}),
        "own_slots": lambda: driver.own_slots(at, ((0, 16383),), 1),
        "meet": lambda: driver.meet(at, {to: ""}),
        "replicate": lambda: driver.replicate(at, "0" * 40),
        "forget": lambda: driver.forget(at, ["0" * 40]),
        "announce": lambda: driver.announce(at),
        "take_over": lambda: driver.take_over(at, TakeOverBy.ORDER),
    }


@pytest.mark.parametrize("clustered", [False, True])
def test_no_verb_reaches_an_engine(clustered: bool) -> None:
    async def scenario() -> None:
        turn = Turn()
        driver = ValkeyDriver(NODE_TIMEOUT_MS, turn)
        async with processes(driver, build_of(Engine.VALKEY, "9.1")) as engines:
            nodes = engines.start(clustered=clustered), engines.start(clustered=clustered)
            for node in nodes:
                await engines.view(node, clustered=clustered)
            before = [heard(node) for node in nodes]
            turn.after = 0
            for name, verb in verbs(driver, *(node.address for node in nodes)).items():
                with pytest.raises(Deposed):
                    await verb()
                assert [heard(node) for node in nodes] == before, name
            assert (await driver.probe(nodes[0].address, clustered)).reachable, "it may look"
            assert driver.pulse(nodes[0].address)

    asyncio.run(scenario())


async def pair(driver: ValkeyDriver, engines: EngineProcesses, endpoint: str) -> tuple[Node, Node]:
    primary = engines.start()
    await engines.view(primary)
    await driver.promote(primary.address, [endpoint])
    replica = engines.start(follow=primary.address)
    await engines.view(replica, lambda view: view.link_up and not view.syncing)
    await engines.view(primary, lambda view: bool(view.streams_to))
    return primary, replica


def test_a_hand_over_stops_where_it_is_and_undoes_nothing() -> None:
    """Undoing is an effect, too: the successor may have finished the hand-over since."""

    async def scenario() -> None:
        turn = Turn()
        driver = ValkeyDriver(NODE_TIMEOUT_MS, turn)
        async with processes(driver, build_of(Engine.VALKEY, "9.1")) as engines:
            (endpoint,) = endpoints(1)
            nodes = await pair(driver, engines, endpoint)
            addresses = [node.address for node in nodes]
            stopped_at = 0
            for allowed in range(SWITCH_ASKS):
                at_end: list[list[dict[str, str]]] = []
                turn.after, turn.over = allowed, False
                turn.at_end = lambda seen=at_end: seen.append(settled(nodes))  # type: ignore[misc]
                try:
                    await driver.switch(*addresses, to_bind=[endpoint], from_bind=(), others=())
                except Deposed:
                    stopped_at += 1
                    assert at_end == [settled(nodes)], f"something was sent after {allowed} questions"
                turn.after = None
                # The successor finishes it, as the planner does, and hands the role back for the next round.
                if (await driver.probe(addresses[1], False)).primary:
                    await driver.follow(addresses[0], addresses[1], ())
                    await driver.promote(addresses[1], [endpoint])
                else:
                    await driver.switch(*addresses, to_bind=[endpoint], from_bind=(), others=())
                await engines.view(nodes[0], lambda view: view.link_up)
                await engines.view(nodes[1], lambda view: bool(view.streams_to))
                with Client(endpoint, PORT) as client:
                    assert client.call("SET", f"round:{allowed}", "1") == "OK"
                await driver.switch(*reversed(addresses), to_bind=[endpoint], from_bind=(), others=())
                await engines.view(nodes[1], lambda view: view.link_up)
                await engines.view(nodes[0], lambda view: bool(view.streams_to))
                if not turn.over:
                    break
            else:
                raise AssertionError("the hand-over never came to its end")
            assert stopped_at > 5

    asyncio.run(scenario())


def settled(nodes: tuple[Node, Node]) -> list[dict[str, str]]:
    """What they heard, when nothing is under way any more. Blocks."""
    last = [heard(node) for node in nodes]
    while (now := [heard(node) for node in nodes]) != last:
        last = now
    return now
