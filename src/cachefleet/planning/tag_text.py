"""What we say in a tag: with the characters that a tag may have, and no more than it may have. Pure."""

from __future__ import annotations

import unicodedata

CHARACTERS = 256
_MARKS = frozenset("_.:/=+-@")


def tag_text(text: str) -> str:
    text = text.replace("'", "").replace(" (", " - ").replace(";", " -")
    allowed = "".join(one if one in _MARKS or unicodedata.category(one)[0] in "LNZ" else " " for one in text)
    return " ".join(allowed.split())[:CHARACTERS].rstrip()
