"""The combinations and values that ElastiCache refuses, one by one as a client sees it, and that nothing has changed then. What
differs here is in docs/aws-differences.md."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest

from tests.component.rules import refusals_of_access as of_access
from tests.component.rules import refusals_of_shape as of_shape
from tests.component.rules.refusals_of_shape import Rule
from tests.component.rules.stage import RuleStage

RULES = [
    *of_shape.IDENTIFIERS,
    *of_shape.VALUES,
    *of_shape.FAILOVER,
    *of_shape.TOPOLOGY,
    *of_access.ENCRYPTION,
    *of_access.CHANGES,
    *of_access.USERS,
]


@pytest.mark.parametrize("rule", RULES, ids=[rule[0] for rule in RULES])
def test_a_rule(rule: Rule) -> None:
    _, setup, name, request, code, text = rule

    async def body() -> None:
        stage = RuleStage()
        await setup(stage)
        before = await rows(stage)
        reply = await stage.ask(name, request)
        assert reply.code == code, reply.message
        assert re.search(text, reply.message), reply.message
        assert await rows(stage) == before

    asyncio.run(body())


async def rows(stage: RuleStage) -> dict[Any, int]:
    """Versions of everything that there is: a request that is refused changes none."""
    return {key: row.version for key, row in stage.store._contents.rows.items()}  # type: ignore[attr-defined]
