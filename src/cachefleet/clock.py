"""Time and chance: the only module that reads a clock, sleeps or draws random bytes.

Everything else is handed a Clock and an Entropy, so that tests and the simulator own both.
"""

from __future__ import annotations

import asyncio
import secrets
import time
import uuid
from typing import Protocol


class Clock(Protocol):
    """Where time comes from."""

    def now(self) -> float:
        """Seconds since 1970-01-01 UTC; may jump when the machine's clock is set."""

    def monotonic(self) -> float:
        """Seconds that never jump; only differences mean something."""

    async def sleep(self, seconds: float) -> None:
        """Give up control for at least that long."""


class Entropy(Protocol):
    """Where chance comes from."""

    def hex(self, size_bytes: int) -> str:
        """That many random bytes in lower-case hexadecimal digits."""

    def below(self, limit: int) -> int:
        """A random integer from 0 to limit - 1."""


def new_uuid(entropy: Entropy) -> str:
    """Of version 4."""
    return str(uuid.UUID(hex=entropy.hex(16), version=4))


class SystemClock:
    """The machine's clocks."""

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class SystemEntropy:
    """The kernel's random bytes."""

    def hex(self, size_bytes: int) -> str:
        return secrets.token_hex(size_bytes)

    def below(self, limit: int) -> int:
        return secrets.randbelow(limit)
