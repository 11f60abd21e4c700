"""A cache in which nobody gets in without a name is upgraded, resharded, saved and restored as any other."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.cluster import RedisCluster

from tests.engine.groups import address, await_available, await_healthy, describe, replication_group
from tests.engine.test_access_control import PASSWORD, await_user, client, create_user, gets_in, nodes, primary, team
from tests.fixtures.long import long
from tests.fixtures.service import Service, wait_for

TOKEN = "a-token-for-all-of-them"
KEYS = 500


@contextmanager
def closed(elasticache: Any, name: str, **more: Any) -> Iterator[dict[str, Any]]:
    """A cache for the user app alone."""
    create_user(elasticache, f"{name}-app", "app", "on ~* &* +@all")
    create_user(elasticache, f"{name}-nobody", "default", "off -@all")
    request = {"Engine": "redis", "EngineVersion": "7.0", "TransitEncryptionEnabled": True, **more}
    with (
        team(elasticache, f"{name}-team", [f"{name}-app", f"{name}-nobody"]),
        replication_group(elasticache, name, UserGroupIds=[f"{name}-team"], **request) as group,
    ):
        yield group


def test_an_upgrade_keeps_users_and_data(elasticache: Any) -> None:
    with closed(elasticache, "up", NumCacheClusters=2) as group:
        with client(primary(group), PASSWORD, "app") as app:
            app.mset({f"key:{number}": number for number in range(KEYS)})
        change = {"Engine": "valkey", "EngineVersion": "8.0", "ApplyImmediately": True}
        elasticache.modify_replication_group(ReplicationGroupId="up", **change)
        after = await_healthy(elasticache, "up", 60)
        assert after["Engine"] == "valkey"
        for where in nodes(after):
            assert not gets_in(where)
            assert gets_in(where, PASSWORD, "app")
        with client(primary(after), PASSWORD, "app") as app:
            assert app.dbsize() == KEYS


def test_a_failover_keeps_users_and_data(elasticache: Any, service: Service) -> None:
    with closed(elasticache, "fall", NumCacheClusters=2, AutomaticFailoverEnabled=True) as group:
        with client(primary(group), PASSWORD, "app") as app:
            app.mset({f"key:{number}": number for number in range(KEYS)})
            assert app.wait(1, 2000) == 1
        killed = service.pid_of("fall-001")
        os.kill(killed, signal.SIGKILL)
        wait_for("it has ended", lambda: not Path(f"/proc/{killed}/cwd").exists())  # in its last instant it may let one in
        wait_for("the other one serves", lambda: gets_in_quietly(primary(group)))
        with client(primary(group), PASSWORD, "app") as app:
            assert app.dbsize() == KEYS
        assert not gets_in(primary(group))
        await_healthy(elasticache, "fall")


def gets_in_quietly(where: tuple[str, int]) -> bool:
    try:
        return gets_in(where, PASSWORD, "app")
    except redis.exceptions.ConnectionError:
        return False


@pytest.mark.parametrize(
    "engine", [pytest.param(("redis", "7.0"), id="redis-7.0"), long(("valkey", "8.0"), named="valkey-8.0")]
)
def test_slots_move_between_shards_that_let_one_user_in(elasticache: Any, engine: tuple[str, str]) -> None:
    name = f"shards-{engine[0]}"
    shape = {"NumNodeGroups": 2, "ReplicasPerNodeGroup": 1, "Engine": engine[0], "EngineVersion": engine[1]}
    with closed(elasticache, name, **shape) as group:
        where = address(group["ConfigurationEndpoint"])
        with cluster(where) as app:
            for number in range(KEYS):
                app.set(f"key:{number}", number)
        elasticache.modify_replication_group_shard_configuration(
            ReplicationGroupId=name, NodeGroupCount=3, ApplyImmediately=True
        )
        await_available(elasticache, name, 300)  # key by key: on a busy machine far slower than alone
        with cluster(where) as app:
            assert [app.get(f"key:{number}") for number in range(KEYS)] == [str(number).encode() for number in range(KEYS)]
            assert len(app.get_primaries()) == 3
        with pytest.raises((redis.exceptions.RedisClusterException, redis.exceptions.AuthenticationError)):
            cluster(where, None, None)


def cluster(where: tuple[str, int], user: str | None = "app", password: str | None = PASSWORD) -> Any:
    return RedisCluster(*where, username=user, password=password, ssl=True, ssl_cert_reqs="none")


def test_a_snapshot_of_a_cache_with_a_token_is_restored_with_users(elasticache: Any) -> None:
    tls = {"Engine": "redis", "EngineVersion": "7.0", "TransitEncryptionEnabled": True, "NumCacheClusters": 2}
    with replication_group(elasticache, "saved", AuthToken=TOKEN, **tls) as group:
        with client(primary(group), TOKEN) as app:
            app.mset({f"key:{number}": number for number in range(KEYS)})
        elasticache.create_snapshot(CacheClusterId="saved-002", SnapshotName="of-saved")

        def made() -> bool:
            (found,) = elasticache.describe_snapshots(SnapshotName="of-saved")["Snapshots"]
            return bool(found["SnapshotStatus"] == "available")

        wait_for("the snapshot is there", made)
        await_available(elasticache, "saved")
    with closed(elasticache, "brought", SnapshotName="of-saved", NumCacheClusters=1) as group:
        assert not gets_in(primary(group), TOKEN)
        with client(primary(group), PASSWORD, "app") as app:
            assert app.dbsize() == KEYS
    elasticache.delete_snapshot(SnapshotName="of-saved")
    assert describe(elasticache, "brought") is None


def test_a_node_that_is_too_busy_to_be_told_holds_a_change_up(elasticache: Any) -> None:
    """It would go on letting in with the password of before."""
    with closed(elasticache, "busy", NumCacheClusters=1) as group:
        (where,) = nodes(group)

        def says_busy() -> bool:
            try:
                with client(where, PASSWORD, "app") as other:
                    other.get("key")
            except redis.exceptions.ResponseError as error:
                return "busy" in str(error).lower()
            except (redis.exceptions.ConnectionError, redis.exceptions.TimeoutError):
                return False  # it says nothing at all at first
            return False

        with client(where, PASSWORD, "app") as app:
            script = threading.Thread(target=_runs_until_killed, args=(app,))
            script.start()
            try:
                wait_for("the engine says that it is busy", says_busy)
                elasticache.modify_user(UserId="busy-app", Passwords=[f"{PASSWORD}-new"])
                for _ in range(50):
                    (found,) = elasticache.describe_users(UserId="busy-app")["Users"]
                    assert found["Status"] == "modifying"
            finally:
                with client(where, PASSWORD, "app") as other:
                    other.script_kill()
                script.join(30)
        wait_for("the new password holds", lambda: gets_in(where, f"{PASSWORD}-new", "app"))
        await_user(elasticache, "busy-app")
        assert not gets_in(where, PASSWORD, "app")


def _runs_until_killed(app: Any) -> None:
    with suppress(redis.exceptions.RedisError):
        app.eval("while true do end", 0)


def test_the_control_plane_may_die_in_the_midst(elasticache: Any, service: Service) -> None:
    """Whatever is done of a change when it dies, the next one finishes."""
    with closed(elasticache, "dies", NumCacheClusters=2) as group:
        for number in range(3):
            elasticache.modify_user(UserId="dies-app", Passwords=[f"{PASSWORD}-{number}"])
            service.kill()
            service.start()
            for where in nodes(group):
                wait_for("the new password holds", lambda where=where, number=number: _holds(where, number))  # type: ignore[misc]
                assert not gets_in(where, f"{PASSWORD}-{number - 1}", "app")
            await_available(elasticache, "dies")

            def active() -> bool:
                (found,) = elasticache.describe_users(UserId="dies-app")["Users"]
                return bool(found["Status"] == "active")

            wait_for("the user is active", active)


def _holds(where: tuple[str, int], number: int) -> bool:
    return gets_in(where, f"{PASSWORD}-{number}", "app")
