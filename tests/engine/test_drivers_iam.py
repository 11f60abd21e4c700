"""IAM tokens by way of the driver: what nodes say they were told, and what the module in an engine must not cost."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import redis
from botocore.credentials import Credentials
from msgspec.structs import replace

from cachefleet.app.certificate_authority import CertificateAuthority
from cachefleet.clock import SystemClock
from cachefleet.engine_interfaces import EngineRefused
from cachefleet.engines.iam_module import IAM_SOURCE
from cachefleet.engines.module_compiling import compiled_module
from cachefleet.engines.trust import Trust
from cachefleet.model.access import CLOSED, OPEN, EngineUser, fingerprint
from cachefleet.model.group import Engine
from cachefleet.model.iam_rules import EVERYBODY, IamRules, day_keys
from cachefleet.model.transit import REQUIRED
from cachefleet.settings import TransitSettings
from tests.engine.engine_processes import Node, free_address
from tests.engine.slot_pairs import ALL, SlotCluster, fill
from tests.engine.test_drivers_access import LOWER, WRITER, Launched, client_of, launched
from tests.fixtures.iam_tokens import require_compiler, token
from tests.fixtures.service import wait_for

KEYS = Credentials("AKIDEXAMPLE0000000001", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
REGION = "local-1"
ANNA = EngineUser("anna", ("~*", "+@all"), user_id="anna", iam=True)
USERS = (CLOSED, ANNA, WRITER)


@pytest.fixture
def module(tmp_path: Path) -> str:
    require_compiler()
    return str(compiled_module(IAM_SOURCE, tmp_path / "modules"))


def rules(*, known: bool = True) -> IamRules:
    keys = day_keys(KEYS.access_key, KEYS.secret_key, REGION, EVERYBODY, time.time()) if known else ()
    return IamRules("shop", REGION, ("anna",), keys)


def encrypted(node: Node, **login: Any) -> Any:
    return redis.Redis(node.address.host, node.address.port, ssl=True, ssl_cert_reqs="none", socket_timeout=5, **login)


def gets_in(node: Node) -> bool:
    shown = token("shop", "anna", KEYS, datetime.now(UTC).replace(tzinfo=None), region=REGION)
    try:
        with encrypted(node, username="anna", password=shown) as client:
            return bool(client.ping())
    except redis.AuthenticationError:
        return False


async def started(engines: Launched, issuer: CertificateAuthority, module: str) -> Node:
    at = replace(free_address(6379), transit=REQUIRED, encrypted_links=True)
    node = engines.start(at, users=USERS, iam_module=module, certificate=issuer.issue("node", (), (at.host,)))
    await engines.view(node)
    return node


@pytest.mark.parametrize("with_module", [True, False], ids=["module", "none"])
def test_a_node_says_what_it_was_told(tmp_path: Path, module: str, with_module: bool) -> None:
    issuer = CertificateAuthority.of(tmp_path, TransitSettings(), SystemClock())

    async def scenario() -> None:
        async with launched(Engine.VALKEY, "8.0", Trust(issuer.authorities)) as (driver, engines):
            node = await started(engines, issuer, module if with_module else "")
            await driver.promote(node.address, ())
            view = await engines.view(node)
            assert (view.access, view.iam_rules) == (fingerprint(USERS), "" if with_module else None)
            if with_module:
                with pytest.raises(redis.BusyLoadingError):  # which clients try again by themselves
                    gets_in(node)
                await driver.tell_iam_rules(node.address, rules(known=False))
            assert not gets_in(node), "it was told of nobody"
            if not with_module:
                with pytest.raises(EngineRefused, match="no module"):  # and never what the engine says: it would quote keys
                    await driver.tell_iam_rules(node.address, rules())
                await driver.admit(node.address, (CLOSED, ANNA))
                assert (await engines.view(node)).access == fingerprint((CLOSED, ANNA)), "others are let in all the same"
                assert not gets_in(node), "and nobody is as anna"
                return
            for said, is_in in ((rules(), True), (rules(known=False), False), (rules(), True)):
                await driver.tell_iam_rules(node.address, said)
                assert (await engines.view(node)).iam_rules == said.fingerprint()
                assert gets_in(node) is is_in
            measured = await driver.measure(node.address)
            assert (measured["iam_let_in"], measured["iam_ended"]) == (2, 0) and measured["iam_refused"] >= 2
            assert measured["connected_clients"] >= 1
            await driver.admit(node.address, (OPEN, WRITER))
            assert not gets_in(node), "the module knows her, and the engine does not"
            await driver.admit(node.address, USERS)
            assert gets_in(node)

    asyncio.run(scenario())


def test_rules_that_are_told_again_cut_no_connection_and_lengthen_none(tmp_path: Path, module: str) -> None:
    """Whatever the controller says meanwhile, what is in stays in until its own time is over."""
    issuer = CertificateAuthority.of(tmp_path, TransitSettings(), SystemClock())

    async def scenario() -> None:
        async with launched(Engine.VALKEY, "8.0", Trust(issuer.authorities)) as (driver, engines):
            node = await started(engines, issuer, module)
            await driver.promote(node.address, ())
            await driver.tell_iam_rules(node.address, replace(rules(), lifetime_s=3))
            shown = token("shop", "anna", KEYS, datetime.now(UTC).replace(tzinfo=None), region=REGION)
            with encrypted(node, username="anna", password=shown, single_connection_client=True) as anna:
                began = time.monotonic()
                assert anna.ping()
                number = 0
                while time.monotonic() - began < 2.4:
                    number += 1
                    await driver.tell_iam_rules(node.address, rules(known=bool(number % 2)))  # with 12 hours for later ones
                    await driver.admit(node.address, USERS)
                    assert anna.ping()
                    await asyncio.sleep(0.1)
                with pytest.raises(redis.ConnectionError):
                    wait_for("its time is over", anna.connection.can_read, 10)
                assert time.monotonic() - began > 2.9

    asyncio.run(scenario())


def test_as_many_rules_as_may_be_are_taken_in_no_time(tmp_path: Path, module: str) -> None:
    """A thousand access keys that differ in as whom they may connect, among a hundred users. Clients wait meanwhile."""
    issuer = CertificateAuthority.of(tmp_path, TransitSettings(), SystemClock())
    users = ("anna", *(f"user-{number:03}-of-the-team" for number in range(99)))
    keys = [
        key
        for number in range(1000)
        for key in day_keys(f"AKIA{number:016}", f"secret {number}", REGION, (*users[: number % 100], "z"), time.time())
    ]
    many = IamRules("shop", REGION, users, (*keys, *rules().keys))
    assert many.size_bytes() > 2_000_000

    async def scenario() -> None:
        async with launched(Engine.VALKEY, "8.0", Trust(issuer.authorities)) as (driver, engines):
            node = await started(engines, issuer, module)
            await driver.promote(node.address, ())
            began = time.monotonic()
            await driver.tell_iam_rules(node.address, many)
            took_s = time.monotonic() - began
            assert (await engines.view(node)).iam_rules == many.fingerprint()
            assert gets_in(node)
            with encrypted(node, username="writer", password="new") as writer:
                slowest = max((entry["duration"] for entry in writer.slowlog_get(128)), default=0)
            print(f"{many.size_bytes()} bytes of rules were told in {took_s * 1000:.0f} ms; slowest command {slowest} us")
            assert took_s < 5

    asyncio.run(scenario())


def test_slots_still_move_at_once(module: str) -> None:
    """Engines refuse atomic migration while a module is loaded that does not say it can bear it."""

    async def scenario() -> None:
        async with launched(Engine.VALKEY, "9.1") as (driver, engines):
            cluster = SlotCluster(driver, engines)
            await cluster.start(ALL, (), users=(CLOSED, WRITER), iam_module=module)
            source, target = cluster.nodes
            with client_of(source, "writer", "new") as writer, client_of(target, "writer", "new") as receiver:
                assert "cachefleet-iam" in str(writer.call("INFO", "modules"))
                fill(writer, [(f"{{06S}}{number}", "x" * 500) for number in range(500)])
                await driver.migrate_slots(source.address, LOWER, cluster.ids[1])
                await engines.view(target, lambda view: cluster.owns(view, 1) == LOWER, clustered=True)
                assert receiver.call("DBSIZE") == 500

    asyncio.run(scenario())


@pytest.mark.parametrize("version", ["9.1", "8.1", "8.0"])
def test_data_that_may_not_touch_a_disk_still_do_not(module: str, version: str) -> None:
    """A replica that has data loads others beside them in memory: with a module that could not bear that, an engine would take
    them by way of a file."""

    async def scenario() -> None:
        async with launched(Engine.VALKEY, version) as (driver, engines):
            more: dict[str, Any] = {"memory_only": True, "iam_module": module, "users": (OPEN, WRITER)}
            first, second = engines.start(**more), engines.start(**more)
            for node in (first, second):
                await engines.view(node)
                await driver.promote(node.address, ())
            with client_of(first) as client, client_of(second) as other:
                fill(client, [(f"new:{number}", "x" * 500) for number in range(2000)])
                fill(other, [(f"old:{number}", "y" * 500) for number in range(2000)])
            await driver.follow(second.address, first.address, ())
            view = await engines.view(second, lambda view: view.link_up and not view.syncing)
            assert view.keys == 2000
            log = (second.folder / "engine.log").read_text()
            assert "to parser" in log or "in memory" in log, log
            assert "to disk" not in log
            assert not list(second.folder.glob("*.rdb"))

    asyncio.run(scenario())
