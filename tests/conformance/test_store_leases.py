"""interfaces.Store on every database: leases, what their tokens fence, and word left for the one who leads."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from cachefleet.interfaces import Conflict, Deposed, Lease, Store
from cachefleet.model.resource import Kind
from cachefleet.store import StoreError
from tests.fakes.clock import ManualClock
from tests.fixtures.databases import changed, found, group, insert, key, opened, scenario, update
from tests.fixtures.postgres import Postgres

LONG_S = 3600.0
LIMIT_S = 20.0
HOLDER = """
import asyncio, signal, sys, os
from cachefleet.clock import SystemClock
from cachefleet.store import open_store
from tests.fixtures.databases import changed, found

async def main():
    store = await open_store(sys.argv[1], SystemClock())
    lease = await store.hold_lease("it", "frozen", 1.0)
    row = await found(store)
    try:
        async with store.transaction() as transaction:
            await transaction.fence("it", lease.token)
            await transaction.update(changed(row, port=9999))
            print("frozen", flush=True)
            os.kill(os.getpid(), signal.SIGSTOP)
        print("committed", flush=True)
    except Exception as error:
        print(type(error).__name__, flush=True)
    await store.close()

asyncio.run(main())
"""


async def fenced(store: Store, token: int, port: int = 7000) -> None:
    row = await found(store)
    async with store.transaction() as transaction:
        await transaction.fence("it", token)
        await transaction.update(changed(row, port=port))


@scenario
async def test_one_holds_it_and_all_others_see_who(store: Store) -> None:
    assert await store.hold_lease("it", "a", LONG_S) == Lease("a", 1)
    assert await store.hold_lease("it", "b", LONG_S) == Lease("a", 1)
    assert await store.hold_lease("it", "a", LONG_S) == Lease("a", 1), "renewed: the same token"
    assert await store.hold_lease("other", "b", LONG_S) == Lease("b", 1), "leases are apart"


@scenario
async def test_of_many_that_want_it_at_once_one_gets_it(store: Store) -> None:
    seen = await asyncio.gather(*(store.hold_lease("it", f"holder-{number}", LONG_S) for number in range(12)))
    assert len(set(seen)) == 1
    assert seen[0].token == 1


def test_one_that_ran_out_is_anybodys_with_a_higher_token(database: str) -> None:
    async def body() -> None:
        clock = ManualClock()
        async with opened(database, clock) as store:
            assert await store.hold_lease("it", "a", 0.05) == Lease("a", 1)
            async with asyncio.timeout(LIMIT_S):
                while (lease := await store.hold_lease("it", "b", LONG_S)).holder == "a":
                    clock.pass_time(0.01)
            assert lease == Lease("b", 2)
            assert await store.hold_lease("it", "a", LONG_S) == Lease("b", 2)

    asyncio.run(body())


def test_one_that_ran_out_and_that_nobody_took_is_renewed(database: str) -> None:
    async def body() -> None:
        clock = ManualClock()
        async with opened(database, clock) as store:
            assert await store.hold_lease("it", "a", 0.001) == Lease("a", 1)
            clock.pass_time(1)
            assert await store.hold_lease("it", "a", LONG_S) == Lease("a", 1)
            assert await store.hold_lease("it", "b", LONG_S) == Lease("a", 1)

    asyncio.run(body())


@scenario
async def test_a_dead_holder_is_succeeded_at_once_by_one_of_those_who_know(store: Store) -> None:
    await store.hold_lease("it", "a", LONG_S)
    assert await store.hold_lease("it", "b", LONG_S, dead="somebody else") == Lease("a", 1)
    seen = await asyncio.gather(*(store.hold_lease("it", f"heir-{number}", LONG_S, dead="a") for number in range(6)))
    assert len(set(seen)) == 1, "who was faster is not overthrown by those who know that the one before is dead"
    assert seen[0].token == 2


@scenario
async def test_one_that_was_given_up_is_free_and_its_token_never_comes_again(store: Store) -> None:
    lease = await store.hold_lease("it", "a", LONG_S)
    await store.release_lease("it", Lease("b", 1))
    await store.release_lease("it", Lease("a", 2))
    assert await store.hold_lease("it", "b", LONG_S) == lease, "neither was the one that stands"
    await store.release_lease("it", lease)
    assert await store.hold_lease("it", "a", LONG_S) == Lease("a", 2)
    await store.release_lease("it", Lease("a", 2))
    assert await store.hold_lease("it", "b", LONG_S) == Lease("b", 3)
    await store.release_lease("it", Lease("a", 2))
    assert await store.hold_lease("it", "c", LONG_S) == Lease("b", 3)
    await store.release_lease("never", lease)


@scenario
async def test_a_fence_lets_the_current_token_through_and_no_other(store: Store) -> None:
    await insert(store, group())
    with pytest.raises(Deposed):
        await fenced(store, 1)
    await store.hold_lease("it", "a", LONG_S)
    await fenced(store, 1)
    for wrong in (0, 2, -1):
        with pytest.raises(Deposed):
            await fenced(store, wrong, port=9999)
    await store.hold_lease("it", "b", LONG_S, dead="a")
    with pytest.raises(Deposed):
        await fenced(store, 1, port=9999)
    await fenced(store, 2)
    assert (await found(store)).version == 3
    assert (await found(store)).desired.port == 7000


@scenario
async def test_a_refused_fence_that_is_swallowed_still_undoes_everything(store: Store) -> None:
    row = await insert(store, group())
    with pytest.raises(Deposed):
        async with store.transaction() as transaction:
            await transaction.update(changed(row, port=9999))
            await transaction.wake(key())
            with pytest.raises(Deposed):
                await transaction.fence("it", 1)
    assert await found(store) == row
    assert await store.take_wakes() == []


def test_a_change_of_holder_waits_for_a_fenced_commit_and_is_never_in_between(database: str) -> None:
    """Whatever came first: when the new holder looks, what the old one could commit is there."""

    async def body() -> None:
        async with opened(database) as store:
            await insert(store, group())
            await store.hold_lease("it", "a", LONG_S)
            inside, go_on = asyncio.Event(), asyncio.Event()

            async def old() -> None:
                row = await found(store)
                async with store.transaction() as transaction:
                    await transaction.fence("it", 1)
                    await transaction.update(changed(row, port=7000))
                    inside.set()
                    await go_on.wait()

            async def new() -> int:
                lease = await store.hold_lease("it", "b", LONG_S, dead="a")
                assert lease == Lease("b", 2)
                return int((await found(store)).desired.port)

            work = asyncio.create_task(old())
            await inside.wait()
            heir = asyncio.create_task(new())
            for _ in range(50):
                assert (await store.keys([Kind.REPLICATION_GROUP])) == [key()]
                assert not heir.done()
            go_on.set()
            await work
            assert await heir == 7000

    asyncio.run(body())


@scenario
async def test_many_that_are_fenced_do_not_refuse_each_other(store: Store) -> None:
    for number in range(8):
        await insert(store, group(f"group-{number}"))
    await store.hold_lease("it", "a", LONG_S)

    async def one(number: int) -> None:
        for _ in range(5):
            row = await found(store, key(f"group-{number}"))
            async with store.transaction() as transaction:
                await transaction.fence("it", 1)
                await transaction.update(row)

    async def renew() -> None:
        for _ in range(20):
            assert await store.hold_lease("it", "a", LONG_S) == Lease("a", 1)

    await asyncio.gather(renew(), *(one(number) for number in range(8)))
    assert [row.version for row in await store.rows(Kind.REPLICATION_GROUP, key().scope)] == [6] * 8


@scenario
async def test_word_that_was_left_is_taken_once(store: Store) -> None:
    assert await store.take_wakes() == []
    row = await insert(store, group())
    for wanted in (key(), key("other", Kind.CACHE_CLUSTER), key()):
        async with store.transaction() as transaction:
            await transaction.wake(wanted)
    assert await store.take_wakes() == sorted([key("other", Kind.CACHE_CLUSTER), key()])
    assert await store.take_wakes() == []
    with pytest.raises(Conflict):
        async with store.transaction() as transaction:
            await transaction.wake(key())
            await transaction.update(changed(group(), port=1))
    assert await store.take_wakes() == [], "it goes with what it was left about"
    assert await found(store) == row


def test_word_that_is_being_left_while_others_are_taken_is_not_lost(shared_database: str) -> None:
    """Whoever takes word before the change can be seen must get it again afterwards."""

    async def body() -> None:
        async with opened(shared_database) as store:
            await insert(store, group())
            async with store.transaction() as transaction:
                await transaction.wake(key())
            inside, go_on = asyncio.Event(), asyncio.Event()

            async def leave() -> None:
                row = await found(store)
                async with store.transaction() as transaction:
                    await transaction.update(changed(row, port=7000))
                    await transaction.wake(key())
                    inside.set()
                    await go_on.wait()

            work = asyncio.create_task(leave())
            await inside.wait()
            taking = asyncio.create_task(store.take_wakes())
            if "postgresql" in shared_database:
                assert await asyncio.wait_for(taking, LIMIT_S) == [key()], "it does not wait for the other"
                taking = asyncio.create_task(store.take_wakes())
                assert await taking == []
            go_on.set()
            await work
            assert (await store.take_wakes() or await taking) == [key()]

    asyncio.run(body())


# --- PostgreSQL: several processes ---------------------------------------------------------------------------------


@contextmanager
def frozen_holder(url: str) -> Iterator[subprocess.Popen[str]]:
    """A process that is stopped in the middle of a fenced transaction."""
    process = subprocess.Popen([sys.executable, "-c", HOLDER, url], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        assert process.stdout.readline().strip() == "frozen"
        yield process
    finally:
        process.kill()
        process.communicate(timeout=10)


def test_one_that_is_frozen_within_a_transaction_holds_nobody_up_and_commits_nothing(postgres_url: str) -> None:
    async def body() -> None:
        async with opened(postgres_url) as store:
            row = await insert(store, group())
            with frozen_holder(postgres_url) as process:
                loop = asyncio.get_running_loop()
                begun = loop.time()
                async with asyncio.timeout(LIMIT_S):
                    while (lease := await _tried(store)).holder != "heir":
                        assert lease.holder in ("frozen", "")
                taken_s = loop.time() - begun
                assert lease == Lease("heir", 2)
                stored = await update(store, changed(row, port=7000))
                print(f"taken from one that is frozen in a transaction after {taken_s:.2f} s")
                process.send_signal(signal.SIGCONT)
                said, _ = await asyncio.to_thread(process.communicate, timeout=LIMIT_S)
                assert said.strip() == "StoreError"
            assert await found(store) == stored

    asyncio.run(body())


async def _tried(store: Store) -> Lease:
    try:
        return await store.hold_lease("it", "heir", LONG_S)
    except (StoreError, Conflict):
        return Lease("", 0)


def test_a_lease_outlives_a_restart_of_the_database(postgres: Postgres, postgres_url: str) -> None:
    async def body() -> None:
        async with opened(postgres_url) as store:
            await insert(store, group())
            await store.hold_lease("it", "a", LONG_S)
            await asyncio.to_thread(postgres.restart)
            assert await store.hold_lease("it", "b", LONG_S) == Lease("a", 1)
            await fenced(store, 1)

    asyncio.run(body())
