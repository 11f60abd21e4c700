"""Rows against their targets, and a page that keeps what was not measured again."""

from __future__ import annotations

import pytest

from bench.row import Row
from bench.table import page, section, sections_of

MACHINE = [("processor", "one"), ("kernel", "6")]


def row(*values: float, **more: object) -> Row:
    return Row(figure="f", unit="ms", values=values, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(("count", "p95"), [(19, None), (20, 19), (30, 29), (100, 95)])
def test_one_value_in_twenty_may_be_worse_than_p95(count: int, p95: float | None) -> None:
    assert row(*range(count, 0, -1)).p95 == p95


def test_what_should_be_high_is_worse_when_low() -> None:
    assert row(*range(1, 31), at_least=True).p95 == 2


def test_a_target_holds_for_the_median_or_for_each_value() -> None:
    assert row(0, 0, 1, target=0).met is True
    assert row(0, 0, 1, target=0, each=True).met is False
    assert row(20, 30, 19, target=20, at_least=True).met is True
    assert row(20, 30, 19, target=20, at_least=True, each=True).met is False
    assert row(1).met is None


def test_a_page_gives_its_sections_back_unless_the_machine_is_another_one() -> None:
    sections = {
        "creation": section("creation", "How soon.", "Today.", [row(1, target=2, each=True)]),
        "idle": section("idle", "What\n\nit costs.", "Then.", [row(*range(1, 31))]),
    }
    text = page(MACHINE, sections)
    assert sections_of(text, MACHINE) == sections
    assert sections_of(text, [*MACHINE, ("Python", "3")]) is None
    assert "| f | 1 ms |  | 1 ms | 1 | ≤ 2 ms, each | yes |  |" in text
    assert "| f | 15.5 ms | 29 ms | 30 ms | 30 |  |  |  |" in text


def test_an_engine_more_makes_no_other_machine_and_one_less_does() -> None:
    text = page([*MACHINE, ("engines", "valkey 9.1.2, redis 7.0.15")], {})
    assert sections_of(text, [*MACHINE, ("engines", "valkey 9.1.2, valkey 8.0.1, redis 7.0.15")]) == {}
    assert sections_of(text, [*MACHINE, ("engines", "valkey 9.1.2")]) is None
