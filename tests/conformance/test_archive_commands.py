"""A person with the key opens a snapshot without Cachefleet: the two commands of docs/backup.md, by the public programs."""

from __future__ import annotations

import hashlib
import os
import random
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from cachefleet.archive.keyring import Keyring
from cachefleet.archive.places import Archive
from cachefleet.archive.sealing import Figures, SealedWriter, open_sealed

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "backup.md"


@pytest.fixture(autouse=True)
def _programs() -> None:
    missing = [name for name in ("age", "zstd") if shutil.which(name) is None]
    if missing and os.environ.get("CI") == "true":
        pytest.fail(f"not installed: {missing}")
    if missing:
        pytest.skip(f"not installed: {missing}; apt-get install {' '.join(missing)}")


def command_of_the_document(pattern: str, **paths: Path) -> str:
    found, *_ = re.findall(rf"^    ({pattern}.*)$", DOCUMENT.read_text(), re.MULTILINE)  # others are for snapshots of Memcached
    text = str(found)
    for name, path in paths.items():
        assert name in text
        text = text.replace(name, str(path))
    return text


def run(command: str) -> None:
    subprocess.run(["sh", "-c", command], check=True, capture_output=True)


def content() -> bytes:
    chance = random.Random(1)
    return b"".join(b"user:%d=%s;" % (number, chance.randbytes(20).hex().encode()) for number in range(30_000))


@pytest.mark.parametrize("version", [1, 2])
def test_age_and_zstd_open_an_encrypted_snapshot(tmp_path: Path, version: int) -> None:
    ring = Keyring(tmp_path / "keys")
    key = ring.create("team")
    with SealedWriter(Archive.open(str(tmp_path / "a")).writer("0001.rdb.zst.age"), key.recipient) as writer:
        writer.write(content())
    if version == 2:
        ring.rotate("team")  # the old version's file still opens it
    command = command_of_the_document(
        "age -d .*> dump",
        KEYFILE=tmp_path / "keys/team/1.key",
        OBJECT=tmp_path / "a/0001.rdb.zst.age",
    ).replace("dump.rdb", str(tmp_path / "dump.rdb"))
    run(command)
    assert (tmp_path / "dump.rdb").read_bytes() == content()


def test_zstd_opens_one_that_is_not_encrypted(tmp_path: Path) -> None:
    with SealedWriter(Archive.open(str(tmp_path / "a")).writer("0001.rdb.zst")) as writer:
        writer.write(content())
    command = command_of_the_document("zstd -d", OBJECT=tmp_path / "a/0001.rdb.zst")
    run(command.replace("dump.rdb", str(tmp_path / "dump.rdb")))
    assert (tmp_path / "dump.rdb").read_bytes() == content()


def test_what_the_public_programs_made_is_opened_here(tmp_path: Path) -> None:
    key = Keyring(tmp_path / "keys").create("team")
    (tmp_path / "plain").write_bytes(content())
    run(f"zstd -q -c {tmp_path}/plain | age -r {key.recipient} > {tmp_path}/made")
    stored = (tmp_path / "made").read_bytes()
    figures = Figures(
        plain_bytes=len(content()),
        plain_sha256=hashlib.sha256(content()).hexdigest(),
        stored_bytes=len(stored),
        stored_sha256=hashlib.sha256(stored).hexdigest(),
        recipient=key.recipient,
    )
    identity = Keyring(tmp_path / "keys").identity("team", 1)
    with open_sealed(Archive.open(str(tmp_path)).reader("made"), identity, figures) as reader:
        assert reader.read(len(stored) * 100) == content()
        reader.finish()
