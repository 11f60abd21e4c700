"""Connections of the Memcached configuration endpoint: clients, and the nodes that get what is not for us.

One thread, one selector, bounded buffers. Part of the endpoint's own process: imports little. Run by discovery_server.
"""

from __future__ import annotations

import errno
import selectors
import socket
import ssl
from collections import deque

from cachefleet.engines.discovery_encryption import Encryption
from cachefleet.engines.discovery_list import NodeList
from cachefleet.engines.discovery_stream import PASS, TOO_LONG, Replies, Requests

CHUNK_BYTES = 16_384
BUFFER_BYTES = 262_144  # held per direction; beyond, no more is read from the other side
OUTSTANDING = 1000  # configuration answers that a connection may wait for
CONNECT_MS = 3000
_LATER = (BlockingIOError, InterruptedError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
_MARK = b"mn\r\n"  # a command that does nothing but answer MN
_MARKED = b"MN\r\n"


class Session:
    """One client, and the node that it talks to once it has sent something that is not for us."""

    __slots__ = (
        "candidates",
        "client",
        "client_ended",
        "closing",
        "marks",
        "node",
        "node_ready",
        "node_told",
        "replies",
        "requests",
        "server",
        "to_client",
        "to_node",
    )

    def __init__(self, server: Server, client: socket.socket) -> None:
        self.server = server
        self.client: socket.socket | None = client
        self.node: socket.socket | None = None
        self.node_ready = False  # connected
        self.node_told = False  # that the client sends no more
        self.candidates: deque[tuple[str, int]] | None = None  # nodes not tried yet
        self.requests = Requests()
        self.replies = Replies()
        self.to_client = bytearray()
        self.to_node = bytearray()
        self.marks: deque[str] = deque()  # whose MN comes next: PASS the client's, CONFIG or VALUE ours
        self.client_ended = False  # it sends no more, but may still listen
        self.closing = False  # nothing is read any more; ends when the client has its due

    def on_event(self, side: socket.socket, readable: bool, writable: bool) -> None:
        """One of our sockets can be read or written."""
        try:
            if side is self.client:
                if readable:
                    self._read_client()
                if writable:
                    _flush(side, self.to_client)
            elif side is self.node:
                if not self.node_ready:
                    self._connected(side)
                elif readable:
                    self._read_node(side)
            self.advance()
        except OSError:
            self.end()

    def advance(self) -> None:
        """Move on as far as buffers and sockets allow, then say what to wait for."""
        while not self.closing and self._has_room():
            action = self.requests.next()
            if action is None:
                break
            self._act(*action)
        if self.node is not None and self.node_ready:
            _flush(self.node, self.to_node)
            if self.client_ended and not self.node_told and not self.to_node:
                if isinstance(self.node, ssl.SSLSocket):  # TLS ends both directions at once
                    self.end()
                    return
                self.node.shutdown(socket.SHUT_WR)
                self.node_told = True
        if self.client is not None:
            _flush(self.client, self.to_client)
        if not self.to_client and (self.closing or (self.client_ended and self.node is None)):
            self.end()
            return
        self._wait()

    def end(self) -> None:
        for side in (self.client, self.node):
            if side is not None:
                self.server.forget(side)
                side.close()
        if self.client is not None:
            self.server.ended()
        self.client = self.node = None

    def _has_room(self) -> bool:
        return len(self.to_client) < BUFFER_BYTES and len(self.to_node) < BUFFER_BYTES and len(self.marks) < OUTSTANDING

    def _wait(self) -> None:
        if self.client is not None:
            reads = not self.closing and not self.client_ended and self._has_room()
            self.server.watch(self.client, self, reads, bool(self.to_client))
        if self.node is not None:
            reads = self.node_ready and len(self.to_client) < BUFFER_BYTES
            self.server.watch(self.node, self, reads, bool(self.to_node) or not self.node_ready)

    # --- from the client ---

    def _read_client(self) -> None:
        assert self.client is not None
        data = _receive(self.client)
        if data:
            self.requests.feed(data)
        elif data is not None:
            self.client_ended = True

    def _act(self, action: str, data: bytes) -> None:
        if action == PASS:
            if data.split(None, 1)[:1] == [b"mn"] and not self.requests.inside:
                self.marks.append(PASS)
            self.to_node += data
            if self.node is None:
                self._connect()
        elif action == TOO_LONG:
            self._refuse(b"CLIENT_ERROR line too long\r\n")
        elif self.node is None:
            self._tell_list(action)
        else:
            # The node still owes answers to what came before: ours has to wait for its turn, which this command marks.
            self.to_node += _MARK
            self.marks.append(action)

    def _tell_list(self, form: str) -> None:
        """An error alone would leave some clients waiting for the end of a list, hence the end of the connection."""
        answer = self.server.nodes.answer(form)
        if answer:
            self.to_client += answer
        else:
            self._refuse(b"SERVER_ERROR the node list is not published yet\r\n")

    def _refuse(self, answer: bytes) -> None:
        self.to_client += answer
        self.closing = True

    # --- to and from the node ---

    def _connect(self) -> None:
        """To the next node that has not been tried."""
        if self.candidates is None:
            self.candidates = self.server.nodes.candidates()
        while self.candidates:
            address = self.candidates.popleft()
            node = socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET, socket.SOCK_STREAM)
            try:
                node.setblocking(False)
                node.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if hasattr(socket, "TCP_USER_TIMEOUT"):
                    node.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, CONNECT_MS)
                result = node.connect_ex(address)
            except OSError as error:
                result = error.errno or errno.EIO
            if result in (0, errno.EINPROGRESS):
                self.node = node
                return
            node.close()
        self._refuse(b"SERVER_ERROR no cache node answers\r\n")

    def _connected(self, node: socket.socket) -> None:
        if node.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self.server.forget(node)
            node.close()
            self.node = None
            self._connect()
        else:
            self.node = self.server.wrapped(node)
            self.node_ready = True

    def _read_node(self, node: socket.socket) -> None:
        try:
            data = _receive(node)
        except OSError:
            data = b""
        if data is None:
            return
        if not data:  # the node has ended the conversation
            self.server.forget(node)
            node.close()
            self.node = None
            self.closing = True
        elif self.requests.binary:
            self.to_client += data
        else:
            self.replies.feed(data)
            while (piece := self.replies.next()) is not None:
                owner = self.marks.popleft() if piece == _MARKED and self.replies.at_line and self.marks else PASS
                if owner == PASS:
                    self.to_client += piece
                else:
                    self._tell_list(owner)


class Server:
    """Listens, and carries every session's sockets in one selector."""

    def __init__(self, nodes: NodeList, certificate_folder: str = "") -> None:
        """certificate_folder: see Encryption; "" speaks no TLS. Raises OSError."""
        self.nodes = nodes
        self._encryption = Encryption(certificate_folder) if certificate_folder else None
        self._selector = selectors.DefaultSelector()
        family = socket.AF_INET6 if ":" in nodes.listen[0] else socket.AF_INET
        self._listener = socket.socket(family, socket.SOCK_STREAM)
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind(nodes.listen)
        self._listener.listen(1024)
        self._listener.setblocking(False)
        self._selector.register(self._listener, selectors.EVENT_READ, None)
        self._accepting = True

    def serve(self) -> None:
        while True:
            for key, events in self._selector.select():
                session = key.data
                if session is None:
                    self._accept()
                elif key.fileobj in (session.client, session.node):  # not ended by an earlier event of this round
                    session.on_event(key.fileobj, bool(events & selectors.EVENT_READ), bool(events & selectors.EVENT_WRITE))

    def watch(self, side: socket.socket, session: Session, readable: bool, writable: bool) -> None:
        events = (selectors.EVENT_READ if readable else 0) | (selectors.EVENT_WRITE if writable else 0)
        known = self._selector.get_map().get(side)
        if known is None:
            if events:
                self._selector.register(side, events, session)
        elif not events:
            self._selector.unregister(side)
        elif known.events != events:
            self._selector.modify(side, events, session)

    def forget(self, side: socket.socket) -> None:
        if side in self._selector.get_map():
            self._selector.unregister(side)

    def wrapped(self, node: socket.socket) -> socket.socket:
        """The connection to a node as it is to be used. Raises OSError."""
        if self._encryption is None:
            return node
        self.forget(node)  # it gets another object
        return self._encryption.to_nodes.wrap_socket(node, server_hostname=node.getpeername()[0], do_handshake_on_connect=False)

    def ended(self) -> None:
        """A session is over: there is a file descriptor again."""
        if not self._accepting:
            self._selector.register(self._listener, selectors.EVENT_READ, None)
            self._accepting = True

    def _accept(self) -> None:
        try:
            client, _ = self._listener.accept()
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):
                self._selector.unregister(self._listener)
                self._accepting = False
            return
        client.setblocking(False)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if self._encryption is not None:
            try:
                self._encryption.refresh()
                client = self._encryption.to_clients.wrap_socket(client, server_side=True, do_handshake_on_connect=False)
            except OSError:  # it is gone already
                client.close()
                return
        Session(self, client).advance()


def _receive(side: socket.socket) -> bytes | None:
    """Bytes, b"" at the end, None when there is nothing yet. Raises OSError."""
    try:
        return side.recv(CHUNK_BYTES)  # as much as TLS ever holds back
    except _LATER:
        return None


def _flush(side: socket.socket, data: bytearray) -> None:
    """Send what the socket takes. Raises OSError."""
    while data:
        try:
            sent = side.send(data)
        except _LATER:
            return
        del data[:sent]
