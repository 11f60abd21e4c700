"""Form-encoded parameters as a tree: `A.B.1=x` becomes {"A": {"B": {"1": "x"}}}. Bounded in count and depth.

Knows no shapes. Called by the query codec.
"""

from __future__ import annotations

import re
from urllib.parse import parse_qsl

from cachefleet.model.errors import AwsError, invalid_value
from cachefleet.protocol.service import clip

Tree = dict[str, "Node"]
Node = str | Tree

MAX_PARAMETERS = 10_000
MAX_DEPTH = 12  # the deepest member of a served model has 7 names

# Characters that XML 1.0 cannot carry: such a value could be stored but never be shown again.
_UNSPEAKABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")


def parse_form(*parts: bytes) -> Tree:
    """Parameters of all parts together. Raises AwsError: malformed, too many, too deep, given twice."""
    pairs: list[tuple[str, str]] = []
    for part in parts:
        try:
            pairs += parse_qsl(part.decode(), keep_blank_values=True, errors="strict", max_num_fields=MAX_PARAMETERS)
        except UnicodeError:
            raise AwsError("MalformedQueryString", "The parameters are not valid percent-encoded UTF-8.") from None
        except ValueError:
            raise _too_many() from None
    if len(pairs) > MAX_PARAMETERS:
        raise _too_many()
    root: Tree = {}
    for name, value in pairs:
        if _UNSPEAKABLE.search(name) or _UNSPEAKABLE.search(value):
            raise invalid_value(f"{clip(_UNSPEAKABLE.sub('?', name))} has a control character; remove it.")
        _place(root, name, value)
    return root


def _place(root: Tree, name: str, value: str) -> None:
    *above, last = name.split(".", MAX_DEPTH)
    if "." in last:
        raise invalid_value(f"Unknown parameter {clip(name)}: more than {MAX_DEPTH} levels.")
    branch = root
    for step in above:
        below = branch.setdefault(step, {})
        if isinstance(below, str):
            raise _twice(name)
        branch = below
    if last in branch:
        raise _twice(name)
    branch[last] = value


def _twice(name: str) -> AwsError:
    return invalid_value(f"The parameter {clip(name)} is given more than once; give it once.")


def _too_many() -> AwsError:
    return AwsError("MalformedQueryString", f"The request has more than {MAX_PARAMETERS} parameters.")
