"""What nodes are told of IAM users: up to date within seconds, seldom decided, and never more than may be told."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime

import pytest
from msgspec.structs import replace

from cachefleet.control import iam_book
from cachefleet.control.iam_book import CAPACITY, FRESH_S, IamBook
from cachefleet.interfaces import StoreError
from cachefleet.model.access import CLOSED, EngineUser
from cachefleet.model.group import DesiredNode, DesiredShard, Engine, GroupDesired, Shape
from cachefleet.model.iam_rules import EVERYBODY, IamRules
from cachefleet.model.resource import Key, Kind, Scope
from cachefleet.model.row import GroupRow, Row
from cachefleet.model.user import Authentication, UserDesired, UserEngine
from cachefleet.policies.connecting import connects_as
from cachefleet.policies.credential import Credential
from cachefleet.policies.document import read_policy
from tests.component.iam.stage import allow, arn, policy
from tests.fakes.clock import ManualClock
from tests.fakes.store import MemoryStore

SCOPE = Scope("000000000000", "local-1")
ANNA, BERT = (EngineUser(name, ("~*", "+@all"), user_id=name, iam=True) for name in ("anna", "bert"))
CARL = EngineUser("carl", ("~*", "+@all"), sha256=("ab" * 32,), user_id="carl")
USERS = (CLOSED, ANNA, BERT, CARL)
ROOT = Credential("AKIAROOT", "root's", "000000000000", "arn:aws:iam::000000000000:root", "000000000000", is_root=True)
ALL = policy(allow("elasticache:Connect"))
MIDNIGHT_S = datetime(2026, 11, 24, tzinfo=UTC).timestamp()


def holder(key: str, text: str = ALL, secret: str = "secret") -> Credential:
    return Credential(key, secret, "000000000000", f"arn:aws:iam::000000000000:user/{key}", key, policies=(read_policy(text),))


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow this machine is."""
    monkeypatch.setattr(iam_book, "PATIENCE_S", 30.0)


class Holders:
    def __init__(self, *found: Credential) -> None:
        self.found: Sequence[Credential] = found
        self.asked = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def all(self) -> Sequence[Credential]:
        self.asked += 1
        await self.gate.wait()
        return self.found


class Fixture:
    def __init__(self, *found: Credential) -> None:
        self.store, self.clock, self.holders = MemoryStore(), ManualClock(MIDNIGHT_S - 6 * 3600), Holders(*found)
        self.book = IamBook(self.store, self.holders, self.clock)
        self.users: tuple[EngineUser, ...] = USERS
        self.row = group("shop")

    async def add_users(self) -> None:
        for name in ("anna", "bert", "carl"):
            authentication = Authentication.PASSWORD if name == "carl" else Authentication.IAM
            desired = UserDesired(
                user_name=name, engine=UserEngine.VALKEY, access_string="on ~* +@all", authentication=authentication
            )
            async with self.store.transaction() as transaction:
                await transaction.insert(Row(key=SCOPE.key(Kind.USER, name), desired=desired))

    async def tag_user(self, name: str, **tags: str) -> None:
        row = await self.store.get(SCOPE.key(Kind.USER, name))
        assert row is not None
        async with self.store.transaction() as transaction:
            await transaction.update(replace(row, tags=tags))

    async def rules(self, *, later_s: float = 0.0) -> IamRules:
        self.clock.pass_time(later_s)
        found = await self.book.rules_of(self.row, self.users)
        assert found is not None
        return found


def group(name: str, shape: Shape = Shape.REPLICATED, transit: str = "required", **tags: str) -> GroupRow:
    nodes = (DesiredNode(f"{name}-001", "0001", "local-1a", 0.0),)
    desired = GroupDesired(
        uid=f"uid-{name}", shape=shape, engine=Engine.VALKEY, engine_version="8.0.2", node_type="cache.t4g.micro", port=6379,
        shards=(DesiredShard("0001", nodes),), parameter_group="p", subnet_group="default", transit=transit,
    )  # fmt: skip
    return Row(key=Key(Kind.REPLICATION_GROUP, SCOPE.account, SCOPE.region, name), desired=desired, tags=tags)


def with_book(*found: Credential) -> Callable[[Callable[[Fixture], Awaitable[None]]], Callable[[], None]]:
    def decorate(test: Callable[[Fixture], Awaitable[None]]) -> Callable[[], None]:
        async def scenario() -> None:
            fixture = Fixture(*found)
            await fixture.add_users()
            await test(fixture)

        def run() -> None:
            asyncio.run(scenario())

        run.__name__ = test.__name__
        return run

    return decorate


def keys_of(rules: IamRules) -> dict[str, tuple[str, ...]]:
    """Access key -> users."""
    return {key.access_key_id: key.users for key in rules.keys}


ONLY_ANNA = policy(allow("elasticache:Connect", [arn("replicationgroup", "shop"), arn("user", "anna")]))


@with_book(ROOT, holder("AKIAALL"), holder("AKIAANNA", ONLY_ANNA), holder("AKIANONE", policy(allow("s3:*"))))
async def test_who_may_connect_is_told_with_the_keys_of_today_and_tomorrow(fixture: Fixture) -> None:
    rules = await fixture.rules()
    assert (rules.cache, rules.region, rules.users) == ("shop", "local-1", ("anna", "bert"))
    assert keys_of(rules) == {"AKIAROOT": EVERYBODY, "AKIAALL": EVERYBODY, "AKIAANNA": ("anna",)}
    assert {key.day for key in rules.keys} == {"20261123", "20261124"}
    assert b"secret" not in rules.text() and "secret" not in repr(rules)


@with_book(holder("AKIAALL"))
async def test_where_tokens_cannot_be_sent_nobody_is_told(fixture: Fixture) -> None:
    assert await fixture.book.rules_of(group("shop", transit=""), USERS) is None
    assert await fixture.book.rules_of(group("shop", shape=Shape.MEMCACHED), USERS) is None


@with_book(holder("AKIAALL"))
async def test_without_iam_users_nodes_are_told_to_forget_them(fixture: Fixture) -> None:
    await fixture.rules()
    fixture.users = (CLOSED, CARL)
    rules = await fixture.rules()
    assert (rules.users, rules.keys, len(fixture.book)) == ((), (), 0)


@with_book(holder("AKIAALL"))
async def test_a_change_of_holders_is_known_after_a_moment_and_others_are_not_asked_all_the_time(fixture: Fixture) -> None:
    first = await fixture.rules()
    for _ in range(100):
        assert await fixture.rules(later_s=FRESH_S / 200) is first
    assert fixture.holders.asked == 1
    fixture.holders.found = (holder("AKIAOTHER"),)
    assert keys_of(await fixture.rules(later_s=FRESH_S)) == {"AKIAOTHER": EVERYBODY}
    fixture.holders.found = ()
    rules = await fixture.rules(later_s=FRESH_S)
    assert (rules.users, rules.keys) == (("anna", "bert"), ())


@with_book(holder("AKIAALL"))
async def test_other_users_are_known_at_once(fixture: Fixture) -> None:
    await fixture.rules()
    fixture.users = (CLOSED, BERT)
    assert (await fixture.rules()).users == ("bert",)


@with_book(holder("AKIAALL", policy(allow("*", "*", StringEquals={"aws:ResourceTag/team": "blue"}))))
async def test_tags_of_the_cache_and_of_users_count(fixture: Fixture) -> None:
    assert keys_of(await fixture.rules()) == {}
    await fixture.tag_user("bert", team="blue")
    assert keys_of(await fixture.rules(later_s=FRESH_S)) == {}
    fixture.row = group("shop", team="blue")
    assert keys_of(await fixture.rules(later_s=FRESH_S)) == {"AKIAALL": ("bert",)}
    await fixture.tag_user("bert", team="red")
    assert keys_of(await fixture.rules(later_s=FRESH_S)) == {}


@with_book(holder("AKIAALL"))
async def test_what_did_not_change_is_the_same_again_and_decided_once(fixture: Fixture) -> None:
    decided: list[str] = []
    real = connects_as

    def counting(who: Credential, *rest: object) -> Sequence[str]:
        decided.append(who.access_key_id)
        return real(who, *rest)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(iam_book, "connects_as", counting)
        first = await fixture.rules()
        for _ in range(10):
            assert await fixture.rules(later_s=FRESH_S) is first, "with its fingerprint"
        assert decided == ["AKIAALL"]
        fixture.holders.found = (holder("AKIAALL"), holder("AKIANEW"))
        await fixture.rules(later_s=FRESH_S)
        assert decided == ["AKIAALL", "AKIANEW"]
        fixture.holders.found = (holder("AKIAALL", secret="another"), holder("AKIANEW", ONLY_ANNA, "a third"))
        rules = await fixture.rules(later_s=FRESH_S)
        assert decided == ["AKIAALL", "AKIANEW", "AKIAALL", "AKIANEW"]
        assert keys_of(rules) == {"AKIAALL": EVERYBODY, "AKIANEW": ("anna",)}
        assert first.keys[0].key not in {key.key for key in rules.keys}


@with_book(holder("AKIAALL", policy(allow("*", "*", DateLessThan={"aws:CurrentTime": "2026-11-23T18:00:07Z"}))))
async def test_what_depends_on_the_time_is_decided_each_time(fixture: Fixture) -> None:
    assert keys_of(await fixture.rules()) == {"AKIAALL": EVERYBODY}
    assert keys_of(await fixture.rules(later_s=FRESH_S)) == {"AKIAALL": EVERYBODY}
    assert keys_of(await fixture.rules(later_s=FRESH_S)) == {}


@with_book(holder("AKIAALL"))
async def test_keys_of_a_new_day_are_told_long_before_it_begins(fixture: Fixture) -> None:
    async def days(at_s: float) -> set[str]:
        rules = await fixture.rules(later_s=at_s - fixture.clock.now())
        assert all(key.until_s > fixture.clock.now() for key in rules.keys)
        return {key.day for key in rules.keys}

    assert await days(MIDNIGHT_S - 1) == {"20261123", "20261124"}
    assert await days(MIDNIGHT_S + FRESH_S) == {"20261123", "20261124", "20261125"}
    assert await days(MIDNIGHT_S + 899) == {"20261123", "20261124", "20261125"}
    assert await days(MIDNIGHT_S + 900 + FRESH_S) == {"20261124", "20261125"}


@with_book(holder("AKIAALL"), replace(ROOT, access_key_id="chosen/by hand"))
async def test_a_key_that_no_client_could_sign_with_keeps_nobody_out(fixture: Fixture) -> None:
    rules = await fixture.rules()
    assert keys_of(rules) == {"AKIAALL": EVERYBODY}
    assert rules.fingerprint()


@with_book(*(holder(f"AKIA{number}") for number in range(50)))
async def test_rules_that_are_too_many_let_nobody_in(fixture: Fixture) -> None:
    """Engines would not take them, and go on with those of before, revoked keys included."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(iam_book, "MAX_BYTES", 5000)
        rules = await fixture.rules()
    assert (rules.users, rules.keys) == (("anna", "bert"), ())
    assert len((await fixture.rules(later_s=FRESH_S)).keys) == 100


@with_book(holder("AKIAALL"))
async def test_memory_is_bounded(fixture: Fixture) -> None:
    for number in range(CAPACITY + 10):
        assert await fixture.book.rules_of(group(f"shop-{number}"), USERS)
    assert len(fixture.book) == CAPACITY


@with_book(*(holder(f"AKIA{number}", ONLY_ANNA) for number in range(200)))
async def test_others_get_their_turn_while_it_decides(fixture: Fixture) -> None:
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    monotonic = fixture.clock.monotonic

    def passing() -> float:
        fixture.clock.pass_time(0.001)
        return monotonic()

    fixture.clock.monotonic = passing  # type: ignore[method-assign]
    task = asyncio.create_task(other())
    await fixture.rules()
    task.cancel()
    assert turns >= 20


@with_book(holder("AKIAALL"))
async def test_nobody_waits_for_a_look_that_takes_long(fixture: Fixture) -> None:
    """What was known counts until then; where nothing was, or of other users, it is not known yet."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(iam_book, "PATIENCE_S", 0.001)
        fixture.holders.gate.clear()
        assert await fixture.book.rules_of(fixture.row, USERS) is None
        assert await fixture.book.rules_of(fixture.row, USERS) is None
        assert fixture.holders.asked == 1, "it is looked once, not by all who ask"
        fixture.holders.gate.set()
        patch.setattr(iam_book, "PATIENCE_S", 30.0)
        first = await fixture.rules()
        assert keys_of(first) == {"AKIAALL": EVERYBODY}
        fixture.holders.gate.clear()
        fixture.holders.found = ()
        patch.setattr(iam_book, "PATIENCE_S", 0.001)
        assert await fixture.rules(later_s=FRESH_S) is first
        assert await fixture.book.rules_of(fixture.row, (CLOSED, BERT)) is None
        fixture.holders.gate.set()
        patch.setattr(iam_book, "PATIENCE_S", 30.0)
        assert (await fixture.rules()).keys == ()


@with_book(holder("AKIAALL"))
async def test_a_look_that_failed_is_made_again(fixture: Fixture) -> None:
    rows = fixture.store.rows

    async def broken(*asked: object) -> list[object]:
        raise StoreError("the database is away")

    fixture.store.rows = broken  # type: ignore[method-assign, assignment]
    for _ in range(2):
        with pytest.raises(StoreError):
            await fixture.rules()
    fixture.store.rows = rows  # type: ignore[method-assign]
    assert keys_of(await fixture.rules()) == {"AKIAALL": EVERYBODY}


@with_book(holder("AKIAALL"))
async def test_in_another_term_it_looks_anew(fixture: Fixture) -> None:
    await fixture.rules()
    fixture.holders.found = ()
    fixture.book.forget()
    assert (await fixture.rules()).keys == ()
