"""The seams of access: with what we, nodes and clients get into engines, and with what engines prove who they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from cachefleet.engine_interfaces import Build
from cachefleet.model.transit import NodeCertificate


class Passwords(Protocol):
    """With what we get into engines, and they into each other."""

    def controller(self, launch: str) -> str:
        """Ours, for this incarnation alone."""

    def peer(self, launch: str) -> str:
        """Of the nodes of this incarnation's group."""


class Certificates(Protocol):
    """The certificate authority of the installation."""

    @property
    def series(self) -> str:
        """Of what is issued now. It changes when every certificate is to be replaced."""

    @property
    def lead_s(self) -> float:
        """So long before it ends a certificate is replaced."""

    @property
    def until(self) -> float:
        """When what is issued now ends; epoch seconds."""

    def names(self, group: str, node: str) -> tuple[str, ...]:
        """DNS names that a node's certificate has beside its addresses."""

    def issue(self, node: str, names: Sequence[str], addresses: Sequence[str]) -> NodeCertificate:
        """A new key and a certificate for it, valid for these."""

    def authorities(self) -> str:
        """PEM: by whom certificates are known."""


class Unsealable(Exception):
    """What was kept cannot be opened with this installation's key; the message never has any of it."""


class Sealer(Protocol):
    """Secrets as the store may hold them: of no use without the installation's key."""

    def seal(self, text: str, purpose: str) -> str:
        """purpose: what it is for and whose it is; it opens for no other one."""

    def open(self, sealed: str, purpose: str) -> str:
        """Raises Unsealable."""


class AccessRefused(Exception):
    """An access string that an engine does not take, or that nobody may have. The message says why."""


class AccessUnread(Exception):
    """No engine could be asked about an access string; the message says why."""


class AccessReading(msgspec.Struct, frozen=True):
    """text: the access string in the form in which it is kept and shown, on or off first. refusal: why it is not taken, by
    nobody or by one of the engines that were asked; "" when it is, and only then there is a text."""

    text: str = ""
    refusal: str = ""


class AccessStrings(Protocol):
    """Reads access strings of users with engines' own parsers."""

    async def read(self, access_strings: Sequence[str], builds: Sequence[Build]) -> list[AccessReading]:
        """Of each, whether all of these builds take it. Raises AccessUnread."""
