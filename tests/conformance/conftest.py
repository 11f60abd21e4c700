"""Fixtures of the conformance suites: what stands behind each seam."""

from tests.fixtures.cloud_stores import azure, azurite, google, google_bucket
from tests.fixtures.databases import database, shared_database, sql_database
from tests.fixtures.object_store import bucket, s3_endpoint
from tests.fixtures.postgres import postgres, postgres_url

__all__ = [
    "azure",
    "azurite",
    "bucket",
    "database",
    "google",
    "google_bucket",
    "postgres",
    "postgres_url",
    "s3_endpoint",
    "shared_database",
    "sql_database",
]
