"""Requests of the right shape with wrong contents, drawn from one seed, and their way to a real gateway as a client sends them.

They are good ones with some members replaced, dropped or added, so that many get past the first check.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any
from urllib.parse import urlencode

from botocore.model import ListShape, MapShape, Shape, StructureShape
from botocore.serialize import create_serializer

import cachefleet.api.operations  # noqa: F401  (registers them)
from cachefleet.api.context import Context
from cachefleet.api.registry import dispatch
from cachefleet.clock import Clock
from cachefleet.gateway.gateway import Gateway
from cachefleet.policies.credential import Credential
from cachefleet.protocol.service import service
from tests.contract.shape_values import for_client
from tests.fakes.entropy import SeededEntropy
from tests.fixtures.gateway import KEY, NOW, URL, Answer, ask_async, sign

NUMBERS = [-(2**31), -1, 0, 1, 2, 3, 5, 6, 20, 40, 100, 101, 501, 6379, 11211, 65536, 2**31 - 1]
TIMES = [-62_135_596_800.0, 0.0, NOW - 60, NOW, NOW + 60, 253_402_300_799.0]
_DRAWN_ID = re.compile(r"\b(?:vpc|subnet|sg|sgr)-[0-9a-f]{17}\b")
Good = Mapping[str, Sequence[Mapping[str, Any]]]  # by operation


class Chooser:
    """Inputs, drawn from one seed. ids: those that replies have told, which later requests name."""

    def __init__(self, seed: int, texts: Sequence[str], good: Good) -> None:
        self.chance = random.Random(seed)
        self.ids: list[str] = []
        self._texts = texts
        self._good = good

    def learn(self, reply: str) -> None:
        self.ids = [*dict.fromkeys([*self.ids, *_DRAWN_ID.findall(reply)])][-60:]

    def value(self, shape: Shape) -> Any:
        if isinstance(shape, StructureShape):
            wanted = [name for name in shape.members if name in shape.required_members or self.chance.random() < 0.4]
            return {name: self.value(shape.members[name]) for name in wanted}
        if isinstance(shape, ListShape):
            return [self.value(shape.member) for _ in range(self.chance.choice([0, 1, 1, 2, 3]))]
        if isinstance(shape, MapShape):
            return {self.chance.choice(self._texts): self.value(shape.value) for _ in range(self.chance.choice([0, 1, 2]))}
        if shape.type_name == "boolean":
            return self.chance.random() < 0.5
        if shape.type_name == "timestamp":
            return self.chance.choice(TIMES)
        if shape.type_name in ("integer", "long"):
            return self.chance.choice(NUMBERS)
        if shape.type_name in ("float", "double"):
            return self.chance.choice([*NUMBERS, 0.1, 1e300, 5e-324])
        if shape.type_name == "blob":
            return self.chance.choice(self._texts).encode()
        if self.ids and self.chance.random() < 0.5:
            return self.chance.choice(self.ids)
        return self.chance.choice(shape.enum if shape.enum and self.chance.random() < 0.7 else self._texts)

    def request(self, name: str, shape: StructureShape) -> dict[str, Any]:
        made = deepcopy(dict(self.chance.choice(self._good.get(name, [{}]))))
        for _ in range(self.chance.choice([0, 0, 1, 1, 2, 4])):
            member = self.chance.choice(list(shape.members) or [""])
            if not member or self.chance.random() < 0.1:
                made.pop(member, None)
            else:
                made[member] = self.value(shape.members[member])
        for member in shape.required_members:
            made.setdefault(member, self.value(shape.members[member]))
        return made


def make_real_gateway(context: Context, clock: Clock | None = None) -> Gateway:
    """clock: by which signatures are judged, where it is another than that of the operations."""

    async def authenticate(access_key_id: str) -> Credential | None:
        return KEY

    return Gateway(authenticate, lambda caller: context, dispatch, clock or context.clock, SeededEntropy(), context.settings)


async def send(gateway: Gateway, signing_name: str, name: str, asked: Mapping[str, Any]) -> Answer:
    """As botocore writes it, in the service's own dialect, and signs it."""
    served = service(signing_name)
    operation = served.operation(name)
    serializer = create_serializer(served.model.protocol, False)
    wire = serializer.serialize_to_request(for_client(operation.input_shape, asked), operation)
    body = wire["body"] if isinstance(wire["body"], bytes) else urlencode(wire["body"]).encode()
    url = URL.rstrip("/") + wire["url_path"]
    return await ask_async(gateway, sign(body, url=url, service=signing_name, headers=wire["headers"]))
