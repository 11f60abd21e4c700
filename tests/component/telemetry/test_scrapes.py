"""Who may scrape: whoever shows the token, as RFC 6750 has it shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from cachefleet.app.metrics import SCRAPERS_FILE, Scrapes
from cachefleet.clock import SystemEntropy
from cachefleet.settings import MetricSettings, Settings
from cachefleet.telemetry.exposition import Exposition
from tests.fakes.clock import ManualClock


def scrapes(folder: Path, *, everybody: bool = False) -> Scrapes:
    settings = Settings(data=str(folder), metrics=MetricSettings(open=everybody))
    return Scrapes(settings, SystemEntropy(), Exposition(ManualClock()))


@pytest.mark.parametrize("form", ["Bearer {}", "bearer {}", "BEARER  {}"])
def test_the_scheme_is_of_any_case(tmp_path: Path, form: str) -> None:
    asked = scrapes(tmp_path)
    token = (tmp_path / SCRAPERS_FILE).read_text().strip()
    assert asked.answer(form.format(token)) is not None


@pytest.mark.parametrize(
    "form", ["", "Bearer", "Bearer ", "Basic {}", "{}", "Bearer {}x", "Bearer\t{}", "Bearer é", "Bearer {} {}"]
)
def test_nobody_else_may(tmp_path: Path, form: str) -> None:
    asked = scrapes(tmp_path)
    token = (tmp_path / SCRAPERS_FILE).read_text().strip()
    assert asked.answer(form.format(token, token)) is None
    assert scrapes(tmp_path, everybody=True).answer(form) is not None


def test_an_empty_file_is_filled(tmp_path: Path) -> None:
    (tmp_path / SCRAPERS_FILE).write_text("\n")
    asked = scrapes(tmp_path)
    assert asked.answer("Bearer ") is None and asked.answer("Bearer  ") is None
    file = tmp_path / SCRAPERS_FILE
    assert asked.answer(f"Bearer {file.read_text().strip()}") is not None and file.stat().st_mode & 0o777 == 0o600
