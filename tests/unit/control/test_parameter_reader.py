"""Nodes are asked how they differ when that may have changed, and not on every look."""

from __future__ import annotations

import asyncio
from typing import Any

from cachefleet.control.parameter_reader import READ_AGAIN_S, ParameterReader, Subject
from cachefleet.engine_interfaces import EngineRefused
from cachefleet.model.observed import Address, ParameterView
from tests.fakes.clock import ManualClock

AT = Address("127.41.0.1", 6379)
DIFFERS, SAME = ParameterView(at_launch=("databases",)), ParameterView()


class Node:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.reader = ParameterReader(self.clock, 1.0)
        self.asked = 0
        self.view: ParameterView | None = SAME

    async def parameters(self, at: Address, spec: Any, build: Any) -> ParameterView:
        self.asked += 1
        if self.view is None:
            raise EngineRefused("it does not answer")
        return self.view

    def look(self, says: Any = 1, launch: str = "u.n.1", answers: bool = True) -> ParameterView | None:
        driver: Any = self
        spec: Any = lambda: (None, None)  # noqa: E731
        return asyncio.run(self.reader.views("u", {"n": Subject(launch, driver, AT, answers, says, spec)})).get("n")


def test_a_node_is_asked_once_and_then_again_after_a_while() -> None:
    node = Node()
    for _ in range(5):
        assert node.look() == SAME
    assert node.asked == 1
    node.view = DIFFERS
    node.clock.pass_time(READ_AGAIN_S)
    assert node.look() == DIFFERS and node.asked == 2


def test_another_launch_another_value_and_what_was_set_are_looked_at_at_once() -> None:
    node = Node()
    node.look()
    node.view = DIFFERS
    assert node.look(says=2) == DIFFERS
    node.view = SAME
    assert node.look(says=2, launch="u.n.2") == SAME
    node.view = DIFFERS
    node.reader.forget("u")
    assert node.look(says=2, launch="u.n.2") == DIFFERS


def test_a_node_that_does_not_answer_is_what_it_was() -> None:
    node = Node()
    node.look()
    node.view = None
    node.clock.pass_time(READ_AGAIN_S)
    assert node.look() == SAME and node.asked == 2
    assert node.look(answers=False) == SAME and node.asked == 2
    assert node.look(says=2) is None
    node.view = DIFFERS
    assert node.look(says=2) == DIFFERS


def test_a_node_of_which_the_spec_is_not_known_is_not_asked() -> None:
    node = Node()
    driver: Any = node
    asked = Subject("u.n.1", driver, AT, True, 1, lambda: None)
    assert asyncio.run(node.reader.views("u", {"n": asked})) == {} and node.asked == 0
