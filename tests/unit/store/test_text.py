from __future__ import annotations

import pytest

from cachefleet.store.text import cleaned, marker, storable


@pytest.mark.parametrize("text", ["", "a", "größe", "東京 😀", "\x01\x1f\x7f", "\ufffd", "\uffff"])
def test_text_that_can_be_stored_stays_as_it_is(text: str) -> None:
    assert storable(text)
    assert cleaned(text) == marker(text) == text


@pytest.mark.parametrize("text", ["\0", "a\0b", "\ud800", "ü\udfff", "\0\udc80"])
def test_text_that_cannot_be_stored(text: str) -> None:
    assert not storable(text)
    for instead in (cleaned(text), marker(text)):
        assert storable(instead)
    assert "\ufffd" in cleaned(text)


def test_a_marker_ends_at_the_first_nul() -> None:
    assert marker("ab\0cd") == "ab"
