"""A thousand objects with a bit turned, a part missing, moved or added: not one of them is taken for whole.

In this process, as a transfer worker copies them; restores of altered objects are in tests/engine/test_restore_refusals.py.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from cachefleet.app.transfer_jobs import CopyJob, Place, StoredFile
from cachefleet.app.transfer_worker import Teller, run
from cachefleet.archive.age_pipe import new_identity, recipient_of
from cachefleet.archive.places import Archive
from cachefleet.archive.sealing import Damaged, SealedWriter
from cachefleet.model.snapshot_file import KeyVersion, SnapshotFile
from tests.fixtures.long import long

COUNT = 1000
SEED = int(os.environ.get("TEST_SEED", "0")) or random.randrange(1, 1_000_000)
Alteration = Callable[[random.Random, bytearray], bytes]


def flipped(chance: random.Random, content: bytearray) -> bytes:
    content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    return bytes(content)


def cut(chance: random.Random, content: bytearray) -> bytes:
    return bytes(content[: chance.randrange(len(content))])


def longer(chance: random.Random, content: bytearray) -> bytes:
    return bytes(content) + chance.randbytes(chance.randint(1, 100))


def without_a_part(chance: random.Random, content: bytearray) -> bytes:
    first = chance.randrange(len(content))
    del content[first : first + chance.randint(1, 1000)]
    return bytes(content)


def exchanged(chance: random.Random, content: bytearray) -> bytes:
    """Two blocks that differ have changed places."""
    while True:
        one, other = sorted(chance.sample(range(len(content) // 64), 2))
        first, second = (slice(place * 64, place * 64 + 64) for place in (one, other))
        if content[first] != content[second]:
            content[first], content[second] = content[second], content[first]
            return bytes(content)


ALTERATIONS: dict[Alteration, int] = {flipped: 500, cut: 300, longer: 50, without_a_part: 100, exchanged: 50}


@pytest.mark.parametrize("encrypted", [pytest.param(True, id="encrypted"), long(False, named="in the clear")])
def test_a_thousand_altered_objects_are_all_found_out(tmp_path: Path, encrypted: bool) -> None:
    print(f"TEST_SEED={SEED}")
    chance = random.Random(SEED)
    identity = new_identity() if encrypted else None
    archive, content = Archive.open(str(tmp_path)), chance.randbytes(60_000) + bytes(60_000)
    with SealedWriter(archive.writer("object"), recipient_of(identity) if identity else None) as writer:
        writer.write(content)
        writer.close()
        figures = writer.figures()
    file = SnapshotFile(
        shard_id="0001",
        object="object",
        key=KeyVersion("default", 1, figures.recipient),
        rdb_bytes=figures.plain_bytes,
        rdb_sha256=figures.plain_sha256,
        stored_bytes=figures.stored_bytes,
        stored_sha256=figures.stored_sha256,
    )
    stored = StoredFile(Place(str(tmp_path), "object"), file, identity)
    copying = CopyJob(stored, Place(str(tmp_path), "copy"), "")
    run(copying, Teller())
    assert (tmp_path / "copy").exists()
    (tmp_path / "copy").unlink()
    whole, detected = (tmp_path / "object").read_bytes(), 0
    for alteration, times in ALTERATIONS.items():
        for _ in range(times):
            altered = alteration(chance, bytearray(whole))
            assert altered != whole
            (tmp_path / "object").write_bytes(altered)
            with pytest.raises(Damaged):
                run(copying, Teller())
            detected += 1
            assert [file.name for file in tmp_path.iterdir()] == ["object"], "a copy, or a part of one, is left"
    assert detected == COUNT
