"""The C code that keeps names of commands for clients, with every access checked, under made and found inputs."""

from __future__ import annotations

import ctypes
import re
import subprocess
from pathlib import Path

import pytest

from cachefleet.engines.clients_module import CLIENTS_SOURCE
from cachefleet.engines.module_compiling import STRICT
from tests.fixtures.config_names import CHECKED
from tests.fixtures.iam_tokens import clang, require_compiler

HARNESS = Path(__file__).with_name("clients_fuzz.c")
WRITES, IS_GONE, IS_NEW = 1, 2, 4


class Word(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char * 65), ("old", ctypes.c_char * 65), ("flags", ctypes.c_int)]


class Table(ctypes.Structure):
    _fields_ = [
        ("words", ctypes.c_void_p),
        ("room", ctypes.c_size_t),
        ("count", ctypes.c_size_t),
        ("sizes", ctypes.c_uint64 * 32),
    ]


def built(folder: Path, name: str, *more: str, compiler: str = "") -> Path:
    """Every warning is an error."""
    options = [*STRICT, "-Werror", "-Wpedantic", "-Wconversion", f"-I{CLIENTS_SOURCE.folder}", "-g", *more]
    command = [compiler or require_compiler(), *options, "-o", str(folder / name), str(CLIENTS_SOURCE.folder / "words.c")]
    subprocess.run(command, check=True, timeout=120)
    return folder / name


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    library = ctypes.CDLL(str(built(tmp_path_factory.mktemp("words"), "words.so", "-fPIC", "-shared")))
    library.words_find.restype = ctypes.POINTER(Word)
    library.words_find.argtypes = [ctypes.POINTER(Table), ctypes.c_char_p, ctypes.c_size_t]
    library.words_add.argtypes = [ctypes.POINTER(Table), ctypes.c_char_p, ctypes.c_size_t, ctypes.c_int]
    library.words_read_renames.restype = ctypes.c_char_p
    library.words_read_renames.argtypes = [ctypes.POINTER(Table), ctypes.c_char_p, ctypes.c_size_t]
    return library


def flags(words: ctypes.CDLL, table: Table, name: bytes) -> int:
    found = words.words_find(table, name, len(name))
    return int(found.contents.flags) if found else 0


def test_renames_are_read_in_any_case_and_blocked_ones_left_to_users_rules(words: ctypes.CDLL) -> None:
    table, line = Table(), b"KEYS allKeys flushall BLOCKED  get set Set get"
    assert words.words_read_renames(table, line, len(line)) is None
    assert [flags(words, table, name) for name in (b"keys", b"ALLKEYS", b"flushall", b"blocked", b"key", b"keysx")] == [
        *(IS_GONE, IS_NEW),
        *[0] * 4,
    ]
    assert [flags(words, table, name) for name in (b"GET", b"set")] == [IS_GONE | IS_NEW] * 2, "two exchange their names"
    for new, old in ((b"allkeys", b"keys"), (b"GET", b"set"), (b"SET", b"get")):
        assert words.words_find(table, new, len(new)).contents.old == old
    words.words_free(ctypes.byref(table))
    assert (table.room, table.count) == (0, 0)


@pytest.mark.parametrize(
    "line",
    [b"keys", b"keys a b", b"keys a-b", b"keys " + b"a" * 21, b"keys a keys b", b"keys a scan A", b"k\0 a", b"a" * 65 + b" b"],
)
def test_other_lines_are_refused_with_the_rule(words: ctypes.CDLL, line: bytes) -> None:
    table = Table()
    assert words.words_read_renames(table, line, len(line))
    words.words_free(ctypes.byref(table))


def test_many_names_are_found_and_none_between_them(words: ctypes.CDLL) -> None:
    table = Table()
    names = [f"command-{number}".encode() for number in range(1000)]
    for name in names:
        assert words.words_add(table, name, len(name), WRITES)
    assert table.count == 1000
    assert {flags(words, table, name.upper()) for name in names} == {WRITES}
    assert not any(flags(words, table, name + b"x") or flags(words, table, name[1:]) for name in names)
    assert not words.words_add(table, b"", 0, WRITES) and not words.words_add(table, b"a", 1, 0)
    words.words_free(ctypes.byref(table))


def run(program: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, timeout=240, check=False)


def test_no_byte_is_read_or_written_where_there_is_none(tmp_path: Path) -> None:
    done = run(built(tmp_path, "fuzz", *CHECKED, "-DALONE", str(HARNESS)), "100000")
    assert done.returncode == 0, done.stderr[-2000:]
    inputs, taken, renamed = map(int, re.findall(r"(\d+) ", done.stdout))
    assert (inputs, 10_000 < taken < 90_000, renamed > 10_000) == (100_000, True, True), done.stdout


@pytest.mark.skipif(not clang(), reason="clang is not installed")
def test_nor_by_what_a_fuzzer_finds(tmp_path: Path) -> None:
    try:
        program = built(tmp_path, "fuzz", *CHECKED, "-fsanitize=fuzzer", str(HARNESS), compiler=clang())
    except subprocess.CalledProcessError:
        pytest.skip("this clang has no libFuzzer")
    seeds = tmp_path / "seeds"
    seeds.mkdir()
    for number, text in enumerate((b"keys a get b", b"flushall blocked", b"a b b a", b"a " * 200, b"")):
        (seeds / str(number)).write_bytes(text)
    done = run(program, seeds, "-runs=50000", "-max_len=600", "-max_total_time=30", "-seed=1")
    assert done.returncode == 0, done.stderr[-2000:]
