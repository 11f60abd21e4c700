"""One process of the AWS CLI for the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.component.tools.command_line import CommandLine


@pytest.fixture(scope="session")
def command_line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CommandLine]:
    made = CommandLine(tmp_path_factory.mktemp("cli"))
    try:
        yield made
    finally:
        made.close()
