"""The C code that samples keys, with every access checked, under made and found inputs."""

from __future__ import annotations

import ctypes
import re
import subprocess
from pathlib import Path

import pytest

from cachefleet.engines.module_compiling import STRICT
from cachefleet.engines.trace_module import TRACE_SOURCE
from tests.fixtures.config_names import CHECKED
from tests.fixtures.iam_tokens import clang, require_compiler

HARNESS = Path(__file__).with_name("trace_fuzz.c")
SOURCES = [str(TRACE_SOURCE.folder / name) for name in ("commands.c", "trace.c")]


def built(folder: Path, name: str, *more: str, compiler: str = "") -> Path:
    """Every warning is an error."""
    options = [*STRICT, "-Werror", "-Wpedantic", "-Wconversion", f"-I{TRACE_SOURCE.folder}", "-g", *more]
    command = [compiler or require_compiler(), *options, "-o", str(folder / name), *SOURCES]
    subprocess.run(command, check=True, timeout=120)
    return folder / name


def run(program: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, timeout=240, check=False)


def test_every_command_of_the_list_is_found_and_no_other(tmp_path: Path) -> None:
    library = ctypes.CDLL(str(built(tmp_path, "trace.so", "-fPIC", "-shared")))
    library.command_named.restype = ctypes.c_void_p
    library.command_named.argtypes = [ctypes.c_char_p, ctypes.c_size_t]
    names = re.findall(r'\{"([a-z_]+)", KEY', (TRACE_SOURCE.folder / "commands.c").read_text())
    assert len(names) > 90
    assert names == sorted(names)
    for name in names:
        for written in (name, name.upper()):
            assert library.command_named(written.encode(), len(name))
        for wrong in (name[:-1] + "\0", name + "x", f"x{name}"):
            assert wrong in names or not library.command_named(wrong.encode(), len(wrong))
    assert not library.command_named(b"", 0)


def test_no_byte_is_read_or_written_where_there_is_none(tmp_path: Path) -> None:
    done = run(built(tmp_path, "fuzz", *CHECKED, "-DALONE", str(HARNESS)), "100000")
    assert done.returncode == 0, done.stderr[-2000:]
    inputs, known, entries = map(int, re.findall(r"(\d+) ", done.stdout))
    assert (inputs, known > 10_000, entries > 100_000) == (100_000, True, True)


@pytest.mark.skipif(not clang(), reason="clang is not installed")
def test_nor_by_what_a_fuzzer_finds(tmp_path: Path) -> None:
    try:
        program = built(tmp_path, "fuzz", *CHECKED, "-fsanitize=fuzzer", str(HARNESS), compiler=clang())
    except subprocess.CalledProcessError:
        pytest.skip("this clang has no libFuzzer")
    seeds = tmp_path / "seeds"
    seeds.mkdir()
    for number, text in enumerate((b"get a", b"MSET a 1 b 2", b"del " + b"k" * 200, b"zrangebyscore x", b" ")):
        (seeds / str(number)).write_bytes(text)
    done = run(program, seeds, "-runs=50000", "-max_len=600", "-max_total_time=30", "-seed=1")
    assert done.returncode == 0, done.stderr[-2000:]
