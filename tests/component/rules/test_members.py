"""Nothing is accepted and ignored: each input member of each operation makes a difference to what is answered or read back
afterwards, or is refused for its reason. And every operation is called with its least and with its full input."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from botocore.model import ListShape, Shape, StructureShape

from cachefleet.api.registry import OPERATIONS
from scripts.coverage_page import coverage_page
from tests.component.rules.stage import ELASTICACHE, Reply, RuleStage
from tests.component.rules.walks import ALWAYS_REFUSED, EXCEPT, UNSEEN, WALKS
from tests.component.rules.walks_of_changes import Request
from tests.component.rules.world import new_world, settle, shown

_ROOT = Path(__file__).parents[3]
BUILT = {name: found for (service, name), found in OPERATIONS.items() if service == "elasticache"}
NOT_WALKED: set[str] = set()  # to be added here and in errors_of_others.py
WALKED = sorted(set(BUILT) - ALWAYS_REFUSED - NOT_WALKED)


async def _outcome(name: str, request: Request) -> tuple[Reply, Mapping[str, Any]]:
    world = await new_world()
    reply = await world.ask(name, request)
    return reply, {"at once": await shown(world), "done": await _settled(world)}


async def _settled(world: RuleStage) -> Mapping[str, Any]:
    """What there is to be seen once all that does not wait for a window is done."""
    await settle(world)
    return await shown(world)


def outcome(name: str, request: Request) -> tuple[Reply, Mapping[str, Any]]:
    """What is answered, and what there is to be seen afterwards."""
    return asyncio.run(_outcome(name, request))


def succeeded(name: str, request: Request) -> tuple[Reply, Mapping[str, Any]]:
    found = outcome(name, request)
    assert found[0].status == 200, (request, found[0].message)
    return found


def test_every_operation_is_walked() -> None:
    assert set(WALKS) == set(WALKED)


@pytest.mark.parametrize("name", WALKED)
def test_least_and_full_input(name: str) -> None:
    walk = WALKS[name]
    succeeded(name, walk.base)
    full = {**walk.base, **walk.plain}
    if "MaxRecords" in walk.marked:
        full["MaxRecords"] = 50
    succeeded(name, full)


@pytest.mark.parametrize("name", WALKED)
def test_every_member_makes_a_difference(name: str) -> None:
    walk, operation = WALKS[name], BUILT[name]
    before, untouched = succeeded(name, walk.base), asyncio.run(_untouched())
    for member in sorted({*operation.effective, *operation.recorded}):
        if (name, member) in EXCEPT:
            assert member not in walk.plain and member not in walk.apart
        elif (name, member) in UNSEEN:
            assert (_ROOT / UNSEEN[name, member]).exists()
            without, with_it = walk.apart[member]
            assert stored(name, without) != stored(name, with_it), member
        elif member in walk.apart:
            without, with_it = walk.apart[member]
            assert outcome(name, without) != succeeded(name, with_it), member
        elif member in walk.marked:
            refusal = outcome(name, {**walk.base, member: walk.marked[member]})
            assert refusal[0].status in (400, 404), (member, refusal[0])
            assert refusal[1] == untouched, member
        else:
            assert member in walk.plain, f"{name} has no value for {member}"
            assert succeeded(name, {**walk.base, member: walk.plain[member]}) != before, member


def stored(name: str, request: Request) -> list[Any]:
    """What the rows say that is wanted."""

    async def ask() -> list[Any]:
        world = await new_world()
        reply = await world.ask(name, request)
        assert reply.status == 200, reply.message
        return sorted((str(key), repr(row.desired)) for key, row in world.store._contents.rows.items())  # type: ignore[attr-defined]

    return asyncio.run(ask())


async def _untouched() -> Mapping[str, Any]:
    """What is there when nothing was asked for."""
    world = await new_world()
    return {"at once": await shown(world), "done": await _settled(world)}


def test_what_is_recorded_changes_nothing_and_what_changes_something_is_not_called_recorded() -> None:
    recorded = {(name, member) for name, found in BUILT.items() for member in found.recorded}
    assert recorded == set(EXCEPT)
    for name, member in recorded:
        value = values(ELASTICACHE.model.operation_model(name).input_shape.members[member])[0]
        assert stored(name, WALKS[name].base) == stored(name, {**WALKS[name].base, member: value}), (name, member)


def test_an_operation_that_never_succeeds_says_why() -> None:
    assert {name for name, found in BUILT.items() if found.refuses} == ALWAYS_REFUSED
    page = coverage_page()
    for name in ALWAYS_REFUSED:
        assert f"| [{name}](#{name.lower()}) | refuses: {BUILT[name].refuses} |" in page


@pytest.mark.parametrize("name", sorted(set(BUILT) - NOT_WALKED))
def test_what_has_no_effect_is_refused_for_its_reason(name: str) -> None:
    operation = BUILT[name]
    shape = ELASTICACHE.model.operation_model(name).input_shape
    base = WALKS[name].base if name in WALKS else {}
    for member, below in shape.members.items():
        if member in operation.effective or member in operation.recorded:
            continue
        refusal = operation.refused.get(member)
        reason = "not implemented yet" if refusal is None else refusal.why
        value = next(one for one in values(below) if refusal is None or one not in refusal.unless)
        reply = outcome(name, {**base, member: value})[0]
        code = "InvalidParameterValue" if refusal is None else refusal.code
        assert (reply.code, reply.status) == (code, 400), (member, reply)
        assert member in reply.message and reason in reply.message
        for harmless in refusal.unless if refusal is not None else ():
            if harmless not in ([], ""):  # which the form of the wire has no way to say
                assert outcome(name, {**base, member: harmless}) == outcome(name, base), member


def values(shape: Shape) -> list[Any]:
    """Some of that shape."""
    if isinstance(shape, StructureShape):
        return [{name: values(below)[0] for name, below in shape.members.items()}]
    if isinstance(shape, ListShape):
        return [[values(shape.member)[0]]]
    if shape.type_name == "boolean":
        return [True, False]
    if shape.type_name in ("integer", "long"):
        return [1, 2]
    return [*(shape.enum or ()), "something"]
