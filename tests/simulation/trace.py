"""What happened, line by line, and what ought not to have happened. The same seed gives the same lines."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable

import msgspec

TAIL = 120
_MOST_VIOLATIONS = 20


class Violation(msgspec.Struct, frozen=True):
    """An invariant that did not hold. rule: its short name, which tests ask for."""

    rule: str
    what: str
    at_s: float

    def __str__(self) -> str:
        return f"{self.rule} at {self.at_s:.3f}: {self.what}"


class Trace:
    """now: virtual seconds. keep: all lines, or only the last ones."""

    def __init__(self, now: Callable[[], float], keep: bool = False) -> None:
        self._now = now
        self._digest = hashlib.blake2b(digest_size=16)
        self.lines: deque[str] = deque(maxlen=None if keep else TAIL)
        self.violations: list[Violation] = []

    def note(self, line: str) -> None:
        stamped = f"{self._now():11.4f}  {line}"
        self._digest.update(stamped.encode())
        self.lines.append(stamped)

    def violation(self, rule: str, what: str) -> None:
        self.note(f"!!! {rule}: {what}")
        if len(self.violations) < _MOST_VIOLATIONS:
            self.violations.append(Violation(rule, what, self._now()))

    @property
    def digest(self) -> str:
        """Of every line so far."""
        return self._digest.hexdigest()
