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

# Together they keep the worst request under 150 ms of the event loop; the largest useful one (a megabyte of PutMetricData, 1000
# metrics with ten dimensions each) stays below each.
MAX_PARAMETERS = 25_000
MAX_ESCAPES = 100_000
MAX_BRANCHES = 25_000
MAX_DEPTH = 12  # the deepest parameter of a served model has 9 steps

# Characters that XML 1.0 cannot carry: such a value could be stored but never be shown again.
UNSPEAKABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")


def parse_form(*parts: bytes) -> Tree:
    """Parameters of all parts together. Raises AwsError: malformed, too many, too deep, given twice."""
    root: Tree = {}
    branches = 0
    for name, value in _pairs(parts):
        if UNSPEAKABLE.search(name) or UNSPEAKABLE.search(value):
            raise invalid_value(f"{clip(UNSPEAKABLE.sub('?', name))} has a control character; remove it.")
        branches += _place(root, name, value)
        if branches > MAX_BRANCHES:
            raise _malformed(f"The request has more than {MAX_BRANCHES} structures and lists.")
    return root


def _pairs(parts: tuple[bytes, ...]) -> list[tuple[str, str]]:
    if sum(part.count(b"%") for part in parts) > MAX_ESCAPES:
        raise _malformed(f"The request has more than {MAX_ESCAPES} percent-encoded characters.")
    pairs: list[tuple[str, str]] = []
    for part in parts:
        left = MAX_PARAMETERS - len(pairs)
        if part and part.count(b"&") >= left:
            raise _malformed(f"The request has more than {MAX_PARAMETERS} parameters.")
        try:
            pairs += parse_qsl(part.decode(), keep_blank_values=True, errors="strict")
        except UnicodeError:
            raise _malformed("The parameters are not valid percent-encoded UTF-8.") from None
    return pairs


def _place(root: Tree, name: str, value: str) -> int:
    """Put one parameter into the tree; returns how many branches that made."""
    *above, last = name.split(".", MAX_DEPTH)
    if "." in last:
        raise invalid_value(f"Unknown parameter {clip(name)}: more than {MAX_DEPTH} levels.")
    branch = root
    made = 0
    for step in above:
        below = branch.get(step)
        if below is None:
            below = branch[step] = {}
            made += 1
        elif isinstance(below, str):
            raise _twice(name)
        branch = below
    if last in branch:
        raise _twice(name)
    branch[last] = value
    return made


def _malformed(message: str) -> AwsError:
    return AwsError("MalformedQueryString", message)


def _twice(name: str) -> AwsError:
    return invalid_value(f"The parameter {clip(name)} is given more than once; give it once.")
