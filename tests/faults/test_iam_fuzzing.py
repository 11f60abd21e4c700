"""The C code that reads what anybody may send, with every access checked, under altered and found inputs."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from botocore.credentials import Credentials

from cachefleet.model.iam_rules import IamRules, day_keys
from tests.fixtures.iam_tokens import clang, compiled, token

NOW = datetime(2026, 11, 23, 2, 30, 0)  # that of iam_fuzz.c
HARNESS = Path(__file__).with_name("iam_fuzz.c")
CHECKS = ("-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")


def run(program: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, timeout=240, check=False)


def seeds(folder: Path) -> Path:
    """A file with rules and a token that is right for them, at NOW."""
    place = folder / "seeds" / "right"
    place.parent.mkdir()
    key = Credentials("AKIDEXAMPLE0000000001", "a secret", "a session" * 20)
    keys = day_keys(
        key.access_key, key.secret_key, "eu-west-1", ("anna",), NOW.replace(tzinfo=UTC).timestamp(), session_token=key.token
    )
    rules = IamRules("shop", "eu-west-1", ("anna", "bert"), keys).text()
    place.write_bytes(rules + b"\0" + token("shop", "anna", key, NOW).encode())
    return place


def test_no_byte_is_read_or_written_where_there_is_none(tmp_path: Path) -> None:
    """A hundred thousand altered rules and tokens, with every access checked (by AddressSanitizer and UBSan)."""
    program = compiled(tmp_path, "fuzz", *CHECKS, "-DALONE", sources=[HARNESS])
    done = run(program, seeds(tmp_path), "100000")
    assert done.returncode == 0, done.stderr[-2000:]
    assert "100000 inputs" in done.stdout and int(done.stdout.split()[2]) > 0, "not even the seed was taken for right"


@pytest.mark.skipif(not clang(), reason="clang is not installed")
def test_nor_by_what_a_fuzzer_finds(tmp_path: Path) -> None:
    """libFuzzer, which looks at what the code does with its input, for a bounded number of inputs."""
    try:
        program = compiled(tmp_path, "fuzz", *CHECKS, "-fsanitize=fuzzer", sources=[HARNESS], compiler=clang())
    except subprocess.CalledProcessError:
        pytest.skip("this clang has no libFuzzer")
    done = run(program, seeds(tmp_path).parent, "-runs=200000", "-max_len=2048", "-max_total_time=60", "-seed=1")
    assert done.returncode == 0, done.stderr[-2000:]
