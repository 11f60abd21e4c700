from __future__ import annotations

import multiprocessing
import os
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from cachefleet.archive.age_pipe import new_identity, recipient_of
from cachefleet.archive.key_errors import KeyDamaged, KeyDisabled, KeyMissing, KeyringError, KeyUnavailable
from cachefleet.archive.key_names import key_name
from cachefleet.archive.keyring import Keyring, KeyState
from tests.fixtures.service import wait_for


@pytest.fixture
def ring(tmp_path: Path) -> Keyring:
    return Keyring(tmp_path / "keys")


def printing(text: str) -> tuple[str, ...]:
    return (sys.executable, "-c", f"print({text!r})")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("backup", "backup"),
        ("team/backup_2-x", "team/backup_2-x"),
        ("alias/backup", "backup"),
        ("alias/team/backup", "team/backup"),
        ("key/backup", "backup"),
        ("arn:aws:kms:eu-west-1:123456789012:key/team/backup", "team/backup"),
        ("arn:aws-cn:kms:cn-north-1:123456789012:alias/backup", "backup"),
        ("arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab", "1234abcd-12ab-34cd-56ef-1234567890ab"),
        ("", "default"),
        ("alias/aws/elasticache", "default"),
    ],
)
def test_names_aliases_and_arns_mean_keys(text: str, name: str) -> None:
    assert key_name(text) == name


@pytest.mark.parametrize(
    "text", ["..", "../x", "a/../b", "/etc/passwd", "a//b", "a/", "a.key", "a b", "a\n", "ä", "x" * 201, "arn:aws:s3:::bucket"]
)
def test_what_can_be_no_name_is_refused(text: str, ring: Keyring) -> None:
    for use in (ring.create, ring.recipient, ring.rotate, ring.disable, lambda name: ring.identity(name, 1)):
        with pytest.raises(KeyMissing, match="names no key"):
            use(text)


def test_the_default_key_is_made_when_it_is_first_asked_for(ring: Keyring, tmp_path: Path) -> None:
    assert ring.names() == []
    key = ring.recipient()
    assert (key.name, key.version) == ("default", 1)
    assert recipient_of(ring.identity("default", 1)) == key.recipient
    assert ring.recipient("default") == Keyring(tmp_path / "keys").recipient("alias/aws/elasticache") == key


def test_other_keys_are_not_made_by_asking(ring: Keyring) -> None:
    for use in (ring.recipient, ring.rotate, ring.disable, ring.enable):
        with pytest.raises(KeyMissing, match=r"there is no key team in .*create it"):
            use("team")
    assert ring.names() == []


def test_what_is_there_is_never_written_over(ring: Keyring) -> None:
    made = ring.create("team")
    with pytest.raises(KeyringError, match="there already"):
        ring.create("arn:aws:kms:eu-west-1:123456789012:key/team")
    assert ring.recipient("team") == made


def test_rotation_seals_with_the_new_version_and_still_opens_the_old_one(ring: Keyring) -> None:
    versions = [ring.create("team"), ring.rotate("team"), ring.rotate("alias/team")]
    assert [key.version for key in versions] == [1, 2, 3]
    assert ring.recipient("team") == versions[2]
    assert [recipient_of(ring.identity("team", version)) for version in (1, 2, 3)] == [key.recipient for key in versions]
    assert len({key.recipient for key in versions}) == 3


def test_ten_versions_are_in_the_order_of_numbers(ring: Keyring) -> None:
    ring.create("team")
    for _ in range(10):
        newest = ring.rotate("team")
    assert (newest.version, ring.recipient("team").version) == (11, 11)


def test_the_list_tells_states_and_versions(ring: Keyring, tmp_path: Path) -> None:
    ring.create("team")
    ring.create("team/part")
    ring.rotate("team")
    ring.disable("team/part")
    both = Keyring(tmp_path / "keys", {"vault": printing(new_identity())})
    assert both.names() == [
        KeyState("team", True, (1, 2), "file"),
        KeyState("team/part", False, (1,), "file"),
        KeyState("vault", True, (), "command"),
    ]


def test_a_disabled_key_neither_seals_nor_opens_until_it_is_enabled(ring: Keyring, tmp_path: Path) -> None:
    made = ring.create("team")
    ring.disable("team")
    ring.disable("team")
    for use in (ring.recipient, lambda name: ring.identity(name, 1)):
        with pytest.raises(KeyDisabled, match="key team is disabled; enable it"):
            use("team")
    assert Keyring(tmp_path / "keys").names() == [KeyState("team", False, (1,), "file")]
    ring.enable("team")
    ring.enable("team")
    assert ring.recipient("team") == made


def test_files_are_for_the_owner_only_and_are_age_identity_files(ring: Keyring, tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        key = ring.create("team/part")
    finally:
        os.umask(before)
    file = tmp_path / "keys/team/part/1.key"
    assert file.stat().st_mode & 0o777 == 0o600
    assert {folder.stat().st_mode & 0o777 for folder in file.parents[:3] if folder != tmp_path} == {0o700}
    assert [entry.name for entry in file.parent.iterdir()] == ["1.key"]
    lines = [line for line in file.read_text().splitlines() if not line.startswith("#")]
    assert lines == [ring.identity("team/part", 1)]
    assert key.recipient in file.read_text()


def test_a_lost_version_says_which_file_to_put_back(ring: Keyring, tmp_path: Path) -> None:
    ring.create("team")
    ring.rotate("team")
    (tmp_path / "keys/team/1.key").unlink()
    with pytest.raises(KeyMissing, match=r"version 1 of key team is lost: put .*team/1\.key back"):
        ring.identity("team", 1)
    assert ring.recipient("team").version == 2


@pytest.mark.parametrize("content", ["", "# nothing\n", "AGE-SECRET-KEY-1NONSENSE\n", "\0\xff" * 50, "x" * 100_000])
def test_a_damaged_file_says_what_to_do_and_nothing_of_itself(ring: Keyring, tmp_path: Path, content: str) -> None:
    ring.create("team")
    (tmp_path / "keys/team/1.key").write_text(content)
    for use in (ring.recipient, lambda name: ring.identity(name, 1)):
        with pytest.raises(KeyDamaged, match=r"1\.key does not hold one age identity: put it back") as caught:
            use("team")
        assert "NONSENSE" not in str(caught.value)


def test_a_file_that_others_can_read_is_refused(ring: Keyring, tmp_path: Path) -> None:
    ring.create("team")
    (tmp_path / "keys/team/1.key").chmod(0o640)
    with pytest.raises(KeyDamaged, match="chmod 600"):
        ring.identity("team", 1)


def test_a_folder_that_cannot_be_used_is_no_missing_key(tmp_path: Path) -> None:
    ring = Keyring(tmp_path / "keys")
    ring.create("team")
    (tmp_path / "keys/team/1.key").unlink()
    (tmp_path / "keys/team/1.key").mkdir()
    with pytest.raises(KeyUnavailable, match=r"team/1\.key cannot be read: Is a directory"):
        ring.identity("team", 1)
    (tmp_path / "file").write_text("")
    with pytest.raises(KeyUnavailable, match="cannot be written"):
        Keyring(tmp_path / "file").create("team")


def test_no_secret_is_in_what_is_shown(ring: Keyring) -> None:
    key = ring.create("team")
    secret = ring.identity("team", 1)
    assert secret.startswith("AGE-SECRET-KEY-1")
    assert secret not in f"{ring!r} {key!r} {ring.names()!r}"


def test_several_that_first_ask_at_once_get_the_same_key(tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        keys = pool.map(_first_key, [tmp_path / "keys"] * 6, chunksize=1)
        pool.close()
        pool.join()
    assert len(set(keys)) == 1
    assert [file.name for file in (tmp_path / "keys/default").iterdir()] == ["1.key"]


def _first_key(folder: Path) -> str:
    key = Keyring(folder).recipient()
    return key.recipient


def test_several_that_rotate_at_once_make_a_version_each(ring: Keyring) -> None:
    ring.create("team")
    threads = [threading.Thread(target=ring.rotate, args=("team",)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ring.names() == [KeyState("team", True, tuple(range(1, 10)), "file")]
    assert len({ring.identity("team", version) for version in range(1, 10)}) == 9


def test_a_command_gives_its_versions_the_oldest_first(tmp_path: Path) -> None:
    old, new = new_identity(), new_identity()
    ring = Keyring(tmp_path / "keys", {"alias/vault/x": printing(f"# old\n{old}\n\n# new\n{new}")})
    assert (ring.recipient("vault/x").version, ring.recipient("vault/x").recipient) == (2, recipient_of(new))
    assert [ring.identity("vault/x", version) for version in (1, 2)] == [old, new]
    for version in (0, 3):
        with pytest.raises(KeyMissing, match=f"gave 2 versions, not version {version}"):
            ring.identity("vault/x", version)
    assert not (tmp_path / "keys").exists()


def test_a_command_may_be_the_default_and_be_disabled_but_not_rotated(tmp_path: Path) -> None:
    ring = Keyring(tmp_path / "keys", {"default": printing(new_identity())})
    assert ring.recipient().version == 1
    for use in (ring.create, ring.rotate):
        with pytest.raises(KeyringError, match="comes from a command"):
            use("default")
    ring.disable("default")
    with pytest.raises(KeyDisabled):
        ring.recipient()
    ring.enable("default")
    assert ring.recipient().version == 1


SECRET = "AGE-SECRET-KEY-1" + "Q" * 58


@pytest.mark.parametrize(
    ("argv", "error", "words"),
    [
        (("/no/such/program",), KeyUnavailable, "cannot be started: No such file"),
        (("sh", "-c", f"echo {SECRET}; exit 3"), KeyUnavailable, "failed with status 3"),
        (("sh", "-c", f"echo {SECRET}; echo {SECRET} >&2"), KeyDamaged, "something else than age identities"),
        (("sh", "-c", "true"), KeyDamaged, "something else than age identities"),
        (("sh", "-c", f"echo {SECRET}; exec sleep 600"), KeyUnavailable, "did not answer within 0.3 s"),
        (("sh", "-c", f"echo {SECRET}; sleep 600 & exit 0"), KeyUnavailable, "did not answer within 0.3 s"),
        (("sh", "-c", f"echo {SECRET}; exec >&-; exec sleep 600"), KeyUnavailable, "did not end within 0.3 s"),
        (("yes", SECRET), KeyUnavailable, "said more than 65536 bytes"),
    ],
)
def test_a_command_that_fails_says_so_without_its_words(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], argv: tuple[str, ...], error: type[Exception], words: str
) -> None:
    ring = Keyring(tmp_path / "keys", {"vault": argv}, command_timeout_s=0.3)
    uses: list[Callable[[], object]] = [lambda: ring.recipient("vault"), lambda: ring.identity("vault", 1)]
    for use in uses:
        with pytest.raises(error, match=words) as caught:
            use()
        assert SECRET not in "".join(traceback.format_exception_only(caught.value))
    shown = capfd.readouterr()
    assert SECRET not in shown.out + shown.err


def test_what_a_command_started_ends_with_it(tmp_path: Path) -> None:
    noted = tmp_path / "pid"
    ring = Keyring(tmp_path / "keys", {"vault": ("sh", "-c", f"sleep 600 & echo $! > {noted}; wait")}, command_timeout_s=0.3)
    with pytest.raises(KeyUnavailable):
        ring.recipient("vault")
    stat = Path(f"/proc/{int(noted.read_text())}/stat")
    wait_for("it has ended", lambda: not stat.exists() or stat.read_text().rsplit(")", 1)[1].split()[0] in "ZX", 10)
