"""The Memcached configuration endpoint as a program: `python -I -S discovery_server.py nodes.json [FOLDER]` (reference 4.4).
With the folder of a certificate it speaks TLS, with clients and with nodes.

Answers `config get cluster` and `get AmazonElastiCache:cluster` from the file and hands everything else to a node. It needs
only the standard library and lives on without the control plane. Started by the host, as DiscoveryDriver renders it.
"""

from __future__ import annotations

import os.path
import sys


def main() -> int:
    """Serve until killed; 1 when it cannot listen where the file says, 2 when it was called wrongly."""
    # Isolated Python knows neither our folder nor installed packages: the former is all that is needed.
    sys.path.append(os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..")))  # noqa: PTH100, PTH118, PTH120
    from cachefleet.engines.discovery_list import NodeList
    from cachefleet.engines.discovery_session import Server

    if len(sys.argv) not in (2, 3):
        print("usage: discovery_server.py NODES_FILE [FOLDER_OF_CERTIFICATE]", file=sys.stderr)
        return 2
    nodes = NodeList(sys.argv[1])
    nodes.refresh()
    if not nodes.listen[0]:
        return 1
    try:
        server = Server(nodes, sys.argv[2] if len(sys.argv) == 3 else "")
    except OSError as error:
        print(f"cannot listen on {nodes.listen[0]}:{nodes.listen[1]}: {error}", file=sys.stderr)
        return 1
    server.serve()
    return 0


if __name__ == "__main__":
    sys.exit(main())
