"""What is encrypted here is opened by the library of age, which was written by others."""

from __future__ import annotations

import random

import pyrage
import pytest

from cachefleet.archive.age_pipe import new_identity, recipient_of
from cachefleet.archive.age_seal import CHUNK_BYTES, Encryptor
from cachefleet.archive.streams import ArchiveError
from tests.unit.archive.memory import MemoryWriter

HEADER_BYTES = 184  # with the nonce of the data
TAG_BYTES = 16


def sealed(recipient: str, *pieces: bytes) -> bytes:
    raw = MemoryWriter()
    encryptor = Encryptor(raw, recipient)
    for piece in pieces:
        encryptor.write(piece)
    encryptor.close()
    return bytes(raw.content)


def opened(stored: bytes, identity: str) -> bytes:
    content: bytes = pyrage.decrypt(stored, [pyrage.x25519.Identity.from_str(identity)])
    return content


@pytest.mark.parametrize("more", [-1, 0, 1])
@pytest.mark.parametrize("chunks", [0, 1, 2, 3])
def test_every_length_around_the_chunks_of_the_format(chunks: int, more: int) -> None:
    content = random.Random(1).randbytes(max(0, chunks * CHUNK_BYTES + more))
    identity = new_identity()
    for piece in (len(content) + 1, CHUNK_BYTES, 50_001):
        stored = sealed(recipient_of(identity), *(content[at : at + piece] for at in range(0, len(content), piece)))
        assert opened(stored, identity) == content
        full, rest = divmod(len(stored) - HEADER_BYTES, CHUNK_BYTES + TAG_BYTES)
        assert full * CHUNK_BYTES + max(0, rest - TAG_BYTES) == len(content)  # no chunk is empty or short but the last


def test_many_recipients() -> None:
    """Their letters stand for five bits each, so that no byte of the key is a letter of its own."""
    for number in range(200):
        identity = new_identity()
        assert opened(sealed(recipient_of(identity), b"%d" % number), identity) == b"%d" % number
    assert opened(sealed(recipient_of(identity).upper(), b"in capitals"), identity) == b"in capitals"


def test_nothing_is_the_same_twice() -> None:
    recipient = recipient_of(new_identity())
    stored = [sealed(recipient, b"the same") for _ in range(2)]
    lines = [one.split(b"\n")[1:3] for one in stored]  # the share of each, and the key of each
    assert not set(lines[0]) & set(lines[1])
    assert stored[0][HEADER_BYTES - 16 :] != stored[1][HEADER_BYTES - 16 :]


def test_what_is_no_recipient() -> None:
    known = recipient_of(new_identity())
    for other in ("", "age1", "age1nonsense", known[:-1], known + "q", known[:-1] + ("q" if known[-1] != "q" else "p")):
        raw = MemoryWriter()
        with pytest.raises(ValueError, match="is no age recipient"):
            Encryptor(raw, other)
        assert not raw.content


def test_a_sink_that_fails_is_heard() -> None:
    encryptor = Encryptor(MemoryWriter(fails_after=100_000), recipient_of(new_identity()))
    with pytest.raises(ArchiveError, match="the disk is full"):
        encryptor.write(bytes(4 * CHUNK_BYTES))
