"""The examples of `aws elasticache ... help`, as the installed AWS CLI brings them: command lines and what they print."""

from __future__ import annotations

import importlib.metadata
import json
import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

FOLDER = Path(str(importlib.metadata.distribution("awscli").locate_file("awscli/examples/elasticache")))
_COMMAND = re.compile(r"^ +aws elasticache (.*?)(?=\n\s*\n|\Z)", re.MULTILINE | re.DOTALL)
_NEXT_LINE = re.compile(r"[\\/] *\n\s*")  # one page has a slash for the backslash
_LEFT_OUT = re.compile(r",\s*(?:\.\.\.\s*)?(?=[\]}])")  # "..." for further items
_OUTPUT = re.compile(r"^Output *::\s*(?=\{)", re.MULTILINE)


class Example(msgspec.Struct, frozen=True):
    """name: of the command. words: of the command line after `aws elasticache`. output: None where it prints nothing."""

    name: str
    words: tuple[str, ...]
    output: Mapping[str, Any] | None


def examples() -> dict[str, Example]:
    """By name; each page has one."""
    return {path.stem: _read(path.stem, path.read_text()) for path in sorted(FOLDER.glob("*.rst"))}


def _read(name: str, page: str) -> Example:
    (command,) = _COMMAND.findall(page)
    words = tuple(shlex.split(_NEXT_LINE.sub(" ", command)))
    found = _OUTPUT.search(page)
    if found is None:
        assert "no output" in page, name
        return Example(name, words, None)
    output, _ = json.JSONDecoder().raw_decode(_LEFT_OUT.sub("", page[found.end() :]))
    return Example(name, words, output)


def missing(expected: Any, got: Any, where: str = "") -> Iterator[str]:
    """The members of the expected output that are not there, or of another type. Of a list, each item has to be like one that
    is there; one of anything is like nothing only where the expected is empty."""
    if isinstance(expected, Mapping):
        if not isinstance(got, Mapping):
            yield f"{where} is no object"
            return
        for name, value in expected.items():
            if name in got:
                yield from missing(value, got[name], f"{where}.{name}")
            else:
                yield f"{where}.{name}"
    elif isinstance(expected, list):
        if not isinstance(got, list):
            yield f"{where} is no list"
            return
        for item in expected:
            best = min((list(missing(item, one, f"{where}[]")) for one in got), key=len, default=[f"{where}[]"])
            yield from best
    elif _type(expected) is not _type(got):
        yield f"{where} is {got!r}, not like {expected!r}"


def _type(value: Any) -> type:
    return float if isinstance(value, int) and not isinstance(value, bool) else type(value)
