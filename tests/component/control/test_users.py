"""Users of a group, from rows to engines and back: what planners see, when a change is done, when a deleted user is gone."""

from __future__ import annotations

from msgspec.structs import replace

from cachefleet.control.departures import forget_users
from cachefleet.control.user_book import UserBook
from cachefleet.model.access import CLOSED, OPEN
from cachefleet.model.resource import Kind
from cachefleet.model.row import GroupRow, Row, UserGroupRow, UserRow
from cachefleet.model.user import Authentication, UserDesired, UserEngine, UserGroupDesired
from tests.component.control.stage import KEY, Stage, on_stage, seams

APP = UserDesired(
    user_name="app",
    engine=UserEngine.REDIS,
    access_string="on ~a -@all +get",
    authentication=Authentication.PASSWORD,
    sha256=("ab" * 32,),
)


async def put(stage: Stage, kind: Kind, name: str, desired: UserDesired | UserGroupDesired) -> None:
    """Insert or replace."""
    key = KEY.scope.key(kind, name)
    found = await stage.store.get(key)
    async with stage.store.transaction() as transaction:
        if found is None:
            await transaction.insert(Row(key=key, desired=desired))
        else:
            await transaction.update(replace(found, desired=desired))


async def with_users(stage: Stage) -> None:
    """A group whose user group has the user app, all settled."""
    await put(stage, Kind.USER, "app", APP)
    await put(stage, Kind.USER_GROUP, "team", UserGroupDesired(engine=UserEngine.VALKEY, user_ids=("app",)))
    await stage.create()
    await stage.change(user_group="team", transit="")
    await stage.settle()


def names(row: GroupRow) -> list[str]:
    assert row.memory.admitted is not None
    return sorted(row.memory.admitted.users)


@on_stage
async def test_engines_start_with_the_users_of_their_group(stage: Stage) -> None:
    await with_users(stage)
    row = await stage.row()
    assert names(row) == ["app", "default"]
    assert row.memory.admitted is not None
    assert row.memory.admitted.user_group == "team"
    rendered = [rendering.files["spec.json"] for rendering in stage.machine.renderings.values()]
    assert rendered
    assert all(b'"name":"app"' in spec and b'"user_id":"-"' in spec for spec in rendered)


@on_stage
async def test_a_book_is_read_again_when_the_user_group_has_another_version(stage: Stage) -> None:
    await with_users(stage)
    book = UserBook(stage.store)
    row = await stage.row()
    assert [user.name for user in await book.users_of(row)] == ["default", "app"]
    reads: list[str] = []
    get = stage.store.get

    async def counting(key):  # type: ignore[no-untyped-def]
        reads.append(key.kind)
        return await get(key)

    stage.store.get = counting  # type: ignore[method-assign]
    assert [user.name for user in await book.users_of(row)] == ["default", "app"]
    assert reads == [Kind.USER_GROUP]
    await put(stage, Kind.USER, "app", replace(APP, access_string="off -@all"))
    await put(stage, Kind.USER_GROUP, "team", UserGroupDesired(engine=UserEngine.VALKEY, user_ids=("app",)))
    assert not (await book.users_of(row))[1].enabled


@on_stage
async def test_without_its_user_group_a_cache_lets_nobody_in(stage: Stage) -> None:
    await stage.create()
    row = await stage.row()
    assert await UserBook(stage.store).users_of(row) == (OPEN,)
    assert await UserBook(stage.store).users_of(replace(row, desired=replace(row.desired, user_group="gone"))) == (CLOSED,)


@on_stage
async def test_a_deleted_user_goes_when_the_nodes_let_it_in_no_more(stage: Stage) -> None:
    await with_users(stage)
    await put(stage, Kind.USER, "app", replace(APP, deleting=True))
    token = stage.leadership.token()
    held = seams(stage.store, stage.leadership, stage.host, stage.driver, stage.clock)
    assert await forget_users(held, KEY.scope, token) == 0
    await put(stage, Kind.USER_GROUP, "team", UserGroupDesired(engine=UserEngine.VALKEY, user_ids=()))
    await stage.controller.step(KEY)
    assert names(await stage.row()) == ["default"]
    assert await stage.store.get(KEY.scope.key(Kind.USER, "app")) is None
    told = await stage.store.events(KEY.scope, start=0, end=stage.clock.now() + 1, source_type="user")
    assert [(event.source_id, event.message) for event in told] == [("app", "User deleted")]


@on_stage
async def test_a_deleted_user_goes_with_the_cache(stage: Stage) -> None:
    await with_users(stage)
    await put(stage, Kind.USER, "app", replace(APP, deleting=True))
    await stage.change(deleting=True)
    for _ in range(60):
        if await stage.controller.step(KEY) is None:
            break
        stage.clock.pass_time(0.5)
    user: UserRow | None = await stage.store.get(KEY.scope.key(Kind.USER, "app"))
    assert user is None
    group: UserGroupRow | None = await stage.store.get(KEY.scope.key(Kind.USER_GROUP, "team"))
    assert group is not None
