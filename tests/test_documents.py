"""Documents name files that exist: links between pages, and paths of the source in backticks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
LINK = re.compile(r"\]\((?!https?://|#)([^)#\s]+)(#[^)\s]*)?\)")
SOURCE = re.compile(r"`((?:[\w.-]+/)*[\w.-]+(?:\.py|/))`")
BASES = (ROOT, ROOT / "src" / "cachefleet", ROOT / "docs", ROOT / "tests")
TEST = re.compile(r"`(test_\w+)`")
OF_A_DATA_FOLDER = frozenset({"keys/", "nodes/", "services/"})


def _dangling(pattern: re.Pattern[str], bases: tuple[Path, ...]) -> Iterator[str]:
    for page in PAGES:
        for name in {found[1] for found in pattern.finditer(page.read_text())} - OF_A_DATA_FOLDER:
            if not any((base / name).exists() for base in (*bases, page.parent)):
                yield f"{page.relative_to(ROOT)}: {name}"


def test_links_lead_somewhere() -> None:
    assert sorted(_dangling(LINK, ())) == []


def test_paths_in_the_text_exist() -> None:
    assert sorted(_dangling(SOURCE, BASES)) == []


def test_attacks_have_their_tests() -> None:
    there = {found[1] for file in (ROOT / "tests").rglob("*.py") for found in re.finditer(r"def (test_\w+)", file.read_text())}
    named = {found[1] for found in TEST.finditer((ROOT / "SECURITY.md").read_text())}
    assert sorted(named - there) == []
    assert len(named) > 30
