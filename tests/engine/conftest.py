"""One service for the tests of this folder; each test makes groups of its own names and deletes them."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.object_store import bucket, s3_endpoint
from tests.fixtures.service import Service, running_service

__all__ = ["bucket", "s3_endpoint"]


@pytest.fixture(scope="session")
def service() -> Iterator[Service]:
    data = Path(tempfile.mkdtemp(prefix="cachefleet-test-"))
    try:
        with running_service(data) as running:
            yield running
    finally:
        shutil.rmtree(data, ignore_errors=True)


@pytest.fixture
def elasticache(service: Service) -> Any:
    return service.client()
