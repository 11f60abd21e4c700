"""Engines in memory on a FakeMachine, cluster mode disabled: roles, offsets and addresses, no data and no sockets.

A FakeDriver is what the control loop talks to; several drivers on one machine see the same engines.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from cachefleet.engine_interfaces import Build, EngineRefused, NodeSpec, Rendering
from cachefleet.model.observed import Address, NodeView, ParameterDifference, ParameterView
from tests.fakes.host import FakeMachine

LONG_AGO_S = 60  # a replica of a frozen primary has heard nothing for that long


@dataclass
class FakeEngine:
    incarnation: str
    host: str
    primary: bool = False
    follows: str = ""
    offset: int = 0
    bound: list[str] = field(default_factory=list)
    keys: int = 0
    loads: bool = False  # it answers nothing before it has got its seed (FakeDriver.load)
    parameters: dict[str, str] = field(default_factory=dict)


class FakeDriver:
    """engine_interfaces.ReplicationDriver. `refusing` makes every verb fail; `calls` tells which were made; engines of the
    hosts in `frozen` answer nothing, for as long as they are there."""

    def __init__(self, machine: FakeMachine) -> None:
        self._machine = machine
        self._engines: dict[str, FakeEngine] = {}
        self.refusing = ""
        self.frozen: set[str] = set()
        self.calls: list[str] = []
        self.at_launch: set[str] = set()  # parameters that are not set on a running engine

    def render(self, spec: NodeSpec, build: Build, folder: str) -> Rendering:
        return Rendering(argv=(build.binary, folder), files={"spec.json": msgspec.json.encode(spec)})

    def at(self, address: Address) -> FakeEngine | None:
        """The engine of the running process with that address."""
        for incarnation, rendering in self._machine.renderings.items():
            spec = msgspec.json.decode(rendering.files["spec.json"], type=NodeSpec)
            if spec.address == address and self._machine.views[incarnation].running:
                follows = spec.follow.host if spec.follow else ""
                made = FakeEngine(
                    incarnation, address.host, follows=follows, loads=spec.seeded, parameters=dict(spec.parameters)
                )
                return self._engines.setdefault(incarnation, made)
        return None

    def load(self, at: Address, keys: int) -> None:
        """A seeded engine has got everything."""
        engine = self.at(at)
        assert engine is not None
        assert engine.loads
        engine.keys, engine.loads = keys, False

    async def probe(self, at: Address, clustered: bool) -> NodeView:
        engine = self.at(at)
        if engine is None:
            return NodeView(reachable=False, why="Connection refused")
        if engine.loads:
            return NodeView(reachable=False, why="did not answer")
        await self._answers(at)
        source = self.at(Address(engine.follows, at.port)) if engine.follows else None
        link_up = source is not None and source.primary
        heard = link_up and engine.follows not in self.frozen
        if heard and source is not None:
            engine.offset, engine.keys = source.offset, source.keys
        return NodeView(
            reachable=True,
            incarnation=engine.incarnation,
            primary=engine.primary,
            offset=engine.offset,
            link_up=link_up,
            heard_s=0 if heard else LONG_AGO_S if link_up else -1,
            follows=engine.follows,
            streams_to=tuple(sorted(other.host for other in self._running(at.port) if other.follows == engine.host)),
            bound=(engine.host, *engine.bound),
            keys=engine.keys,
            loaded_keys=engine.keys,
        )

    def pulse(self, at: Address) -> bool | None:
        return None if self.at(at) is None else at.host not in self.frozen

    async def _answers(self, at: Address) -> None:
        if at.host in self.frozen:
            await asyncio.Event().wait()  # never: the caller gives up

    def _running(self, port: int) -> list[FakeEngine]:
        hosts = {engine.host for engine in self._engines.values()}
        return [engine for host in hosts if (engine := self.at(Address(host, port))) is not None]

    async def _must(self, at: Address, verb: str) -> FakeEngine:
        self.calls.append(f"{verb} {at.host}")
        await self._answers(at)
        engine = self.at(at)
        if engine is None or self.refusing:
            raise EngineRefused(f"{verb} did not reach {at}: {self.refusing or 'Connection refused'}")
        return engine

    async def promote(self, at: Address, bind: Sequence[str]) -> None:
        engine = await self._must(at, "promote")
        engine.primary, engine.follows, engine.bound = True, "", list(bind)

    async def follow(self, at: Address, primary: Address, bind: Sequence[str]) -> None:
        engine = await self._must(at, "follow")
        engine.primary, engine.follows, engine.bound = False, primary.host, list(bind)

    async def bind(self, at: Address, addresses: Sequence[str]) -> None:
        engine = await self._must(at, "bind")
        engine.bound = list(addresses)

    async def switch(
        self, at: Address, to: Address, *, to_bind: Sequence[str], from_bind: Sequence[str], others: Sequence[Address]
    ) -> None:
        await self._must(at, "switch")
        await self.promote(to, to_bind)
        await self.follow(at, to, from_bind)
        for other in others:
            await self.follow(other, to, ())

    async def parameters(self, at: Address, spec: NodeSpec, build: Build) -> ParameterView:
        """Of those that it was started with or told, whatever they are."""
        engine = self.at(at)
        if engine is None or self.refusing or at.host in self.frozen:
            raise EngineRefused(f"parameters did not reach {at}")
        wrong = [(name, value) for name, value in spec.parameters.items() if engine.parameters.get(name) != value]
        live = tuple(ParameterDifference(name, value, (name,)) for name, value in wrong if name not in self.at_launch)
        return ParameterView(live, tuple(name for name, _ in wrong if name in self.at_launch))

    async def set_parameters(self, at: Address, values: Mapping[str, str]) -> None:
        engine = await self._must(at, "set_parameters")
        engine.parameters.update(values)

    async def close(self) -> None:
        return None
