from __future__ import annotations

import hashlib
import random
import threading
import tracemalloc

import msgspec
import pyrage
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from cachefleet.archive.age_pipe import new_identity, recipient_of
from cachefleet.archive.sealing import Damaged, Figures, SealedWriter, WrongKey, open_sealed
from cachefleet.archive.streams import ArchiveError
from tests.unit.archive.memory import MemoryReader, MemoryWriter

IDENTITY = new_identity()
RECIPIENT = recipient_of(IDENTITY)
plain_and_sealed = pytest.mark.parametrize("recipient", [None, RECIPIENT], ids=["plain", "sealed"])


def seal(pieces: list[bytes], recipient: str | None) -> tuple[bytes, Figures]:
    raw = MemoryWriter()
    with SealedWriter(raw, recipient) as writer:
        for piece in pieces:
            writer.write(piece)
    assert raw.visible
    return bytes(raw.content), writer.figures()


def opened(stored: bytes, figures: Figures, identity: str | None, read_bytes: int = 70_000) -> bytes:
    content = bytearray()
    with open_sealed(MemoryReader(stored), identity, figures) as reader:
        while piece := reader.read(read_bytes):
            assert len(piece) <= read_bytes
            content += piece
        assert reader.read(read_bytes) == b""
    return bytes(content)


def keys_of(count: int, seed: int = 1) -> bytes:
    """Text as caches hold it."""
    chance = random.Random(seed)
    return b"".join(b"user:%d=%s;" % (number, chance.randbytes(20).hex().encode()) for number in range(count))


@given(pieces=st.lists(st.binary(max_size=200_000), max_size=6), sealed=st.booleans(), read_bytes=st.integers(1, 300_000))
def test_what_was_sealed_comes_out_again(pieces: list[bytes], sealed: bool, read_bytes: int) -> None:
    stored, figures = seal(pieces, RECIPIENT if sealed else None)
    content = b"".join(pieces)
    assert opened(stored, figures, IDENTITY if sealed else None, max(read_bytes, len(content) // 50 + 1)) == content
    assert figures == Figures(
        plain_bytes=len(content),
        plain_sha256=hashlib.sha256(content).hexdigest(),
        stored_bytes=len(stored),
        stored_sha256=hashlib.sha256(stored).hexdigest(),
        recipient=RECIPIENT if sealed else "",
    )


@pytest.mark.parametrize("size_bytes", [0, 1, 64 << 10, (64 << 10) + 1, 1 << 20, (1 << 20) + 1])
def test_the_library_of_age_and_that_of_zstd_open_it(size_bytes: int) -> None:
    """64 KiB is a chunk of the format; incompressible bytes, so that chunks are full."""
    content = random.Random(size_bytes).randbytes(size_bytes)
    stored, _ = seal([content], RECIPIENT)
    compressed = pyrage.decrypt(stored, [pyrage.x25519.Identity.from_str(IDENTITY)])
    assert zstandard.ZstdDecompressor().decompressobj().decompress(compressed) == content
    assert zstandard.get_frame_parameters(compressed).has_checksum


def test_what_other_programs_sealed_can_be_opened() -> None:
    content = keys_of(20_000)
    stored = pyrage.encrypt(zstandard.compress(content, 9), [pyrage.x25519.Recipient.from_str(RECIPIENT)])
    figures = Figures(
        plain_bytes=len(content),
        plain_sha256=hashlib.sha256(content).hexdigest(),
        stored_bytes=len(stored),
        stored_sha256=hashlib.sha256(stored).hexdigest(),
    )
    assert opened(stored, figures, IDENTITY) == content


def test_no_plaintext_is_stored() -> None:
    stored, _ = seal([b"very secret " * 10_000], RECIPIENT)
    assert b"secret" not in stored
    assert zstandard.MAGIC_NUMBER.to_bytes(4, "little") not in stored[:300]


@plain_and_sealed
def test_memory_does_not_grow_with_the_size(recipient: str | None) -> None:
    class Counting(MemoryWriter):
        size_bytes = 0

        def write(self, data: bytes | bytearray | memoryview) -> None:
            self.size_bytes += len(data)

    chance = random.Random(1)
    raw = Counting()
    tracemalloc.start()
    try:
        with SealedWriter(raw, recipient) as writer:
            for _ in range(128):
                writer.write(chance.randbytes(256 << 10))
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert raw.size_bytes > 30 << 20
    assert peak_bytes < 4 << 20


def test_what_compresses_extremely_well_is_read_in_small_pieces() -> None:
    stored, figures = seal([bytes(1 << 20)] * 64, None)
    assert len(stored) < 10_000
    tracemalloc.start()
    try:
        with open_sealed(MemoryReader(stored), None, figures) as reader:
            assert len(reader.read(64 << 10)) == 64 << 10
            reader.finish()
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak_bytes < 4 << 20


def test_a_frame_that_asks_for_much_memory_is_refused() -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=27)
    compressor = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    stored = compressor.compress(b"x" * 100) + compressor.flush()
    figures = Figures(plain_bytes=100, plain_sha256="", stored_bytes=len(stored), stored_sha256="")
    with pytest.raises(Damaged, match="cannot be read"):
        opened(stored, figures, None)


@plain_and_sealed
def test_every_cut_of_a_small_object_is_detected(recipient: str | None) -> None:
    stored, figures = seal([b"a small object"], recipient)
    for size in range(len(stored)):
        with pytest.raises(Damaged):
            opened(stored[:size], figures, IDENTITY if recipient else None)


@plain_and_sealed
def test_every_single_flipped_bit_of_a_small_object_is_detected(recipient: str | None) -> None:
    stored, figures = seal([b"a small object"], recipient)
    chance = random.Random(7)
    for place in range(len(stored)):
        altered = bytearray(stored)
        altered[place] ^= 1 << chance.randrange(8)
        with pytest.raises(Damaged):
            opened(bytes(altered), figures, IDENTITY if recipient else None)


@plain_and_sealed
def test_a_thousand_flips_cuts_and_additions_are_detected(recipient: str | None) -> None:
    stored, figures = seal([keys_of(2_000)], recipient)
    identity = IDENTITY if recipient else None
    chance = random.Random(11)
    for _ in range(500):
        altered = bytearray(stored)
        what = chance.randrange(4)
        place = chance.randrange(len(stored))
        if what == 0:
            altered[place] ^= chance.randrange(1, 256)
        elif what == 1:
            del altered[place:]
        elif what == 2:
            del altered[place : place + chance.randrange(1, 100)]
        else:
            altered[place:place] = chance.randbytes(chance.randrange(1, 100))
        if altered == stored:
            continue
        with pytest.raises(Damaged):
            opened(bytes(altered), figures, identity)
    assert opened(stored, figures, identity) == keys_of(2_000)


def test_chunks_of_a_big_object_that_change_places_are_detected() -> None:
    """The format is made of chunks of 64 KiB and 16 bytes after its header."""
    stored, figures = seal([random.Random(3).randbytes(1 << 20)], RECIPIENT)
    chunk = (64 << 10) + 16
    rest = len(stored) % chunk
    header = stored[: len(stored) - ((1 << 20) // (64 << 10)) * chunk - rest] if rest else b""
    body = stored[len(header) :]
    chunks = [body[first : first + chunk] for first in range(0, len(body), chunk)]
    chunks[2], chunks[5] = chunks[5], chunks[2]
    with pytest.raises(Damaged):
        opened(header + b"".join(chunks), figures, IDENTITY)
    with pytest.raises(Damaged):
        opened(header + b"".join(chunks[:-1]), figures, IDENTITY)


@plain_and_sealed
@pytest.mark.parametrize("field", ["plain_bytes", "plain_sha256", "stored_bytes", "stored_sha256"])
def test_each_figure_counts(field: str, recipient: str | None) -> None:
    stored, figures = seal([b"content"], recipient)
    identity = IDENTITY if recipient else None
    for wrong in (getattr(figures, field) + 1, getattr(figures, field) - 1) if field.endswith("bytes") else ("0" * 64,):
        with pytest.raises(Damaged):
            opened(stored, msgspec.structs.replace(figures, **{field: wrong}), identity)


def test_another_object_with_the_same_key_is_detected() -> None:
    _, figures = seal([b"mine " * 1000], RECIPIENT)
    other, _ = seal([b"your " * 1000], RECIPIENT)
    with pytest.raises(Damaged):
        opened(other, figures, IDENTITY)


def test_what_is_held_back_until_the_end_is_never_let_go_of_a_damaged_object() -> None:
    """The rule for readers: everything but the last bytes may come out, finish decides."""
    content = random.Random(5).randbytes(1 << 20)
    stored, figures = seal([content], RECIPIENT)
    altered = bytearray(stored)
    altered[-20] ^= 1
    with open_sealed(MemoryReader(bytes(altered)), IDENTITY, figures) as reader:
        assert content.startswith(reader.read(100_000))
        with pytest.raises(Damaged):
            reader.finish()


def test_the_wrong_key_is_told_from_damage() -> None:
    stored, figures = seal([b"content"], RECIPIENT)
    other = new_identity()
    raw = MemoryReader(stored)
    with pytest.raises(WrongKey, match=recipient_of(other)):
        open_sealed(raw, other, figures)
    assert raw.closed
    with pytest.raises(WrongKey, match="no key was given"):
        open_sealed(MemoryReader(stored), None, figures)
    with pytest.raises(WrongKey, match="another key"):
        opened(stored, msgspec.structs.replace(figures, recipient=""), other)


def test_no_message_holds_the_secret() -> None:
    stored, figures = seal([b"content"], RECIPIENT)
    other = new_identity()
    for identity in (other, other[:-1], other + "x"):
        with pytest.raises(WrongKey) as caught:
            opened(stored, figures, identity)
        assert other[:-1] not in repr(caught.value)


def test_a_recipient_that_is_none_is_refused_before_anything_is_written() -> None:
    raw = MemoryWriter()
    with pytest.raises(ValueError, match="no age recipient"):
        SealedWriter(raw, "age1nonsense")
    assert raw.aborted


@plain_and_sealed
@pytest.mark.parametrize("at_close", [False, True])
def test_an_archive_that_fails_is_heard_and_left_empty(recipient: str | None, at_close: bool) -> None:
    raw = MemoryWriter(fails_after=None if at_close else 300_000, fails_at_close=at_close)
    chance = random.Random(2)
    with pytest.raises(ArchiveError, match="the disk is"), SealedWriter(raw, recipient) as writer:
        for _ in range(40):
            writer.write(chance.randbytes(100_000))
    assert raw.aborted
    assert not raw.visible
    assert raw.content == b""
    with pytest.raises(RuntimeError):
        writer.figures()


@plain_and_sealed
def test_abort_leaves_nothing_and_no_thread(recipient: str | None) -> None:
    before = threading.active_count()
    raw = MemoryWriter()
    with pytest.raises(KeyboardInterrupt), SealedWriter(raw, recipient) as writer:
        writer.write(random.Random(1).randbytes(3 << 20))
        raise KeyboardInterrupt
    assert raw.aborted
    assert raw.content == b""
    assert threading.active_count() == before


@plain_and_sealed
def test_a_store_that_fails_while_it_is_read_is_no_damage(recipient: str | None) -> None:
    stored, figures = seal([random.Random(1).randbytes(2 << 20)], recipient)
    raw = MemoryReader(stored, fails_after=1 << 20)
    with open_sealed(raw, IDENTITY if recipient else None, figures) as reader, pytest.raises(ArchiveError, match="reached"):
        reader.finish()
    assert raw.closed


def test_a_reader_that_is_left_early_ends_its_thread() -> None:
    before = threading.active_count()
    stored, figures = seal([random.Random(1).randbytes(8 << 20)], RECIPIENT)
    raw = MemoryReader(stored)
    with open_sealed(raw, IDENTITY, figures) as reader:
        assert reader.read(10)
    assert raw.closed
    assert threading.active_count() == before
