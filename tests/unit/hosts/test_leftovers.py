"""Which networks of other installations are swept: those of the dead only, and whatever cannot be known counts as life."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Collection, Sequence
from pathlib import Path

import pytest

from cachefleet.hosts.guards import group_id_of
from cachefleet.hosts.leftovers import Machine, Tables
from cachefleet.hosts.network import Registry


class Around:
    """Installations of a machine, of which `ours` sweeps. inhabited: numbers at which something is alive."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.places = [root / "run", root / "shared"]
        self.inhabited: set[int] = set()
        self.asked: dict[int, list[str]] = {}
        self.cleared: list[int] = []
        self.ours = self.install("ours", 50)

    def install(self, name: str, number: int) -> Registry:
        (self.root / name).mkdir()
        registry = Registry(self.root / name, self.places)
        assert registry.claim(number) == number
        return registry

    def die(self, name: str, number: int, *, keep_folder: bool = False) -> None:
        self.install(name, number).leave()
        if not keep_folder:
            (self.root / name / "network").unlink()
            (self.root / name).rmdir()

    def sweep(self, *littered: int) -> list[int]:
        return self.ours.sweep(self._is_inhabited, self._clear, littered)

    def claims(self) -> set[int]:
        return {int(file.name) for place in self.places if place.is_dir() for file in place.iterdir() if file.name.isdecimal()}

    def _is_inhabited(self, number: int, folders: Collection[str]) -> bool:
        self.asked[number] = list(folders)
        return number in self.inhabited

    def _clear(self, number: int) -> bool:
        self.cleared.append(number)
        return True


@pytest.fixture
def around(tmp_path: Path) -> Around:
    return Around(tmp_path)


def test_what_is_left_of_a_folder_that_is_gone_is_taken_away(around: Around) -> None:
    around.die("gone", 60)
    assert around.sweep() == [60]
    assert (around.cleared, around.claims()) == ([60], {50})
    assert around.asked == {60: [str(around.root / "gone")]}
    assert around.sweep() == []


def test_a_folder_that_stands_keeps_its_number(around: Around) -> None:
    around.die("dead", 61, keep_folder=True)
    assert around.sweep() == [61]
    assert around.claims() == {50, 61}
    assert Registry(around.root / "dead", around.places).claim(0) == 61


def test_who_works_with_a_network_is_left_alone(around: Around) -> None:
    living = around.install("living", 62)
    assert around.sweep() == []
    assert around.asked == {}
    living.leave()
    around.inhabited.add(62)
    assert around.sweep() == []
    assert living.claim(0) == 62
    around.inhabited.clear()
    assert around.sweep() == []


def test_a_service_that_is_killed_lets_go(around: Around) -> None:
    (around.root / "killed").mkdir()
    program = (
        "import sys; from pathlib import Path; from cachefleet.hosts.network import Registry\n"
        "registry = Registry(Path(sys.argv[1]), [Path(place) for place in sys.argv[2:]])\n"
        "print(registry.claim(63), flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(around.root / "killed"), *map(str, around.places)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as service:
        assert service.stdout is not None
        assert service.stdout.readline() == "63\n"
        assert around.sweep() == []
        service.kill()
        service.wait()
    assert around.sweep() == [63]


def test_tables_that_nobody_claims_are_taken_away_from_the_dead_only(around: Around) -> None:
    around.inhabited.add(70)
    assert around.sweep(50, 69, 70) == [69]
    assert around.asked == {69: [], 70: []}


def test_a_false_claim_of_somebody_else_opens_no_door(around: Around) -> None:
    """In the place that everybody may write to, on the network of one who lives."""
    living = around.install("living", 64)
    around.places[1].mkdir(exist_ok=True)
    (around.places[1] / "64").write_text("/nowhere\n")
    assert around.sweep() == []
    living.leave()
    around.inhabited.add(64)
    assert around.sweep() == []
    assert set(around.asked[64]) == {str(around.root / "living"), "/nowhere"}


def test_strange_files_in_the_shared_place_do_no_harm(around: Around) -> None:
    around.places[1].mkdir(exist_ok=True)
    for name, text in (("65", "relative/path"), ("66", ""), ("x", "/nowhere"), ("\u0663", "/nowhere")):
        (around.places[1] / name).write_text(text)
    os.mkfifo(around.places[1] / "67")
    (around.places[1] / "68").symlink_to("/etc/hostname")
    assert around.sweep() == []
    assert around.cleared == []


# --- what runs on a machine ------------------------------------------------------------------------------------------


def test_a_process_in_a_folder_is_life_though_the_folder_is_gone(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    (folder / "nodes").mkdir(parents=True)
    with subprocess.Popen([sys.executable, "-c", "input()"], cwd=folder / "nodes", stdin=subprocess.PIPE) as dweller:
        assert Machine().is_inhabited(255, [str(folder)])
        assert not Machine().is_inhabited(255, [f"{folder}-else", str(folder / "nod")])
        (folder / "nodes").rmdir()
        folder.rmdir()
        assert Machine().is_inhabited(255, [str(folder)])
        dweller.communicate(b"\n")
    assert not Machine().is_inhabited(255, [str(folder)])


def test_a_listener_in_a_network_is_life() -> None:
    """No installation has 255."""
    with socket.create_server(("127.255.64.1", 0)):
        assert Machine().is_inhabited(255, [])
    assert not Machine().is_inhabited(255, [])


def test_a_group_id_is_life(tmp_path: Path) -> None:
    for pid, gid in ((1, 0), (2, group_id_of(44))):
        (tmp_path / str(pid)).mkdir()
        (tmp_path / str(pid) / "status").write_text(f"Name:\tx\nState:\tS (sleeping)\nGid:\t0\t{gid}\t0\t0\n")
    (tmp_path / "3").mkdir()
    (tmp_path / "3" / "status").write_text("Name:\tx\n")
    assert Machine(tmp_path).is_inhabited(44, [])
    assert not Machine(tmp_path).is_inhabited(45, [])


def test_tables_are_removed_by_name() -> None:
    asked: list[list[str]] = []

    def nft(arguments: Sequence[str]) -> tuple[int, str]:
        asked.append(list(arguments))
        names = ("cachefleet_7", "cachefleet_7_guard", "cachefleet_77", "cachefleet_8_guard", "filter")
        return 0, json.dumps({"nftables": [{"metainfo": {}}, *({"table": {"family": "ip", "name": name}} for name in names)]})

    tables = Tables(nft)
    assert tables.networks == {7, 8, 77}
    assert [tables.remove(number) for number in (7, 8, 9)] == [True, True, False]
    assert asked == [
        ["-j", "list", "tables", "ip"],
        ["delete", "table", "ip", "cachefleet_7"],
        ["delete", "table", "ip", "cachefleet_7_guard"],
        ["delete", "table", "ip", "cachefleet_8_guard"],
    ]
    assert not Tables(lambda arguments: (1, "not permitted")).remove(7)


def test_one_that_has_ended_and_waits_to_be_reaped_is_none(tmp_path: Path) -> None:
    (tmp_path / "7").mkdir()
    status = f"Name:\tx\nState:\tZ (zombie)\nGid:\t0\t{group_id_of(44)}\t0\t0\n"
    (tmp_path / "7" / "status").write_text(status)
    assert not Machine(tmp_path).is_inhabited(44, [])
