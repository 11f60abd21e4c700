"""Chance that repeats: the same seed gives the same draws."""

from __future__ import annotations

import random


class SeededEntropy:
    """A cachefleet.clock.Entropy."""

    def __init__(self, seed: int = 0) -> None:
        self._random = random.Random(seed)

    def hex(self, size_bytes: int) -> str:
        return self._random.randbytes(size_bytes).hex()

    def below(self, limit: int) -> int:
        return self._random.randrange(limit)
