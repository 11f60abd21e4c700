"""Kinds of columns that mean the same in both databases."""

from __future__ import annotations

import sqlalchemy as sa

# Compared byte by byte ("C" and BINARY), so that listings have one order everywhere.
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
LONG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def texts(*names: str) -> list[sa.Column[str]]:
    """Columns of text that is always there."""
    return [sa.Column(name, TEXT, nullable=False) for name in names]
