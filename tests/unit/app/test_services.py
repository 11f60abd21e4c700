"""Services of one folder: their numbers, what they tell of themselves, and how others know that one is dead."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from cachefleet.app.services import MOST, Membership, ServiceInfo, TooManyServices, is_dead, leader_of, running_services
from tests.fakes.entropy import SeededEntropy

JOIN = """
import pathlib, sys
from cachefleet.app.services import Membership
from cachefleet.clock import SystemEntropy
with Membership(pathlib.Path(sys.argv[1]), SystemEntropy()) as member:
    print(member.holder, flush=True)
    sys.stdin.read()
"""


def members(folder: Path, count: int) -> list[Membership]:
    return [Membership(folder, SeededEntropy(number)) for number in range(count)]


def test_a_service_tells_of_itself_for_as_long_as_it_runs(tmp_path: Path) -> None:
    assert running_services(tmp_path) == []
    one, other = members(tmp_path, 2)
    with one, other:
        assert (one.number, other.number) == (1, 2)
        assert one.holder.startswith("1-") and other.holder.startswith("2-")
        one.answers("http://127.0.0.1:1", "local-1")
        other.leads(7)
        mine, others = ServiceInfo(os.getpid(), "http://127.0.0.1:1", "local-1", one.holder), running_services(tmp_path)
        assert others == [mine, ServiceInfo(os.getpid(), "", "", other.holder, 7)]
        assert leader_of(others) == others[1]
        one.leads(8)
        leader = leader_of(running_services(tmp_path))
        assert leader is not None and leader.holder == one.holder, "the newer token leads"
        other.leads(0)
        one.leads(0)
        assert leader_of(running_services(tmp_path)) is None
    assert running_services(tmp_path) == []


def test_a_number_is_used_again_under_another_name(tmp_path: Path) -> None:
    one, other, third = members(tmp_path, 3)
    with other:
        with one:
            pass
        with third:
            assert third.number == one.number == 2
            assert third.holder != one.holder
            assert [service.holder for service in running_services(tmp_path)] == [other.holder, third.holder]


def test_who_is_dead(tmp_path: Path) -> None:
    one, other = members(tmp_path, 2)
    assert not is_dead(tmp_path, "1-unknown"), "nobody ever had that number, so nothing is known"
    for odd in ("", "x", "1", "../1-a", "-1-a", "²-a"):
        assert not is_dead(tmp_path, odd)
    with one:
        assert not is_dead(tmp_path, one.holder)
        assert is_dead(tmp_path, "1-before"), "another one has its number"
    assert is_dead(tmp_path, one.holder)
    with other:
        assert is_dead(tmp_path, one.holder)
        (tmp_path / "services" / "1.json").write_bytes(b" " * 10)
        assert not is_dead(tmp_path, one.holder), "whoever has the lock has not said yet who it is"
        assert running_services(tmp_path) == [ServiceInfo(0, "", "")]


def test_a_killed_process_is_dead_at_once(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", JOIN, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout and process.stdin
        holder = process.stdout.readline().strip()
        assert [service.pid for service in running_services(tmp_path)] == [process.pid]
        assert not is_dead(tmp_path, holder)
    finally:
        process.kill()
        process.communicate(timeout=10)
    assert is_dead(tmp_path, holder)
    assert running_services(tmp_path) == []


def test_a_file_that_was_taken_away_is_noticed(tmp_path: Path) -> None:
    (member,) = members(tmp_path, 1)
    with member:
        assert not member.lost()
        path = tmp_path / "services" / "1.json"
        content = path.read_bytes()
        path.unlink()
        assert member.lost()
        path.write_bytes(content)
        assert member.lost(), "what others look at is not what is locked"


def test_what_is_told_can_be_read_at_any_moment(tmp_path: Path) -> None:
    (member,) = members(tmp_path, 1)
    with member:
        for number in range(200):
            member.answers("http://127.0.0.1:" + "1" * (number % 50), "local-1")
            (service,) = running_services(tmp_path)
            assert service.url.count("1") == number % 50 + 2
        assert (tmp_path / "services" / "1.json").stat().st_mode & 0o777 == 0o600
        assert msgspec.json.decode((tmp_path / "services" / "1.json").read_bytes())["holder"] == member.holder


def test_there_is_an_end_to_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cachefleet.app.services.MOST", 2)
    one, other, third = members(tmp_path, 3)
    with one, other, pytest.raises(TooManyServices, match="2 services run"), third:
        pass
    assert MOST > 2
