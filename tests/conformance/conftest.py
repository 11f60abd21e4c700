"""Fixtures of the conformance suites: what stands behind each seam."""

from tests.fixtures.databases import database, shared_database, sql_database
from tests.fixtures.postgres import postgres, postgres_url

__all__ = ["database", "postgres", "postgres_url", "shared_database", "sql_database"]
