"""Encryption in transit: its modes, and which ports a node has in each. Plain data and arithmetic.

An engine cannot speak with TLS and without on one port. While TLS is preferred, clients without it keep the group's port, and
those with it have the next one.
"""

from __future__ import annotations

import msgspec

OFF = ""
PREFERRED = "preferred"
REQUIRED = "required"
STEPS = (OFF, PREFERRED, REQUIRED)  # a group goes from one to the next, and back in the same way
HIGHEST_PREFERRED_PORT = 65_534
CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"  # of TLS 1.2, in OpenSSL's words: keys that outlive no connection, no CBC


def plain_port(transit: str, port: int) -> int:
    """Where a node of a group with this port speaks without TLS; 0 nowhere."""
    return 0 if transit == REQUIRED else port


def tls_port(transit: str, port: int) -> int:
    """Where it speaks with TLS; 0 nowhere."""
    return {PREFERRED: port + 1, REQUIRED: port}.get(transit, 0)


def link_port(transit: str, port: int, *, encrypted: bool) -> int:
    """Where the other nodes of its group reach it."""
    return tls_port(transit, port) if encrypted else plain_port(transit, port)


class NodeCertificate(msgspec.Struct, frozen=True):
    """What a launch proves itself with. PEM."""

    certificate: bytes
    key: bytes  # a secret
    authorities: bytes  # by which it knows the other nodes


class Issuance(msgspec.Struct, frozen=True):
    """What would be issued now."""

    series: str
    until: float  # epoch seconds
    lead_s: float  # so long before it ends a certificate is replaced


class CertificateView(msgspec.Struct, frozen=True):
    """The certificate that a node showed us when we connected."""

    series: str  # of the issuer; another one than now means that it is to be replaced
    until: float  # epoch seconds
    addresses: tuple[str, ...]  # that it is valid for, sorted
    names: tuple[str, ...] = ()
