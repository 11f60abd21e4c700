"""Encryption in transit of a running Valkey or Redis node: how it reaches the others, and with which certificate it proves
itself. Called by ValkeyDriver.

Which ports it listens on is settled at its start. Connections that exist go on as they are, whatever is changed here.
"""

from __future__ import annotations

import posixpath
from typing import Any

from cachefleet.engines.connection import Command
from cachefleet.engines.connections import Connections
from cachefleet.engines.replies import parse_config
from cachefleet.engines.valkey_config import CERTIFICATE_FILES
from cachefleet.model.observed import Address

GET_LINKS: Command = ("CONFIG", "GET", "tls-cluster")


class TransitVerbs:
    """A node is named by its own address, which says how it is to reach the others."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def encrypt_links(self, at: Address) -> None:
        """Cluster mode. The node tells the others its port anew, which follows from this; engines before 7.2 tell their clients
        the former one until the announced port is set, to whatever."""
        switch = "yes" if at.encrypted_links else "no"
        announced = "cluster-announce-tls-port" if at.encrypted_links else "cluster-announce-port"
        await self._connections.call(
            at,
            ("CONFIG", "SET", "tls-replication", switch),
            ("CONFIG", "SET", "tls-cluster", switch),
            ("CONFIG", "SET", announced, str(at.link_port)),
            ("CONFIG", "SET", announced, "0"),
        )

    async def certify(self, at: Address, folder: str) -> None:
        """Engines read the files again although their names stay. Certificate and key belong together: one command where there
        can be one, else the first one finds both. Our connection is made anew, so that the certificate is seen."""
        files = {directive: posixpath.join(folder, name) for directive, name in CERTIFICATE_FILES.items()}
        if "config-many" in (await self._connections.identity(at)).capabilities:
            await self._connections.call(at, ("CONFIG", "SET", *(word for pair in files.items() for word in pair)))
        else:
            await self._connections.call(at, *(("CONFIG", "SET", *pair) for pair in files.items()))
        self._connections.drop(at, "has to be made anew, to see the certificate")


def encrypted_links(reply: Any) -> bool | None:
    """The answer to GET_LINKS."""
    told = parse_config(reply).get("tls-cluster", "") if isinstance(reply, list | dict) else ""
    return {"yes": True, "no": False}.get(told)
