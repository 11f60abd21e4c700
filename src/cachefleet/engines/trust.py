"""With whom we speak TLS: engines that show a certificate of the installation's authority for the address that we called.

Reads what it is given; makes no certificates. Called by the connections to engines.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from typing import Any

from cachefleet.model.observed import Address
from cachefleet.model.transit import CertificateView


class Trust:
    """authorities: PEM, asked for whenever a connection is made, since it may change."""

    def __init__(self, authorities: Callable[[], str]) -> None:
        self._authorities = authorities
        self._known = ""
        self._context: ssl.SSLContext | None = None

    def context(self, at: Address) -> ssl.SSLContext | None:
        """None where the node speaks without TLS only."""
        if not at.tls_port:
            return None
        known = self._authorities()
        if self._context is None or known != self._known:
            self._known, self._context = known, client_context(known)
        return self._context


def client_context(authorities: str) -> ssl.SSLContext:
    """TLS 1.2 at least; the other side has to prove the address, or the name, that was called."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_verify_locations(cadata=authorities)
    return context


def certificate_view(shown: Mapping[str, Any] | None) -> CertificateView | None:
    """Of a verified certificate as Python's ssl gives it."""
    if not shown:
        return None
    subject = {name: value for part in shown.get("subject", ()) for name, value in part}
    valid_for = shown.get("subjectAltName", ())
    return CertificateView(
        series=str(subject.get("organizationalUnitName", "")),
        until=float(ssl.cert_time_to_seconds(str(shown["notAfter"]))),
        addresses=tuple(sorted(value for kind, value in valid_for if kind == "IP Address")),
        names=tuple(sorted(value for kind, value in valid_for if kind == "DNS")),
    )
