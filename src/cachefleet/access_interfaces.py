"""The seams of access: with what we, nodes and clients get into engines."""

from __future__ import annotations

from typing import Protocol


class Passwords(Protocol):
    """With what we get into engines, and they into each other."""

    def controller(self, launch: str) -> str:
        """Ours, for this incarnation alone."""

    def peer(self, launch: str) -> str:
        """Of the nodes of this incarnation's group."""
