"""Whose wrong signatures count together: those of an address, and on this machine of a user.

All local processes have the same addresses, as many of 127.0.0.0/8 as they like: by these, any of them could lock out all
others, or guess as often as it likes. So the kernel is asked whose socket the other end is (sock_diag, Linux). Called by the
gateway.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Sequence

_SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST = 20, 1
_NETLINK_SOCK_DIAG = 4
_REQUEST = struct.Struct("=IHHII BBBBI 4s16s16sIQ")  # nlmsghdr, inet_diag_req_v2
_UID_AT, _INODE_AT = 80, 84  # in the answer, behind nlmsghdr: inet_diag_msg
_ANSWER_BYTES = 88
_NO_COOKIE = 0xFFFFFFFFFFFFFFFF
_ANSWER_ROOM = 4096
_TCP = 6


def source_of(client: Sequence[object] | None, server: Sequence[object] | None) -> str:
    """client, server: (address, port) of the ends of a connection, as ASGI has them. The client's address; "user N" for a
    process of this machine. Who has left already is not told apart: that source keeps out nobody who waits for an answer."""
    address = str(client[0]) if client else ""
    if client is None or server is None or not hasattr(socket, "AF_NETLINK"):
        return address
    try:
        user = _user_of((address, int(str(client[1]))), (str(server[0]), int(str(server[1]))))
    except (OSError, ValueError):
        return address
    return address if user is None else f"user {user}"


def _user_of(end: tuple[str, int], other: tuple[str, int]) -> int | None:
    """Of the socket that is bound to the one and connected to the other; None for one that no process has open any more, whose
    user the kernel does not know. Raises OSError: where the kernel cannot be asked, or has no such socket."""
    family = socket.AF_INET6 if ":" in end[0] else socket.AF_INET
    ports = struct.pack("!HH", end[1], other[1])
    addresses = (socket.inet_pton(family, host).ljust(16, b"\0") for host in (end[0], other[0]))
    header = (_REQUEST.size, _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST, 0, 0)
    request = _REQUEST.pack(*header, family, _TCP, 0, 0, 0xFFFFFFFF, ports, *addresses, 0, _NO_COOKIE)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK, _NETLINK_SOCK_DIAG) as kernel:
        kernel.connect((0, 0))
        kernel.send(request)
        answer = kernel.recv(_ANSWER_ROOM)  # it is there at once
    if len(answer) < _ANSWER_BYTES or struct.unpack_from("=H", answer, 4) != (_SOCK_DIAG_BY_FAMILY,):
        raise OSError("there is no such socket")
    user, inode = struct.unpack_from("=II", answer, _UID_AT)
    return int(user) if inode else None
