"""MaxRecords, markers and pages."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachefleet.api.paging import (
    Page,
    after_of,
    cut,
    page_from,
    page_of,
    page_sequence,
    place_of,
    read_marker,
    reply,
    write_marker,
)
from cachefleet.model.errors import AwsError

NAMES = [f"g{number:03}" for number in range(45)]
WRONG = AwsError("InvalidNextToken", "not ours")


def test_defaults() -> None:
    assert page_of({}, "k") == Page("k", 100, "")
    assert page_of({"Marker": ""}, "k", default=50, maximum=50) == Page("k", 50, "")
    assert page_of({"MaxRecords": 20, "Marker": write_marker("k", "x")}, "k") == Page("k", 20, "x")


@pytest.mark.parametrize("records", [-1, 0, 19, 101, 2**31])
def test_max_records_has_bounds(records: int) -> None:
    with pytest.raises(AwsError, match=f"Invalid value {records} for MaxRecords: it must be between 20 and 100") as refused:
        page_of({"MaxRecords": records}, "k")
    assert refused.value.code == "InvalidParameterValue"


@pytest.mark.parametrize(
    "marker",
    [
        "x",
        "demo",
        "%%%",
        "ä",
        base64.b64encode(b"k").decode(),
        base64.b64encode(b"k/").decode(),
        base64.b64encode(b"other/name").decode(),
        base64.b64encode(b"k/\x00").decode(),
        base64.b64encode(b"k/\xff").decode(),
        write_marker("k", "name") + "=",
    ],
)
def test_foreign_markers_are_refused(marker: str) -> None:
    with pytest.raises(AwsError, match="Invalid marker") as refused:
        page_of({"Marker": marker}, "k")
    assert refused.value.code == "InvalidParameterValue"


@given(st.text(st.characters(exclude_categories=("C", "Z")), min_size=1))
def test_markers_come_back(last: str) -> None:
    assert read_marker("kind", write_marker("kind", last)) == last


@pytest.mark.parametrize("limit", [20, 44, 45, 46, 100])
def test_pages_together_are_the_whole_list(limit: int) -> None:
    seen: list[str] = []
    request: dict[str, Any] = {"MaxRecords": limit}
    for _ in range(10):
        shown, marker = page_sequence(NAMES, page_of(request, "k"), str)
        assert len(shown) <= limit
        seen += shown
        if marker is None:
            break
        request["Marker"] = marker
    assert seen == NAMES


def test_a_full_last_page_has_no_marker() -> None:
    page = Page("k", 45)
    assert cut(NAMES[: page.fetch], page, str) == (NAMES, None)


def test_an_item_that_vanishes_between_pages_breaks_nothing() -> None:
    page = Page("k", 20)
    _, marker = page_sequence(NAMES, page, str)
    assert marker is not None
    without = [name for name in NAMES if name != "g019"]
    shown, _ = page_sequence(without, page_of({"MaxRecords": 20, "Marker": marker}, "k"), str)
    assert shown[0] == "g020"


def test_a_reply_has_a_marker_only_where_there_is_more() -> None:
    assert reply("Items", [], None) == {"Items": []}
    assert reply("Items", [1], "m") == {"Items": [1], "Marker": "m"}


def test_pages_by_place_together_are_the_whole_list() -> None:
    seen: list[str] = []
    token: str | None = None
    for _ in range(10):
        shown, token = page_from(place_of("k", token, WRONG), NAMES, 15, "k")
        assert len(shown) <= 15
        seen += shown
        if token is None:
            break
    assert seen == NAMES


@pytest.mark.parametrize("token", ["x", write_marker("other", "15"), write_marker("k", "-1"), write_marker("k", "g019")])
def test_a_token_that_was_not_given_is_refused_in_the_words_of_the_service(token: str) -> None:
    with pytest.raises(AwsError) as refused:
        place_of("k", token, WRONG)
    assert refused.value is WRONG
    assert (after_of("k", None, WRONG), after_of("k", "", WRONG), place_of("k", None, WRONG)) == ("", "", 0)
