"""TLS of the Memcached configuration endpoint: with clients, and with nodes. Part of the endpoint's process: imports little.

Its files are replaced while it runs, each in one step; connections that come later have what they say then.
"""

from __future__ import annotations

import os
import ssl

CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"  # as model.transit has it, which would import more
_State = tuple[tuple[int, int], ...]


class Encryption:
    """to_clients, to_nodes: contexts for new connections."""

    def __init__(self, folder: str) -> None:
        """folder: where node.pem (key and certificate) and ca.crt (by whom nodes are known) lie. Raises OSError."""
        self._files = (f"{folder}/node.pem", f"{folder}/ca.crt")
        self._read = self._state()
        self.to_clients, self.to_nodes = self._contexts()

    def refresh(self) -> None:
        """Read files that are others than before. What cannot be read is left for the next time; what there was stays."""
        try:
            found = self._state()
            if found != self._read:
                self.to_clients, self.to_nodes = self._contexts()
                self._read = found
        except OSError:
            return

    def _state(self) -> _State:
        """Which files they are. Before they are read: replaced in between, they are read once more."""
        found = [os.stat(file) for file in self._files]  # noqa: PTH116 - pathlib would be one import more
        return tuple((file.st_mtime_ns, file.st_ino) for file in found)

    def _contexts(self) -> tuple[ssl.SSLContext, ssl.SSLContext]:
        to_clients, to_nodes = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        to_clients.minimum_version = to_nodes.minimum_version = ssl.TLSVersion.TLSv1_2
        to_clients.set_ciphers(CIPHERS)
        to_clients.load_cert_chain(self._files[0])
        to_nodes.load_verify_locations(self._files[1])
        return to_clients, to_nodes
