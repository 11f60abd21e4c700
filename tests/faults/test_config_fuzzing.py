"""The C code that reads the names and patterns of clients' CONFIG, with every access checked, under made and found inputs."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.fixtures.config_names import CHECKED, compiled
from tests.fixtures.iam_tokens import clang

HARNESS = Path(__file__).with_name("config_fuzz.c")


def run(program: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, timeout=240, check=False)


def test_no_byte_is_read_or_written_where_there_is_none(tmp_path: Path) -> None:
    done = run(compiled(tmp_path, "fuzz", *CHECKED, "-DALONE", sources=[HARNESS]), "100000")
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.startswith("100000 inputs") and int(done.stdout.split()[2]) > 10_000


@pytest.mark.skipif(not clang(), reason="clang is not installed")
def test_nor_by_what_a_fuzzer_finds(tmp_path: Path) -> None:
    try:
        program = compiled(tmp_path, "fuzz", *CHECKED, "-fsanitize=fuzzer", sources=[HARNESS], compiler=clang())
    except subprocess.CalledProcessError:
        pytest.skip("this clang has no libFuzzer")
    seeds = tmp_path / "seeds"
    seeds.mkdir()
    for number, text in enumerate((b"maxmemory*", b"[a-m]*", b"*\\-*", b"notify-keyspace-events", b"[^a")):
        (seeds / str(number)).write_bytes(text)
    done = run(program, seeds, "-runs=100000", "-max_len=300", "-max_total_time=40", "-seed=1")
    assert done.returncode == 0, done.stderr[-2000:]
