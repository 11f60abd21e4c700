"""Nodes are told whom to let in until they say that they do."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from msgspec.structs import replace

from cachefleet.model.access import CLOSED, OPEN, EngineUser, fingerprint
from cachefleet.model.iam_rules import IamRules
from cachefleet.model.observed import Observed, ProcessView
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


def agreed(planned: Plan, users: tuple[EngineUser, ...]) -> bool:
    """It is shown as done."""
    return planned.memory.admitted is not None and planned.memory.admitted.fingerprint == fingerprint(users)


def seen_with(users: tuple[EngineUser, ...], change: Callable[[World, Observed], Observed]) -> Plan:
    """A pass over a settled world where all nodes say that they have these users, with that change."""
    world = settled()
    observed = world.observe()
    views = {name: replace(view, access=fingerprint(users)) for name, view in observed.views.items()}
    observed = change(world, replace(observed, users=users, views=views))
    return plan_group("demo", True, world.desired, observed, world.memory, world.now, world.rules)


def test_it_is_done_when_every_process_says_so() -> None:
    assert agreed(seen_with((CLOSED, READER), lambda world, observed: observed), (CLOSED, READER))


def test_one_that_is_too_busy_to_say_holds_it_up() -> None:
    def busy(world: World, observed: Observed) -> Observed:
        view = replace(observed.views["demo-002"], access=None, busy_reply=True, why="BUSY")
        return replace(observed, views={**observed.views, "demo-002": view})

    planned = seen_with((CLOSED, READER), busy)
    assert not agreed(planned, (CLOSED, READER))
    assert admitted(planned) == {}


def test_one_that_is_given_up_holds_it_up_until_it_has_ended() -> None:
    def given_up(world: World, observed: Observed) -> Observed:
        known = world.memory.nodes["demo-002"]
        known.given_up = known.launches
        return observed

    def and_gone(world: World, observed: Observed) -> Observed:
        observed = given_up(world, observed)
        name = world.of("demo-002").incarnation
        return replace(observed, processes={**observed.processes, name: replace(observed.processes[name], running=False)})

    assert not agreed(seen_with((CLOSED, READER), given_up), (CLOSED, READER))
    assert agreed(seen_with((CLOSED, READER), and_gone), (CLOSED, READER))


def test_a_process_that_nobody_remembers_holds_it_up() -> None:
    def stray(world: World, observed: Observed) -> Observed:
        return replace(observed, processes={**observed.processes, "u1.demo-009.1": ProcessView("u1.demo-009.1", True, 1)})

    assert not agreed(seen_with((CLOSED, READER), stray), (CLOSED, READER))


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
