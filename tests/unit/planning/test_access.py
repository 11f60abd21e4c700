"""Nodes are told whom to let in until they say that they do."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from cachefleet.model.access import CLOSED, OPEN, EngineUser, fingerprint
from cachefleet.model.iam_rules import IamRules
from cachefleet.model.plan import Admit, Launch, Plan, TellIamRules
from cachefleet.planning.group import plan_group
from tests.unit.planning.groups import replicated
from tests.unit.planning.world import World

READER = EngineUser("reader", ("~app:*", "+@read"), sha256=("ab" * 32,))


def plan(world: World, users: tuple[EngineUser, ...], seen: Mapping[str, str | None]) -> Plan:
    observed = world.observe()
    views = {name: replace(view, access=seen.get(name)) for name, view in observed.views.items()}
    observed = replace(observed, users=users, views=views)
    return plan_group("demo", True, world.desired, observed, world.memory, world.now, world.rules)


def settled() -> World:
    world = World(replicated(2))
    world.settle()
    return world


def admitted(planned: Plan) -> dict[str, tuple[EngineUser, ...]]:
    return {action.node: action.users for action in planned.actions if isinstance(action, Admit)}


def test_whoever_says_something_else_is_told() -> None:
    users = (CLOSED, READER)
    wanted = fingerprint(users)
    planned = plan(settled(), users, {"demo-001": wanted, "demo-002": fingerprint((OPEN,))})
    assert admitted(planned) == {"demo-002": users}
    assert planned.look_again_s < 1


def test_one_that_an_earlier_version_has_started_is_told_replicas_before_their_primary() -> None:
    assert admitted(plan(settled(), (OPEN,), {"demo-001": "", "demo-002": ""})) == {"demo-002": (OPEN,)}
    seen = {"demo-001": "", "demo-002": fingerprint((OPEN,))}
    assert admitted(plan(settled(), (OPEN,), seen)) == {"demo-001": (OPEN,)}


def test_nobody_is_told_when_all_say_so_or_cannot_be_asked() -> None:
    wanted = fingerprint((OPEN,))
    assert admitted(plan(settled(), (OPEN,), {"demo-001": wanted, "demo-002": None})) == {}


def test_a_launch_lets_in_the_same_users() -> None:
    world = settled()
    world.kill("demo-002")
    launches = []
    for _ in range(20):
        planned = plan(world, (CLOSED, READER), {})
        launches += [action for action in planned.actions if isinstance(action, Launch)]
        world.step()
    assert launches
    assert {launch.users for launch in launches} == {(CLOSED, READER)}


def test_the_fingerprint_is_of_the_users_and_not_of_their_order() -> None:
    assert fingerprint((OPEN, READER)) == fingerprint((READER, OPEN))
    others = [replace(READER, sha256=()), replace(READER, enabled=False), replace(READER, rules=("+@read",))]
    assert len({fingerprint((OPEN, user)) for user in (READER, *others)}) == 4


def test_whoever_checks_tokens_by_other_keys_is_told_the_present_ones() -> None:
    world, users, rules = settled(), (CLOSED, READER), IamRules("demo", "local-1", ("reader",), ())
    observed = world.observe()
    told = {"demo-001": rules.fingerprint(), "demo-002": "of yesterday"}
    views = {n: replace(v, access=fingerprint(users), iam_rules=told[n]) for n, v in observed.views.items()}
    observed = replace(observed, users=users, views=views, iam_rules=rules)
    planned = plan_group("demo", True, world.desired, observed, world.memory, world.now, world.rules)
    assert [action for action in planned.actions if isinstance(action, TellIamRules)] == [TellIamRules("demo-002", rules)]
    assert planned.memory.admitted is None or planned.memory.admitted.fingerprint != fingerprint(users)
    views = {name: replace(view, iam_rules=None) for name, view in views.items()}
    observed = replace(observed, views=views)
    planned = plan_group("demo", True, world.desired, observed, world.memory, world.now, world.rules)
    assert not any(isinstance(action, TellIamRules) for action in planned.actions)
