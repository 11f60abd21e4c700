"""Cuts both directions of a Memcached conversation into pieces, so that configuration commands can be answered in between.

Pure and bounded: bytes in, pieces out; text and meta commands are followed, the binary protocol is passed on. Part of the
configuration endpoint's own process. Called by discovery_session.
"""

from __future__ import annotations

from cachefleet.engines.discovery_list import CONFIG, LEGACY_KEY, VALUE

PASS, TOO_LONG = "pass", "too long"
LINE_BYTES = 2048  # of a command; Memcached takes longer ones only for retrievals, and so do we
_LENGTH_DIGITS = 12
_STORAGE = {b"set": 4, b"add": 4, b"replace": 4, b"append": 4, b"prepend": 4, b"cas": 4, b"ms": 2}  # where the length is
_VALUES = {b"VALUE": 3, b"VA": 1}


class Requests:
    """Cuts what a client sends into what we answer and what a node gets. Data blocks are never taken for commands."""

    def __init__(self) -> None:
        self.binary: bool | None = None  # by the first byte
        self.inside = False  # what next() gave last is no command: data, or part of a long line
        self._input = bytearray()
        self._data_left = 0
        self._in_long_line = False

    def feed(self, data: bytes) -> None:
        self._input += data
        if self.binary is None:
            self.binary = self._input[:1] == b"\x80"

    def next(self) -> tuple[str, bytes] | None:
        """(CONFIG | VALUE, b""), (PASS, a line or data), (TOO_LONG, b""), or None when more must come first."""
        if not self._input:
            return None
        self.inside = self.binary is True or self._data_left > 0 or self._in_long_line
        if self.binary:
            return PASS, self._take(len(self._input))
        if self._data_left:
            data = self._take(min(self._data_left, len(self._input)))
            self._data_left -= len(data)
            return PASS, data
        end = self._input.find(b"\n") + 1
        if self._in_long_line:
            self._in_long_line = not end
            return PASS, self._take(end or len(self._input))
        if not end:
            return self._unfinished()
        return self._command(self._take(end))

    def _command(self, line: bytes) -> tuple[str, bytes]:
        words = line.split(None, 6)
        if words == [b"config", b"get", b"cluster"]:
            return CONFIG, b""
        if words in ([b"get", LEGACY_KEY], [b"gets", LEGACY_KEY]):
            return VALUE, b""
        place = _STORAGE.get(words[0], 0) if words else 0
        if place and len(words) > place and words[place].isdigit() and len(words[place]) < _LENGTH_DIGITS:
            self._data_left = int(words[place]) + 2
        return PASS, line

    def _unfinished(self) -> tuple[str, bytes] | None:
        if len(self._input) <= LINE_BYTES:
            return None
        if self._input.startswith((b"get ", b"gets ")):
            self._in_long_line = True
            return PASS, self._take(len(self._input))
        return TOO_LONG, b""

    def _take(self, size: int) -> bytes:
        taken = bytes(self._input[:size])
        del self._input[:size]
        return taken


class Replies:
    """Finds the answers to `mn` in what a node sends. Values are never taken for answers."""

    def __init__(self) -> None:
        self.at_line = True  # what next() gave last is a line, not a piece of a value
        self._input = bytearray()
        self._data_left = 0

    def feed(self, data: bytes) -> None:
        self._input += data

    def next(self) -> bytes | None:
        """A whole line, or a piece of a value; None when more must come first."""
        self.at_line = not self._data_left
        if self._data_left:
            piece = self._take(min(self._data_left, len(self._input)))
            self._data_left -= len(piece)
            return piece or None
        end = self._input.find(b"\n") + 1
        if not end and len(self._input) <= LINE_BYTES:
            return None
        line = self._take(end or len(self._input))
        words = line.split(None, 4)
        place = _VALUES.get(words[0], 0) if words else 0
        if place and len(words) > place and words[place].isdigit() and len(words[place]) < _LENGTH_DIGITS:
            self._data_left = int(words[place]) + 2
        return line

    def _take(self, size: int) -> bytes:
        taken = bytes(self._input[:size])
        del self._input[:size]
        return taken
