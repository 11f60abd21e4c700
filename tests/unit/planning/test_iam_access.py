"""Nodes that shall check IAM tokens: told by which keys, and launched anew where they cannot."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from cachefleet.model import plan as actions
from cachefleet.model.access import CLOSED, OPEN, EngineUser, fingerprint
from cachefleet.model.group import GroupDesired
from cachefleet.model.iam_rules import IamRules, day_keys
from cachefleet.model.observed import NodeView, Observed
from cachefleet.model.plan import Stop, TellIamRules
from cachefleet.planning.group import plan_group
from tests.unit.planning.groups import clustered, replicated
from tests.unit.planning.world import Engine, World

ANNA = EngineUser("anna", ("~*", "+@all"), user_id="anna", iam=True)
NOBODY = IamRules("demo", "local-1", (), ())
KEYS = day_keys("AKIDEXAMPLE", "secret", "local-1", ("*",), 1_800_000_000.0)
RULES = IamRules("demo", "local-1", ("anna",), KEYS)


class TokenWorld(World):
    """Engines that were launched while there was a module have it; each says what it was told."""

    def __init__(self, desired: GroupDesired, *, has_module: bool) -> None:
        super().__init__(desired)
        self.has_module = has_module
        self.blind: set[str] = set()  # incarnations without
        self.told: dict[str, str] = {}
        self.shall((OPEN,), NOBODY)

    def shall(self, users: tuple[EngineUser, ...], rules: IamRules | None) -> None:
        self.users = users
        self.seen |= {"users": users, "iam_rules": rules}
        self.seen["can_check_tokens"] = self.has_module and any(user.iam for user in users)

    def view(self, engine: Engine) -> NodeView:
        checks = None if engine.incarnation in self.blind else self.told.get(engine.incarnation, "")
        return replace(super().view(engine), access=fingerprint(self.users), iam_rules=checks)

    def _launch(self, action: actions.Launch) -> None:
        super()._launch(action)
        if not self.has_module:
            self.blind.add(action.incarnation)

    def _telliamrules(self, action: TellIamRules) -> None:
        self.told[self.of(action.node).incarnation] = action.rules.fingerprint()

    def run(self, passes: int = 400) -> list[actions.Action]:
        """Until nothing is left to do; at most one primary at any time of a group without cluster mode."""
        made: list[actions.Action] = []
        for _ in range(passes):
            plan = self.step()
            made += plan.actions
            quiet = not plan.actions and self.status.state == "available"
            if quiet and all(node.state == "available" for node in self.status.nodes.values()):
                return made
        raise AssertionError(f"did not settle: {self.status}")

    def told_all(self) -> set[str]:
        return {self.told.get(self.of(name).incarnation, "") for name in self.memory.nodes}


def settled(desired: GroupDesired, *, has_module: bool) -> TokenWorld:
    world = TokenWorld(desired, has_module=has_module)
    world.run()
    return world


def test_nodes_are_told_once_and_again_when_the_rules_are_others() -> None:
    world = settled(replicated(2), has_module=True)
    assert world.told_all() == {NOBODY.fingerprint()}
    world.shall((CLOSED, ANNA), RULES)
    assert len([action for action in world.run() if isinstance(action, TellIamRules)]) == 2
    assert world.told_all() == {RULES.fingerprint()}
    assert world.run() == []
    world.shall((CLOSED, ANNA), replace(RULES, keys=()))
    assert [type(action) for action in world.run()] == [TellIamRules] * 2


def test_a_change_is_done_only_when_the_rules_are_told_too() -> None:
    world = settled(replicated(2), has_module=True)
    world.shall((CLOSED, ANNA), RULES)
    world.step(apply=False)
    assert world.memory.admitted is not None
    assert world.memory.admitted.fingerprint == fingerprint((OPEN,))
    assert world.status.state == "modifying"
    world.run()
    assert world.memory.admitted.fingerprint == fingerprint((CLOSED, ANNA))


def test_a_change_is_not_done_while_it_is_not_known_what_to_tell() -> None:
    world = settled(replicated(2), has_module=True)
    world.shall((CLOSED, ANNA), None)
    for _ in range(5):
        plan = world.step()
    assert plan.actions == () and plan.look_again_s <= 0.5
    assert world.status.state == "modifying"
    world.shall((CLOSED, ANNA), RULES)
    world.run()
    assert world.told_all() == {RULES.fingerprint()}


def test_one_that_comes_back_is_told() -> None:
    world = settled(replicated(2), has_module=True)
    world.shall((CLOSED, ANNA), RULES)
    world.run()
    world.kill("demo-001")
    told = [action.node for action in world.run() if isinstance(action, TellIamRules)]
    assert told == ["demo-001"]


@pytest.mark.parametrize("desired", [replicated(1), replicated(3), clustered(2, 2)], ids=["one", "three", "clustered"])
def test_nodes_that_cannot_check_tokens_are_launched_anew_and_lose_nothing(desired: GroupDesired) -> None:
    world = settled(desired, has_module=False)
    launches = {name: known.launches for name, known in world.memory.nodes.items()}
    wrote = world.write(1)
    world.has_module = True
    assert not any(isinstance(action, Stop) for action in world.run()), "nobody has to check tokens yet"
    world.shall((CLOSED, ANNA), RULES)
    world.step()
    assert "cannot check IAM tokens, and will be launched anew" in world.status.why
    assert world.status.state == "modifying"
    world.run()
    assert {name: known.launches for name, known in world.memory.nodes.items()} == {
        name: number + 1 for name, number in launches.items()
    }
    assert world.told_all() == {RULES.fingerprint()}
    assert world.status.why == ""
    assert not wrote or any(1 in engine.data for engine in world.engines.values() if engine.running and engine.primary)
    assert not world.lost


def test_where_nobody_could_check_tokens_nobody_is_launched_anew() -> None:
    world = settled(replicated(2), has_module=False)
    world.shall((CLOSED, ANNA), RULES)
    assert not any(isinstance(action, Stop) for action in world.run())
    assert world.status.why == "demo-001, demo-002 cannot check IAM tokens: the module for that is not to be had here"
    assert world.status.state == "available"


def test_users_that_leave_again_leave_nodes_as_they_are() -> None:
    world = settled(replicated(2), has_module=False)
    world.has_module = True
    world.shall((CLOSED, ANNA), RULES)
    world.step(apply=False)
    world.shall((OPEN,), NOBODY)
    assert not any(isinstance(action, Stop) for action in world.run())


def test_a_node_that_says_nothing_of_its_users_is_left_alone() -> None:
    """It is busy, and would not tell what it knows of tokens either."""
    world = settled(replicated(2), has_module=True)
    world.shall((CLOSED, ANNA), RULES)
    world.run()
    observed = world.observe()
    views = {name: replace(view, access=None, iam_rules=None) for name, view in observed.views.items()}
    planned = actions_of(world, replace(observed, views=views))
    assert planned == ()


def actions_of(world: TokenWorld, observed: Observed) -> tuple[actions.Action, ...]:
    return plan_group("demo", True, world.desired, observed, world.memory, world.now, world.rules).actions
