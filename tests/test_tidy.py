"""Style as a unit test: what a reviewer would otherwise have to say again and again.

Reads the files of the checkout as text and as syntax trees; imports none of them.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("src", "tests", "bench", "scripts", "docs", "requirements", ".ci")
MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 70
BANNED_NAMES = frozenset({"utils", "util", "helpers", "helper", "manager"})

CLOCK = "src/cachefleet/clock.py"
TIME_CALLS = frozenset(
    {"time.time", "time.time_ns", "time.monotonic", "time.monotonic_ns", "time.perf_counter", "time.perf_counter_ns"}
    | {"datetime.now", "datetime.utcnow", "datetime.today", "date.today", "datetime.datetime.now", "datetime.datetime.utcnow"}
)
SLEEP_CALLS = frozenset({"time.sleep", "asyncio.sleep"})
CHANCE_CALLS = frozenset({"os.urandom", "uuid.uuid1", "uuid.uuid4"})
CHANCE_MODULES = ("random", "secrets")
HARMLESS_CHANCE = frozenset({"secrets.compare_digest"})

# Written in pieces, so that this file does not find itself.
UNFINISHED = re.compile(r"\b(TO" + "DO|FIX" + r"ME|XX" + r"X)\b")
MACHINE_PATH = re.compile(r"(?<![\w.~*-])/(wo" + "rk/|ro" + "ot/|ho" + r"me/\w|opt/(wheels|pypi)|tmp/br" + "ief)")
REGISTRY = re.compile(r"(pypi|pythonhosted|npmjs|debian|docker|crates|rubygems|golang)\." + r"(org|com|io)\b|index-" + "url *=")


def _files(suffixes: tuple[str, ...] = ()) -> Iterator[Path]:
    """Files of the checkout that are meant to be read by people."""
    found = [path for path in ROOT.iterdir() if path.is_file()]
    for folder in FOLDERS:
        found += (ROOT / folder).rglob("*")
    for path in sorted(found):
        built = any(part == "__pycache__" or part.endswith(".egg-info") for part in path.parts)
        if path.is_file() and not built and (not suffixes or path.suffix in suffixes):
            yield path


def _sources(folder: str) -> Iterator[Path]:
    return (path for path in _files((".py",)) if _name(path).startswith(folder + "/"))


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), filename=str(path))


def _calls(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """(line, dotted name) of every call by name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield node.lineno, ast.unparse(node.func)


def _imports(path: Path) -> Iterator[tuple[int, str]]:
    """(line, dotted name) of everything imported; `from a import b` is a.b."""
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def _is_chance(name: str) -> bool:
    return name in CHANCE_CALLS or (name.split(".", maxsplit=1)[0] in CHANCE_MODULES and name not in HARMLESS_CHANCE)


def test_files_are_short() -> None:
    sizes = {_name(path): len(path.read_text().splitlines()) for path in _files((".py",))}
    assert {name: lines for name, lines in sizes.items() if lines > MAX_FILE_LINES} == {}


def test_functions_are_short() -> None:
    long = [
        f"{_name(path)}:{node.lineno} {node.name}"
        for path in _files((".py",))
        for node in ast.walk(_tree(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or node.lineno) - node.lineno + 1 > MAX_FUNCTION_LINES
    ]
    assert long == []


def test_modules_say_what_they_are_for() -> None:
    silent = [
        _name(path)
        for folder in ("src", "bench", "scripts")
        for path in _sources(folder)
        if _tree(path).body and not ast.get_docstring(_tree(path))
    ]
    assert silent == []


def test_modules_are_named_after_things() -> None:
    assert [_name(path) for path in _files((".py",)) if BANNED_NAMES & set(path.stem.split("_"))] == []


def test_only_the_clock_reads_time_sleeps_or_draws() -> None:
    banned = [
        f"{_name(path)}:{line} {name}"
        for path in _sources("src")
        if _name(path) != CLOCK
        for line, name in [*_calls(_tree(path)), *_imports(path)]
        if name in TIME_CALLS | SLEEP_CALLS or (_is_chance(name) and "." in name)
    ]
    assert banned == []


def test_only_the_command_line_prints() -> None:
    """To standard output, that is; a program of its own may complain to standard error."""
    printing = [
        f"{_name(path)}:{node.lineno}"
        for path in _sources("src")
        if not _name(path).startswith("src/cachefleet/cli/")
        for node in ast.walk(_tree(path))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "print" and "file" not in [k.arg for k in node.keywords]
    ]
    assert printing == []


def test_only_the_store_imports_sqlalchemy() -> None:
    elsewhere = [
        f"{_name(path)}:{line}"
        for path in _sources("src")
        if not _name(path).startswith("src/cachefleet/store/")
        for line, name in _imports(path)
        if name.split(".")[0] == "sqlalchemy"
    ]
    assert elsewhere == []


def test_tests_never_sleep_for_a_fixed_time() -> None:
    """A sleep between two looks stands in a loop; one outside of a loop hopes that the time is enough."""
    fixed: list[str] = []
    for path in _sources("tests"):
        loops = [node for node in ast.walk(_tree(path)) if isinstance(node, ast.While | ast.For | ast.AsyncFor)]
        polled = {(line, name) for loop in loops for line, name in _calls(loop)}
        fixed += [
            f"{_name(path)}:{line}"
            for line, name in _calls(_tree(path))
            if name in SLEEP_CALLS and (line, name) not in polled and "sleep(0)" not in path.read_text().splitlines()[line - 1]
        ]
    assert fixed == []


def test_every_test_module_can_fail() -> None:
    toothless = [
        _name(path)
        for path in _sources("tests")
        if path.name.startswith("test_")
        and not any(isinstance(node, ast.Assert) for node in ast.walk(_tree(path)))
        and not any(name.endswith("raises") for _, name in _calls(_tree(path)))
    ]
    assert toothless == []


def test_nothing_is_marked_unfinished() -> None:
    assert _lines_with(UNFINISHED) == []


def test_no_file_names_a_machine_or_a_registry() -> None:
    assert _lines_with(MACHINE_PATH) + _lines_with(REGISTRY) == []


def _lines_with(pattern: re.Pattern[str]) -> list[str]:
    return [
        f"{_name(path)}:{number} {line.strip()[:80]}"
        for path in _files()
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1)
        if pattern.search(line)
    ]
