"""One service for the tests of this folder; each test makes groups of its own names and deletes them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.fixtures.cloud_stores import azure, azurite, google, google_bucket
from tests.fixtures.machine import data_folder
from tests.fixtures.object_store import bucket, s3_endpoint
from tests.fixtures.service import Service, running_service

__all__ = ["azure", "azurite", "bucket", "google", "google_bucket", "s3_endpoint"]


@pytest.fixture(scope="session")
def service() -> Iterator[Service]:
    with data_folder() as data, running_service(data) as running:
        yield running


@pytest.fixture
def elasticache(service: Service) -> Any:
    return service.client()
