"""`cachefleet zone`: through the command line's own entry, on a data folder without a service."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cachefleet.app.installation import Installation
from cachefleet.cli.failure import in_words
from cachefleet.cli.main import app
from cachefleet.hosts.zones_out import FILE_NAME, ZonesOut


@pytest.fixture
def data(tmp_path: Path) -> Path:
    Installation(tmp_path).prepare()
    return tmp_path


def run(data: Path, *words: str) -> Result:
    return CliRunner().invoke(app, ["zone", *words, "--data", str(data)])


def test_out_and_back(data: Path) -> None:
    assert run(data, "list").output.splitlines() == ["a  in service", "b  in service", "c  in service"]
    result = run(data, "out", "b")
    assert result.exit_code == 0
    said, advice = result.output.splitlines()
    assert said == "Zone b is out: its nodes end, others take over."
    assert advice.startswith("Have it back with: ") and advice.endswith(f" zone back b --data {data}")
    assert ZonesOut(data / FILE_NAME).letters() == {"b"}
    assert (data / FILE_NAME).stat().st_mode & 0o777 == 0o600
    assert run(data, "out", "b").output == "Zone b was out already.\n"
    assert run(data, "list").output.splitlines() == ["a  in service", "b  out", "c  in service"]
    assert run(data, "back", "b").output == "Zone b is back: its nodes start again.\n"
    assert run(data, "back", "b").output == "Zone b was not out.\n"
    assert ZonesOut(data / FILE_NAME).letters() == frozenset()


@pytest.mark.parametrize("word", ["d", "A", "local-1a", "", "ab"])
def test_a_zone_that_does_not_exist_is_refused(data: Path, word: str) -> None:
    result = run(data, "out", word)
    assert result.exit_code == 1 and result.exception is not None
    assert in_words(result.exception) == f"there is no zone {word!r}; the zones are a, b, c"
    assert not (data / FILE_NAME).exists()


@pytest.mark.parametrize("words", [("out", "a"), ("back", "a"), ("list",)])
def test_without_an_installation_it_says_so(tmp_path: Path, words: tuple[str, ...]) -> None:
    result = run(tmp_path / "nothing", *words)
    assert result.exception is not None
    assert re.search("no Cachefleet has been started with the data folder", in_words(result.exception))
    assert not (tmp_path / "nothing").exists()
