"""Nothing inside of a structure of a request is accepted and ignored either: each of its members makes a difference."""

from __future__ import annotations

import pytest
from botocore.model import ListShape, Shape, StructureShape

from tests.component.rules.stage import ELASTICACHE
from tests.component.rules.test_members import BUILT, NOT_WALKED, outcome
from tests.component.rules.walks_of_inner_members import INNER


def inner_members() -> set[tuple[str, str]]:
    """(structure, member) of everything that has an effect."""
    found: set[tuple[str, str]] = set()

    def look(shape: Shape) -> None:
        if isinstance(shape, ListShape):
            look(shape.member)
        elif isinstance(shape, StructureShape):
            for name, below in shape.members.items():
                found.add((shape.name, name))
                look(below)

    for name, operation in BUILT.items():
        shape = ELASTICACHE.model.operation_model(name).input_shape
        for member, below in shape.members.items():
            if member in operation.effective and name not in NOT_WALKED:
                look(below)
    return found


def test_every_structure_is_walked() -> None:
    assert inner_members() <= set(INNER)


@pytest.mark.parametrize("member", sorted(INNER), ids=".".join)
def test_an_inner_member_makes_a_difference(member: tuple[str, str]) -> None:
    name, without, with_it = INNER[member]
    before, after = outcome(name, without), outcome(name, with_it)
    assert before[0].status == 200 or member == ("CloudWatchLogsDestinationDetails", "LogGroup"), before[0].message
    assert before != after
