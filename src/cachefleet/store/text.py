"""What text a database can hold: PostgreSQL no U+0000, neither of them lone surrogates. Both are treated alike.

Called for names and markers that come from outside, and for messages.
"""

from __future__ import annotations


def storable(text: str) -> bool:
    return "\0" not in text and text == _encodable(text)


def cleaned(text: str) -> str:
    """With U+FFFD in place of what cannot be stored."""
    return _encodable(text.replace("\0", "\ufffd"))


def marker(text: str) -> str:
    """A name to continue a listing after. No stored name holds U+0000, so what follows it does not change the place."""
    return _encodable(text.partition("\0")[0])


def _encodable(text: str) -> str:
    return text.encode(errors="surrogatepass").decode(errors="replace") if not text.isascii() else text
