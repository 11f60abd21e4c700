"""What can be wrong with an RDB. Messages are for users: they follow "the snapshot " or the name of a file.

Raised by everything that reads RDBs; nothing here decides.
"""

from __future__ import annotations


class RdbFault(Exception):
    """Any of the three."""


class RdbUnknown(RdbFault):
    """A version, a type or a module's data that cannot be read here. The engine that wrote it may still be able to."""


class RdbDamaged(RdbFault):
    """Cut short, or not what an engine writes."""


class RdbRefused(RdbFault):
    """Whole and readable, but not fit for what was asked."""
