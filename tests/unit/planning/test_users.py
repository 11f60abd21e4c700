"""Whom engines shall let in: of groups without access control, with tokens, with a user group; and when all have it."""

from __future__ import annotations

from msgspec.structs import replace

from cachefleet.model.access import CLOSED, OPEN, Admitted, AuthTokens, EngineUser, admitted_users, fingerprint
from cachefleet.model.group import GroupMemory
from cachefleet.model.plan import Admit, Plan
from cachefleet.model.user import Authentication, UserDesired, UserEngine, UserGroupDesired
from cachefleet.planning.group import plan_group
from cachefleet.planning.users import lets_in, rules_of, swapped, users_of_group, users_without_group, with_renames
from tests.unit.api.rows import group_row
from tests.unit.planning.groups import replicated
from tests.unit.planning.world import World

APP = UserDesired(
    user_name="app",
    engine=UserEngine.REDIS,
    access_string="on ~a -@all +get (~b -@all +set)",
    authentication=Authentication.PASSWORD,
    sha256=("ab" * 32,),
)


def of(*user_ids: str, engine: UserEngine = UserEngine.REDIS) -> UserGroupDesired:
    return UserGroupDesired(engine=engine, user_ids=user_ids)


def test_a_group_without_users_asks_for_what_its_tokens_say() -> None:
    desired = replicated(1)
    assert users_without_group(desired) == (OPEN,)
    for required in (True, False):
        (user,) = users_without_group(replace(desired, auth=AuthTokens(("a", "b"), required, 0.0)))
        assert (user.name, user.rules, user.sha256, user.no_password) == ("default", OPEN.rules, ("a", "b"), not required)


def test_renamed_commands_are_told_as_a_change_of_users_that_makes_nobody_another_one() -> None:
    users = (OPEN, replace(OPEN, name="app"))
    assert with_renames(users, "") is users
    renamed = with_renames(users, "KEYS blocked")
    assert {user.renames for user in renamed} == {"KEYS blocked"} and fingerprint(renamed) != fingerprint(users)
    assert admitted_users(renamed) == admitted_users(users)


def test_users_of_a_group_by_their_strings() -> None:
    users = users_of_group(of("app", "default"), {"app": APP})
    assert users == (
        EngineUser("app", ("~a", "-@all", "+get", "(~b -@all +set)"), sha256=APP.sha256, user_id="app"),
        replace(OPEN, user_id="default"),
    )


def test_nobody_gets_in_without_a_name_where_no_user_has_none() -> None:
    assert users_of_group(of("app", engine=UserEngine.VALKEY), {"app": APP})[0] == CLOSED
    assert users_of_group(of(), {}) == (CLOSED,)


def test_users_with_tokens_have_no_password() -> None:
    iam = replace(APP, authentication=Authentication.IAM, sha256=())
    _, user = users_of_group(of("app"), {"app": iam})
    assert (user.iam, user.sha256, user.no_password, user.enabled) == (True, (), False, True)


def test_a_user_that_is_off_is_off_and_one_without_a_password_needs_none() -> None:
    (_, user) = users_of_group(of("app"), {"app": replace(APP, access_string="off -@all")})
    assert (user.enabled, user.rules) == (False, ("-@all",))
    free = replace(APP, authentication=Authentication.NO_PASSWORD, sha256=())
    assert users_of_group(of("app"), {"app": free})[1].no_password


def test_rules_of_a_string_keep_selectors_whole() -> None:
    assert rules_of("on ~a (~b +get) (+x) (~c") == ("on", "~a", "(~b +get)", "(+x)", "(~c")


def admitted(*users: EngineUser) -> Admitted:
    return Admitted(fingerprint(users), admitted_users(users))


def test_a_name_that_belongs_to_somebody_else_is_cut() -> None:
    memory = GroupMemory(admitted=admitted(OPEN, EngineUser("app", user_id="one")))
    assert swapped(memory, (OPEN, EngineUser("app", user_id="one", sha256=("new",)))) == ()
    assert swapped(memory, (CLOSED, EngineUser("app", user_id="two"), EngineUser("more", user_id="m"))) == ("default", "app")
    assert swapped(GroupMemory(), (CLOSED,)) == ()


def test_a_user_is_let_in_until_the_nodes_were_seen_to_do_otherwise() -> None:
    row = group_row()
    assert not lets_in(row, "one")
    row = replace(row, memory=replace(row.memory, admitted=admitted(EngineUser("app", user_id="one"))))
    assert lets_in(row, "one")
    assert not lets_in(replace(row, desired=replace(row.desired, deleting=True)), "one")


# --- when all of them have it --------------------------------------------------------------------------------------


def plan(world: World, users: tuple[EngineUser, ...], seen: dict[str, str]) -> Plan:
    observed = world.observe()
    views = {name: replace(view, access=seen.get(name, "")) for name, view in observed.views.items()}
    observed = replace(observed, users=users, views=views)
    planned = plan_group("demo", True, world.desired, observed, world.memory, world.now, world.rules)
    world.memory = planned.memory
    return planned


def settled(users: tuple[EngineUser, ...]) -> World:
    world = World(replicated(2))
    world.settle()
    plan(world, users, {name: fingerprint(users) for name in world.memory.nodes})
    return world


def test_a_change_is_under_way_until_all_nodes_have_it() -> None:
    before, after = (OPEN,), (CLOSED, EngineUser("app", user_id="app"))
    world = settled(before)
    old, new = fingerprint(before), fingerprint(after)
    assert world.memory.admitted == admitted(*before)
    assert plan(world, before, {"demo-001": old, "demo-002": old}).status.state == "available"
    planned = plan(world, after, {"demo-001": new, "demo-002": old})
    assert planned.status.state == "modifying"
    assert [(action.node, action.cut) for action in planned.actions if isinstance(action, Admit)] == [
        ("demo-002", ("default",))
    ]
    assert world.memory.admitted == admitted(*before)
    assert plan(world, after, {"demo-001": new, "demo-002": new}).status.state == "available"
    assert world.memory.admitted == admitted(*after)


def test_a_silent_node_holds_it_up_and_one_that_has_ended_does_not() -> None:
    before, after = (OPEN,), (CLOSED,)
    new = fingerprint(after)
    world = settled(before)
    world.silence("demo-002", 0.1)
    assert plan(world, after, {"demo-001": new}).status.state == "modifying"
    assert world.memory.admitted == admitted(*before)
    world = settled(before)
    world.kill("demo-002")
    plan(world, after, {"demo-001": new})
    assert world.memory.admitted == admitted(*after)
