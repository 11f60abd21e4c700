"""Security groups through the controller: worked out from rows, put before a launch, changed, taken away, adopted."""

from __future__ import annotations

from cachefleet.control.guard_book import FRESH_S
from cachefleet.model.guard import Guard, Opening
from cachefleet.model.network import default_security_group_id
from cachefleet.model.resource import Kind
from cachefleet.model.row import Row
from cachefleet.model.vpc import MEMBERS, SecurityGroupDesired, SecurityRule
from tests.component.control.stage import KEY, Stage, on_stage


async def rules(
    stage: Stage, group_id: str, *rules: SecurityRule, tags: dict[str, str] | None = None, heard: bool = True
) -> None:
    key = KEY.scope.key(Kind.SECURITY_GROUP, group_id)
    desired = SecurityGroupDesired("vpc-1", "name", "text", ingress=rules)
    async with stage.store.transaction() as transaction:
        before = await stage.store.get(key)
        row = Row(key=key, desired=desired, tags=tags or {}, version=0 if before is None else before.version)
        await (transaction.insert(row) if before is None else transaction.update(row))
    if heard:
        stage.controller.wake(KEY)


def standing(stage: Stage) -> Guard:
    (guard,) = stage.machine.guards.values()
    return guard


def let_in(stage: Stage) -> tuple[str, ...]:
    return next((opening.sources for opening in standing(stage).openings if opening.port == 6379), ())


@on_stage
async def test_addresses_are_guarded_before_anything_is_launched(stage: Stage) -> None:
    stage.machine.can_guard = True
    await stage.create()
    while not stage.machine.guards:
        assert stage.machine.views == {}
        await stage.controller.step(KEY)
    assert stage.machine.views == {}
    await stage.settle()
    memory = (await stage.row()).memory
    held = {*memory.endpoints.values(), *(known.address for known in memory.nodes.values())}
    assert set(standing(stage).addresses) == held
    assert let_in(stage) == ("127.0.0.0/8",)


@on_stage
async def test_rules_of_rows_decide(stage: Stage) -> None:
    stage.machine.can_guard = True
    default = default_security_group_id(KEY.scope)
    await rules(stage, default)
    await stage.create()
    await stage.settle()
    assert standing(stage).openings == ()
    await rules(stage, default, SecurityRule("sgr-1", "tcp", 6379, 6379, cidr="10.0.0.0/8"))
    await stage.settle()
    assert standing(stage).openings == (Opening(6379, ("10.0.0.0/8",)), Opening(6380, ("10.0.0.0/8",)))
    await rules(stage, "sg-app", tags={MEMBERS: "127.0.0.9"})
    await rules(stage, default, SecurityRule("sgr-1", group_id="sg-app"))
    await stage.settle()
    assert let_in(stage) == ("127.0.0.9/32",)
    await rules(stage, default, SecurityRule("sgr-1", group_id=default))
    await stage.settle()
    nodes = {f"{known.address}/32" for known in (await stage.row()).memory.nodes.values()}
    assert set(let_in(stage)) == nodes


@on_stage
async def test_a_change_is_seen_though_its_word_was_lost(stage: Stage) -> None:
    stage.machine.can_guard = True
    default = default_security_group_id(KEY.scope)
    await rules(stage, default)
    await stage.create()
    await stage.settle()
    assert standing(stage).openings == ()
    await rules(stage, default, SecurityRule("sgr-1", cidr="10.0.0.0/8"), heard=False)
    stage.clock.pass_time(FRESH_S)
    await stage.settle()
    assert let_in(stage) == ("10.0.0.0/8",)


@on_stage
async def test_a_security_group_that_is_not_there_lets_nobody_in(stage: Stage) -> None:
    stage.machine.can_guard = True
    await stage.create()
    await stage.change(security_groups=("sg-gone",))
    await stage.settle()
    assert standing(stage).openings == ()


@on_stage
async def test_what_stands_of_groups_that_are_no_more_is_taken_away(stage: Stage) -> None:
    stage.machine.can_guard = True
    await stage.create()
    await stage.settle()
    guard = standing(stage)
    stage.machine.guards["dead"] = Guard(("127.41.0.99",), ())
    assert await stage.controller.stop_orphans() == 1
    assert list(stage.machine.guards.values()) == [guard]


@on_stage
async def test_what_others_took_away_comes_back(stage: Stage) -> None:
    stage.machine.can_guard = True
    await stage.create()
    await stage.settle()
    guard = standing(stage)
    stage.machine.guards.clear()
    await stage.settle()
    assert standing(stage) == guard


@on_stage
async def test_where_nothing_can_be_guarded_nothing_is_asked_of_the_host(stage: Stage) -> None:
    await stage.create()
    await stage.change(security_groups=("sg-gone",))
    await stage.settle()
    assert stage.machine.guards == {}
