"""Forms into trees: what they mean, and what is refused before it costs anything."""

from __future__ import annotations

import tracemalloc

import pytest

from cachefleet.model.errors import AwsError
from cachefleet.protocol.form import MAX_BRANCHES, MAX_DEPTH, MAX_ESCAPES, MAX_PARAMETERS, parse_form


def refusal(*parts: bytes) -> AwsError:
    with pytest.raises(AwsError) as refused:
        parse_form(*parts)
    return refused.value


def test_dots_make_branches() -> None:
    assert parse_form(b"A.B.1=x&A.B.2=y&C=") == {"A": {"B": {"1": "x", "2": "y"}}, "C": ""}


def test_text_is_percent_encoded_utf8() -> None:
    assert parse_form(b"a=%C3%A9+b%2B%26", "b=\u00e9".encode()) == {"a": "\u00e9 b+&", "b": "\u00e9"}


def test_the_query_string_and_the_body_are_one_form() -> None:
    assert parse_form(b"A=1", b"B=2") == {"A": "1", "B": "2"}
    assert "given more than once" in refusal(b"A=1", b"A=2").message


@pytest.mark.parametrize("form", [b"A=1&A=1", b"A=1&A.B=2", b"A.B=2&A=1", b"A.B.C=1&A.B=2", b"A.B.1=1&A.B.1=2"])
def test_nothing_is_given_twice(form: bytes) -> None:
    error = refusal(form)
    assert error.code == "InvalidParameterValue"
    assert "given more than once" in error.message


@pytest.mark.parametrize("form", [b"a=%FF", b"a=\xff", b"%C3=1"])
def test_what_is_not_utf8_is_refused(form: bytes) -> None:
    assert refusal(form).code == "MalformedQueryString"


@pytest.mark.parametrize("form", [b"a=%00", b"a=%08x", b"a%1F=1", b"Name=%EF%BF%BE"])
def test_characters_that_no_reply_could_carry_are_refused(form: bytes) -> None:
    error = refusal(form)
    assert error.code == "InvalidParameterValue"
    assert "control character" in error.message


def test_limits() -> None:
    assert len(parse_form(b"&".join(b"p%d=" % number for number in range(MAX_PARAMETERS)))) == MAX_PARAMETERS
    assert str(MAX_PARAMETERS) in refusal(b"&".join(b"p%d=" % number for number in range(MAX_PARAMETERS + 1))).message
    assert (
        str(MAX_PARAMETERS) in refusal(b"a=1&b=2", b"&".join(b"p%d=" % number for number in range(MAX_PARAMETERS - 1))).message
    )
    assert parse_form(b"a=" + b"%41" * MAX_ESCAPES)["a"] == "A" * MAX_ESCAPES
    assert "percent-encoded" in refusal(b"a=" + b"%41" * (MAX_ESCAPES + 1)).message
    assert parse_form(b".".join([b"a"] * (MAX_DEPTH + 1)) + b"=1")
    assert "levels" in refusal(b".".join([b"a"] * (MAX_DEPTH + 2)) + b"=1").message
    assert "structures and lists" in refusal(b"&".join(b"%d.a.b=1" % number for number in range(MAX_BRANCHES))).message


def test_long_names_are_not_repeated_whole() -> None:
    assert len(refusal(b"x" * 100_000 + b"=1&" + b"x" * 100_000 + b"=1").message) < 300
    assert len(refusal(b"." * 100_000 + b"=1").message) < 300


def test_the_worst_form_stays_small_in_memory() -> None:
    worst = b"&".join(b"%d.a.b.c.d.e.f.g.h.i.j=1" % number for number in range(9_000))
    tracemalloc.start()
    try:
        refusal(worst)
        assert tracemalloc.get_traced_memory()[1] < 24 << 20
    finally:
        tracemalloc.stop()
