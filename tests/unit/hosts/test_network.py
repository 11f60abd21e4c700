"""Which 127.N.0.0/16 an installation gets: one each, for ever, also in a race."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from cachefleet.hosts.network import Registry
from cachefleet.interfaces import HostRefused

CLAIM = """
import sys
from pathlib import Path
from cachefleet.hosts.network import Registry
folder = Path(sys.argv[1])
folder.mkdir()
sys.stdin.readline()
print(Registry(folder, [Path(place) for place in sys.argv[3:]]).claim(int(sys.argv[2])))
"""
Claim = Callable[..., int]


@pytest.fixture
def places(tmp_path: Path) -> list[Path]:
    return [tmp_path / "run", tmp_path / "shared"]


@pytest.fixture
def claim(tmp_path: Path, places: list[Path]) -> Claim:
    def claim(name: str, wanted: int = 0) -> int:
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        return Registry(folder, places).claim(wanted)

    return claim


def test_a_folder_keeps_its_network(claim: Claim, tmp_path: Path) -> None:
    number = claim("one")
    assert 41 <= number <= 250
    assert [claim("one"), claim("one", number)] == [number] * 2
    assert (tmp_path / "one" / "network").read_text() == f"{number}\n"
    with pytest.raises(HostRefused, match=rf"addresses in 127\.{number}\.0\.0/16. Set it to {number}"):
        claim("one", number - 1)


def test_a_claim_that_stands_is_not_written_again(claim: Claim, tmp_path: Path, places: list[Path]) -> None:
    number = claim("one")
    files = [tmp_path / "one" / "network", places[0] / str(number)]
    before = [file.stat().st_ino for file in files]
    assert claim("one") == number
    assert [file.stat().st_ino for file in files] == before


def test_two_folders_never_share(claim: Claim) -> None:
    numbers = [claim(f"folder{number}") for number in range(30)]
    assert len(set(numbers)) == 30


def test_a_wanted_network_that_another_installation_has_is_refused(claim: Claim, tmp_path: Path) -> None:
    assert claim("one", 7) == 7
    with pytest.raises(HostRefused, match=rf"127\.7\.0\.0/16 belongs to the installation in {tmp_path}/one. Set host.network"):
        claim("two", 7)
    assert not (tmp_path / "two" / "network").exists()
    assert claim("two", 8) == 8


def test_all_at_once_get_one_each(tmp_path: Path, places: list[Path]) -> None:
    """Several processes; the claims on one number among them, which no other is given by itself, have one winner."""
    wanted = [0, 0, 0, 7, 7, 7]
    arguments = [[str(tmp_path / str(number)), str(want), *map(str, places)] for number, want in enumerate(wanted)]
    claimants = [
        subprocess.Popen(
            [sys.executable, "-c", CLAIM, *each],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for each in arguments
    ]
    for claimant in claimants:
        assert claimant.stdin
        claimant.stdin.write("go\n")
        claimant.stdin.flush()
    answers = [claimant.communicate(timeout=30) for claimant in claimants]
    numbers = [int(output) for output, _ in answers if output]
    assert len(set(numbers)) == len(numbers) == 4, answers
    assert numbers.count(7) == 1
    assert sum("HostRefused: 127.7.0.0/16 belongs to" in errors for _, errors in answers) == 2


@pytest.mark.parametrize("how", ["folder gone", "another number", "no number"])
def test_a_stale_claim_is_taken_over(claim: Claim, tmp_path: Path, how: str) -> None:
    assert claim("one", 60) == 60
    record = tmp_path / "one" / "network"
    if how == "another number":
        record.write_text("61\n")
    else:
        record.unlink()
    if how == "folder gone":
        (tmp_path / "one").rmdir()
    assert claim("two", 60) == 60
    if how != "folder gone":
        record.write_text("60\n")
        with pytest.raises(HostRefused, match=rf"{tmp_path}/two. Delete its data folder or {tmp_path}/one"):
            claim("one")


def test_a_moved_data_folder_takes_its_network_along_and_a_copied_one_does_not(claim: Claim, tmp_path: Path) -> None:
    number = claim("one")
    (tmp_path / "one").rename(tmp_path / "moved")
    assert claim("moved") == number
    (tmp_path / "copied").mkdir()
    (tmp_path / "copied" / "network").write_bytes((tmp_path / "moved" / "network").read_bytes())
    with pytest.raises(HostRefused, match=r"moved\. Delete"):
        claim("copied")


def test_a_restart_of_the_machine_forgets_claims_but_not_numbers(claim: Claim, places: list[Path]) -> None:
    number = claim("one")
    (places[0] / str(number)).unlink()
    assert claim("one") == number
    with pytest.raises(HostRefused, match="belongs to"):
        claim("two", number)


def test_release_gives_the_number_back(claim: Claim, tmp_path: Path, places: list[Path]) -> None:
    claim("one", 70)
    Registry(tmp_path / "one", places).release()
    assert not (tmp_path / "one" / "network").exists()
    assert not (places[0] / "70").exists()
    assert claim("two", 70) == 70
    Registry(tmp_path / "one", places).release()
    with pytest.raises(HostRefused):
        claim("three", 70)


def test_claims_in_the_other_place_count_too(tmp_path: Path, places: list[Path]) -> None:
    """Root writes to the first place, others to the second."""
    for name in ("root", "user"):
        (tmp_path / name).mkdir()
    assert Registry(tmp_path / "user", [tmp_path / "missing" / "run", places[1]]).claim(80) == 80
    with pytest.raises(HostRefused, match="user"):
        Registry(tmp_path / "root", places).claim(80)


def test_when_all_are_taken_it_says_so(claim: Claim) -> None:
    for number in range(41, 251):
        claim(f"folder{number}", number)
    with pytest.raises(HostRefused, match=r"all of 127\.41\.0\.0/16 to 127\.250\.0\.0/16"):
        claim("late")
    assert claim("late", 30) == 30


def test_a_broken_record_is_refused(claim: Claim, tmp_path: Path) -> None:
    claim("one")
    (tmp_path / "one" / "network").write_text("forty\n")
    with pytest.raises(HostRefused, match="should hold a number, not 'forty'"):
        claim("one")


def test_pipes_and_links_in_the_shared_place_do_no_harm(claim: Claim, tmp_path: Path, places: list[Path]) -> None:
    claim("one", 90)
    (tmp_path / "secret").write_text(f"{tmp_path}/one\n")
    places[1].mkdir()
    os.mkfifo(places[1] / "91")
    (places[1] / "92").symlink_to(tmp_path / "secret")
    assert [claim("two", 91), claim("three", 92)] == [91, 92]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs to become another user")
def test_users_respect_each_other() -> None:
    """A user cannot replace another's claim in the shared place, even a stale one, and believes a folder it may not read."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        root.chmod(0o711)
        places, others = [root / "missing" / "run", root / "shared"], [root / "b", root / "c"]
        (root / "a").mkdir(mode=0o700)
        assert Registry(root / "a", places).claim(100) == 100
        (places[1] / "101").write_text("/nowhere\n")
        for folder in others:
            folder.mkdir()
            os.chown(folder, 65534, 65534)
        assert places[1].stat().st_mode & 0o7777 == 0o1777
        assert _as_nobody(others[0], places, 100) == "belongs to"
        assert _as_nobody(others[0], places, 101) == "cannot be claimed"
        assert _as_nobody(others[0], places, 102) == "102"
        assert _as_nobody(others[1], places, 102) == "belongs to"


def _as_nobody(folder: Path, places: Sequence[Path], wanted: int) -> str:
    """What a claim of another user ends with: a number or the words of the refusal."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
            os.umask(0o077)
            answer = str(Registry(folder, places).claim(wanted))
        except HostRefused as error:
            answer = next((words for words in ("belongs to", "cannot be claimed") if words in str(error)), str(error))
        except BaseException as error:
            answer = repr(error)
        os.write(writer, answer.encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as stream:
        answer = stream.read()
    os.waitpid(child, 0)
    return answer
