"""Whose key it is: seldom read, soon up to date, and never of use once it is switched off."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec

from cachefleet.app.access_keys import CAPACITY, FRESH_ALL_S, FRESH_S, AccessKeys
from cachefleet.app.sealing import KeySealer
from cachefleet.model.resource import Kind, Scope
from cachefleet.policies.credential import Credential
from cachefleet.store import open_store
from tests.component.iam.stage import Stage, allow, policy
from tests.fakes.api import ACCOUNT, call, make_context
from tests.fakes.clock import ManualClock
from tests.fakes.entropy import SeededEntropy
from tests.fakes.store import MemoryStore

ROOT = Credential("AKIAROOT", "root's secret", ACCOUNT, f"arn:aws:iam::{ACCOUNT}:root", ACCOUNT, is_root=True)


class CountingStore(MemoryStore):
    """Counts the lookups of keys."""

    looks = 0
    lists = 0

    async def rows(self, kind: Kind, scope: Scope, after: str = "", limit: int | None = None) -> list[Any]:
        self.lists += 1
        return await super().rows(kind, scope, after, limit)

    async def owner(self, scope: Scope, member: str) -> Any:
        self.looks += 1
        return await super().owner(scope, member)


class Fixture:
    """Ann with a key; `keys` as the service that changes users has them, `others` as another service of the same database."""

    def __init__(self) -> None:
        self.store, self.clock = CountingStore(), ManualClock()
        self.stage = Stage(store=self.store)
        self.keys = AccessKeys(ROOT, self.store, self.stage.root.sealer, self.clock)
        self.others = AccessKeys(ROOT, self.store, self.stage.root.sealer, self.clock)
        self.stage.root = msgspec.structs.replace(self.stage.root, users_changed=self.keys.forget)
        self.stage.iam("CreateUser", UserName="ann")
        self.key = self.stage.iam("CreateAccessKey", UserName="ann")["AccessKey"]

    def find(self, keys: AccessKeys | None = None) -> Credential | None:
        asked = self.keys if keys is None else keys
        return asyncio.run(asked.find(self.key["AccessKeyId"]))

    def all(self, keys: AccessKeys | None = None) -> set[str]:
        found = asyncio.run((self.keys if keys is None else keys).all())
        assert len({one.access_key_id for one in found}) == len(found)
        return {one.access_key_id for one in found} - {ROOT.access_key_id}

    def switch(self, status: str) -> None:
        self.stage.iam("UpdateAccessKey", UserName="ann", AccessKeyId=self.key["AccessKeyId"], Status=status)


def test_a_key_is_its_owners() -> None:
    fixture = Fixture()
    fixture.stage.iam("PutUserPolicy", UserName="ann", PolicyName="p", PolicyDocument=policy(allow("*")))
    found = fixture.find()
    assert found is not None
    assert found.secret_access_key == fixture.key["SecretAccessKey"] and found.user_name == "ann" and len(found.policies) == 1
    assert not found.is_root and found.arn == f"arn:aws:iam::{ACCOUNT}:user/ann"
    assert fixture.key["SecretAccessKey"] not in repr(found)


def test_the_roots_key_needs_no_store() -> None:
    fixture = Fixture()
    before = fixture.store.looks
    assert asyncio.run(fixture.keys.find("AKIAROOT")) is ROOT
    assert fixture.store.looks == before


def test_the_store_is_not_asked_for_each_request() -> None:
    fixture = Fixture()
    fixture.find()
    before = fixture.store.looks
    for _ in range(100):
        fixture.find()
    assert fixture.store.looks == before


def test_a_change_is_seen_at_once_here_and_within_a_second_elsewhere() -> None:
    fixture = Fixture()
    assert fixture.find() is not None and fixture.find(fixture.others) is not None
    fixture.switch("Inactive")
    assert fixture.find() is None
    asyncio.run(fixture.clock.advance(FRESH_S))
    assert FRESH_S < 1.0 and fixture.find(fixture.others) is None
    fixture.switch("Active")
    assert fixture.find() is not None
    fixture.stage.iam("DeleteAccessKey", UserName="ann", AccessKeyId=fixture.key["AccessKeyId"])
    assert fixture.find() is None


def test_what_was_read_before_a_change_is_not_kept() -> None:
    fixture = Fixture()

    async def race() -> Credential | None:
        real = fixture.store.owner

        async def slow(scope: Scope, member: str) -> Any:
            row = await real(scope, member)
            fixture.keys.forget()  # somebody changes the user while we hold what we have read
            return row

        fixture.store.owner = slow  # type: ignore[method-assign]
        await fixture.keys.find(fixture.key["AccessKeyId"])
        fixture.store.owner = real  # type: ignore[method-assign]
        before = fixture.store.looks
        found = await fixture.keys.find(fixture.key["AccessKeyId"])
        assert fixture.store.looks == before + 1
        return found

    assert asyncio.run(race()) is not None


def test_memory_is_bounded() -> None:
    fixture = Fixture()

    async def guess() -> None:
        for number in range(CAPACITY + 100):
            assert await fixture.keys.find(f"AKIA{number}") is None

    asyncio.run(guess())
    assert len(fixture.keys) == CAPACITY


def test_with_another_installation_key_no_secret_opens() -> None:
    fixture = Fixture()
    stranger = AccessKeys(ROOT, fixture.store, KeySealer(b"another key", SeededEntropy()), fixture.clock)
    assert fixture.find(stranger) is None


def test_two_services_on_one_database_agree(tmp_path: Path) -> None:
    """Over the real store: what one switches off, the other refuses as soon as it looks again."""

    async def scenario() -> None:
        clock = ManualClock()
        url = f"sqlite+aiosqlite:///{tmp_path / 'shared.db'}"
        mine, theirs = await open_store(url, clock), await open_store(url, clock)
        context = make_context(store=mine, clock=clock)
        await call(context, "CreateUser", "iam", UserName="ann")
        made = (await call(context, "CreateAccessKey", "iam", UserName="ann"))["AccessKey"]
        keys = AccessKeys(ROOT, theirs, context.sealer, clock)
        found = await keys.find(made["AccessKeyId"])
        assert found is not None and found.secret_access_key == made["SecretAccessKey"]
        await call(context, "DeleteAccessKey", "iam", UserName="ann", AccessKeyId=made["AccessKeyId"])
        await clock.advance(FRESH_S)
        assert await keys.find(made["AccessKeyId"]) is None
        await mine.close()
        await theirs.close()

    asyncio.run(scenario())


# --- all of them, for who tells engines ---


def test_all_keys_are_those_that_may_be_used_and_the_roots() -> None:
    fixture = Fixture()
    second = fixture.stage.iam("CreateAccessKey", UserName="ann")["AccessKey"]["AccessKeyId"]
    fixture.stage.iam("CreateUser", UserName="bob")
    third = fixture.stage.iam("CreateAccessKey", UserName="bob")["AccessKey"]["AccessKeyId"]
    assert fixture.all() == {fixture.key["AccessKeyId"], second, third}
    assert ROOT in asyncio.run(fixture.keys.all())
    fixture.switch("Inactive")
    assert fixture.all() == {second, third}
    fixture.stage.iam("DeleteAccessKey", UserName="bob", AccessKeyId=third)
    fixture.stage.iam("DeleteUser", UserName="bob")
    assert fixture.all() == {second}
    fixture.switch("Active")
    found = {one.access_key_id: one for one in asyncio.run(fixture.keys.all())}[fixture.key["AccessKeyId"]]
    assert (found.secret_access_key, found.user_name) == (fixture.key["SecretAccessKey"], "ann")


def test_all_keys_come_with_the_policies_of_now() -> None:
    fixture = Fixture()
    fixture.stage.iam("PutUserPolicy", UserName="ann", PolicyName="p", PolicyDocument=policy(allow("elasticache:Connect")))
    (found,) = [one for one in asyncio.run(fixture.keys.all()) if one is not ROOT]
    assert len(found.policies) == 1
    fixture.stage.iam("DeleteUserPolicy", UserName="ann", PolicyName="p")
    (found,) = [one for one in asyncio.run(fixture.keys.all()) if one is not ROOT]
    assert found.policies == ()


def test_all_keys_are_read_seldom_and_opened_once() -> None:
    fixture = Fixture()
    opened: list[str] = []
    sealer = fixture.stage.root.sealer

    class Counting:
        def seal(self, secret: str, purpose: str) -> str:
            return sealer.seal(secret, purpose)

        def open(self, sealed: str, purpose: str) -> str:
            opened.append(purpose)
            return sealer.open(sealed, purpose)

    keys = AccessKeys(ROOT, fixture.store, Counting(), fixture.clock)
    before = fixture.store.lists
    for _ in range(100):
        assert fixture.all(keys) == {fixture.key["AccessKeyId"]}
    assert fixture.store.lists == before + 1
    for _ in range(3):
        fixture.clock.pass_time(FRESH_ALL_S)
        assert fixture.all(keys) == {fixture.key["AccessKeyId"]}
    assert fixture.store.lists == before + 4
    assert len(opened) == 1, "of a row that stays, nothing is opened again"


def test_all_keys_of_another_service_are_known_within_seconds() -> None:
    fixture = Fixture()
    assert fixture.all(fixture.others) == {fixture.key["AccessKeyId"]}
    fixture.switch("Inactive")
    assert fixture.all() == set()
    fixture.clock.pass_time(FRESH_ALL_S)
    assert FRESH_ALL_S <= 5 and fixture.all(fixture.others) == set()


def test_a_change_while_all_keys_are_read_is_not_missed() -> None:
    fixture = Fixture()

    async def race() -> set[str]:
        real = fixture.store.rows

        async def slow(*asked: Any) -> list[Any]:
            found = await real(*asked)
            fixture.keys.forget()  # somebody changes a user while we hold what we have read
            return found

        fixture.store.rows = slow  # type: ignore[method-assign, assignment]
        await fixture.keys.all()
        fixture.store.rows = real  # type: ignore[method-assign]
        before = fixture.store.lists
        found = await fixture.keys.all()
        assert fixture.store.lists == before + 1
        return {one.access_key_id for one in found}

    assert fixture.key["AccessKeyId"] in asyncio.run(race())


def test_two_that_ask_for_all_keys_at_once_get_all_of_them() -> None:
    """Also where each of them gives way to the other in the midst."""
    fixture = Fixture()
    for number in range(30):
        fixture.stage.iam("CreateUser", UserName=f"user-{number}")
        fixture.stage.iam("CreateAccessKey", UserName=f"user-{number}")
    monotonic = fixture.clock.monotonic

    def passing() -> float:
        fixture.clock.pass_time(0.01)
        return monotonic()

    async def both() -> list[int]:
        fixture.clock.monotonic = passing  # type: ignore[method-assign]
        found = await asyncio.gather(*(fixture.keys.all() for _ in range(4)))
        return [len(each) for each in found]

    assert asyncio.run(both()) == [32] * 4


def test_a_key_that_cannot_be_opened_keeps_no_other_out() -> None:
    fixture = Fixture()
    stranger = AccessKeys(ROOT, fixture.store, KeySealer(b"another key", SeededEntropy()), fixture.clock)
    assert asyncio.run(stranger.all()) == (ROOT,)
