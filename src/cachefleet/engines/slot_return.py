"""Gives a slot that cannot be moved wholly back to its source: keys that had moved come home.

Only for a slot of which a key was refused again and again (KeyMigration). Between the two steps, a few milliseconds, clients do
not find keys that are on their way home; one that they write meanwhile is newer, and stays.
"""

from __future__ import annotations

from cachefleet.engine_interfaces import EngineRefused
from cachefleet.engines.access_verbs import login_for
from cachefleet.engines.connection import Command, ErrorReply
from cachefleet.engines.connections import Connections
from cachefleet.engines.key_batches import patience_ms
from cachefleet.model.observed import Address
from cachefleet.model.pace import FAST

_ASKING: Command = ("ASKING",)


class SlotReturn:
    """Of the slot that `at` owns and `to` imports."""

    def __init__(self, connections: Connections, at: Address, to: Address, slot: int) -> None:
        self._connections = connections
        self._at, self._to, self._slot = at, to, slot
        self._login: Command = ()

    async def run(self) -> None:
        """Raises EngineRefused; keys may then still be at the target, which goes on importing: nothing is lost, and the move
        can be gone on with or taken back again."""
        stable: Command = ("CLUSTER", "SETSLOT", str(self._slot), "STABLE")
        listing: Command = ("CLUSTER", "GETKEYSINSLOT", str(self._slot), str(FAST.batch_keys))
        self._login = await login_for(self._connections, self._at)
        (keys,) = await self._connections.call(self._to, listing)
        await self._connections.call(self._at, stable)
        while keys:
            await self._bring_home(keys)
            (keys,) = await self._connections.call(self._to, listing)
        await self._connections.call(self._to, stable)

    async def _bring_home(self, keys: list[bytes]) -> None:
        (reply,) = await self._connections.ask(self._to, self._migrate(*keys))
        if not isinstance(reply, ErrorReply):
            return
        for key in keys:  # some of them are at the source, too
            (reply,) = await self._connections.ask(self._to, self._migrate(key))
            if isinstance(reply, ErrorReply):
                await self._drop_twin(key, reply)

    async def _drop_twin(self, key: bytes, why: ErrorReply) -> None:
        """The source's is newer: clients find a key there as long as it has it."""
        (there,) = await self._connections.call(self._at, ("EXISTS", key))
        if not there:
            raise EngineRefused(f"a key of slot {self._slot} did not come back from {self._to} to {self._at}: {why}")
        await self._connections.call(self._to, _ASKING, ("UNLINK", key))

    def _migrate(self, *keys: bytes) -> Command:
        words = (*self._login, "KEYS")
        return "MIGRATE", self._at.host, str(self._at.link_port), "", "0", str(patience_ms(0)), *words, *keys
