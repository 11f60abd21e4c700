"""Commands that rename-commands blocks, by rules of users, in engines of every version."""

from __future__ import annotations

import asyncio
import re

from msgspec.structs import replace

from cachefleet.engines.access import CONTROLLER
from cachefleet.model.access import OPEN, fingerprint
from cachefleet.model.group import Engine
from cachefleet.reference.renamable_commands import RENAMABLE
from tests.engine.engine_processes import every_version
from tests.engine.test_clients_module import READER
from tests.engine.test_drivers_access import PASSWORDS, client_of, is_refused, launched, primary


@every_version
def test_blocked_commands_are_nobodys_but_ours(engine: Engine, version: str) -> None:
    value = "FLUSHALL blocked keys blocked MULTI blocked INFO blocked PING blocked STRALGO blocked LCS blocked HEXPIRE blocked"
    users = (replace(OPEN, renames=value), replace(READER, renames=value))

    async def scenario() -> None:
        async with launched(engine, version) as (driver, engines):
            node = await primary(driver, engines, users=users)
            replica = engines.start(follow=node.address, users=users)
            for one in (node, replica):
                assert (await engines.view(one)).access == fingerprint(users), "from its start on"
            await engines.view(replica, lambda view: view.link_up and not view.syncing)
            with client_of(node) as client:
                for words in (("KEYS", "*"), ("FLUSHALL",), ("MULTI",), ("info",), ("PING",)):
                    assert is_refused(client, *words), words
                assert re.search("permission|can't run this command", client.call("EVAL", "return redis.call('FLUSHALL')", "0"))
                assert client.call("SET", "a", "1") == "OK" and client.call("WAIT", "1", "5000") == 1
                await driver.promote(replica.address, ())
                await driver.follow(node.address, replica.address, ())
                await engines.view(node, lambda view: view.link_up and not view.syncing)
                shorter = tuple(replace(user, renames="FLUSHALL blocked") for user in users)
                await driver.admit(node.address, shorter)
                assert (await engines.view(node)).access == fingerprint(shorter)
                assert client.call("KEYS", "*") == ["a"] and is_refused(client, "FLUSHALL")
                await driver.admit(node.address, (OPEN, READER))
                assert not is_refused(client, "FLUSHALL")

    asyncio.run(scenario())


@every_version
def test_all_that_can_be_blocked_is_blocked_and_nothing_else_ends(engine: Engine, version: str) -> None:
    """An engine that has a command of the list, or lacks one, otherwise than we believe takes no such users."""
    users = (replace(OPEN, renames=" ".join(f"{command} blocked" for command in sorted(RENAMABLE))),)

    async def scenario() -> None:
        async with launched(engine, version) as (driver, engines):
            node = await primary(driver, engines, users=users)
            replica = engines.start(follow=node.address, users=users)
            await engines.view(replica, lambda view: view.link_up and not view.syncing)
            await driver.admit(node.address, users)
            assert (await engines.view(node)).access == fingerprint(users)
            with client_of(node, CONTROLLER, PASSWORDS.controller(node.address.launch)) as ours:
                names = sorted(name.lower() for name in RENAMABLE)
                known = [told for told in ours.call("COMMAND", "INFO", *names) if told]
                assert ours.call("SET", "a", "1") == "OK" and ours.call("WAIT", "1", "5000") == 1
            with client_of(node) as client:
                told = {name: str(client.call(name, *["help"] * (abs(arity) - 1))) for name, arity, *_ in known}
                assert [name for name, answer in told.items() if "NOPERM" not in answer] == []
                assert len(known) > 200
            await driver.promote(replica.address, ())
            await driver.follow(node.address, replica.address, ())
            await engines.view(node, lambda view: view.link_up and not view.syncing)

    asyncio.run(scenario())
