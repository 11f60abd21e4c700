"""What is asked for behind the question mark of a report's path. Pure; called by the reports that have parameters."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import parse_qsl

from cachefleet.api.names import quoted
from cachefleet.model.errors import invalid_value


def read_query(query: str, known: Sequence[str], what: str) -> dict[str, str]:
    """Parameters by name, those of `known` that are given. what: the report, for messages. Raises InvalidParameterValue."""
    found = parse_qsl(query, keep_blank_values=True)
    for name, _ in found:
        if name not in known:
            raise invalid_value(f"{quoted(name)} is no parameter of {what}; there are {', '.join(known)}.")
    if len(found) != len(dict(found)):
        raise invalid_value(f"Each parameter of {what} can be given once.")
    return dict(found)
