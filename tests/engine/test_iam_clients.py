"""Clients' own ways to show IAM tokens, unchanged, against caches of a real service: redis-py as AWS shows it, valkey-glide."""

from __future__ import annotations

import asyncio
import ssl
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import glide
import pytest
import redis
from botocore.credentials import Credentials
from redis.cluster import RedisCluster

from tests.engine.groups import address, replication_group
from tests.engine.iam_caches import (
    ENGINE,
    REGION,
    People,
    Provider,
    authorities,
    await_in,
    connecting,
    create_iam_user,
    nodes_of,
)
from tests.engine.test_access_control import operator, primary, team
from tests.fixtures.iam_tokens import require_compiler
from tests.fixtures.service import Service


@pytest.fixture(scope="module")
def groups(service: Service) -> Iterator[dict[str, dict[str, Any]]]:
    require_compiler()
    elasticache = service.client()
    create_iam_user(elasticache, "gina")
    one = {"NumCacheClusters": 2, "AutomaticFailoverEnabled": True}
    many = {"NumNodeGroups": 2, "ReplicasPerNodeGroup": 1}
    with (
        team(elasticache, "client-team", ["gina"], engine="valkey"),
        replication_group(elasticache, "single", UserGroupIds=["client-team"], **ENGINE, **one) as single,
        replication_group(elasticache, "spread", UserGroupIds=["client-team"], **ENGINE, **many) as spread,
    ):
        yield {"single": single, "spread": spread}


@pytest.fixture(scope="module")
def app(service: Service, groups: dict[str, Any]) -> Iterator[Credentials]:
    """Who may connect to both caches, which know it already."""
    people = People(service)
    try:
        made = people.add("client-app", connecting("single", "gina"), connecting("spread", "gina"))
        for cache, group in groups.items():
            await_in(nodes_of(service.client(), group), cache, "gina", made)
        yield made
    finally:
        people.end()


@pytest.fixture(scope="module")
def ca(service: Service, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("ca") / "ca.pem"
    place.write_bytes(authorities(service))
    return place


def state(where: tuple[str, int], service: Service) -> list[Any]:
    """[sum of the rules, open connections, let in, refused, ended for their time]"""
    with operator(where, service) as ours:
        return list(ours.execute_command("CACHEFLEET.IAM", "STATE"))


@pytest.mark.usefixtures("_environment")
def test_the_recipe_of_the_documents_works(groups: dict[str, Any], ca: Path) -> None:
    """As it is written there, with the access key where botocore looks for it."""
    page = (Path(__file__).parents[2] / "docs" / "access.md").read_text()
    recipe = page.partition("### redis-py\n")[2].partition("\nThe access key")[0]
    program, _, connecting_lines = textwrap.dedent(recipe).partition("\nredis.Redis(")
    found: dict[str, Any] = {}
    exec(program, found)
    assert 'credential_provider=Iam("shop-app", "shop"), ssl=True, ssl_ca_certs="ca.pem"' in connecting_lines
    where = primary(groups["single"])
    more = {"credential_provider": found["Iam"]("gina", "single"), "ssl": True, "ssl_ca_certs": str(ca)}
    with redis.Redis(*where, **more) as client:
        assert client.acl_whoami() in ("gina", b"gina")


@pytest.mark.parametrize("protocol", [2, 3], ids=["AUTH", "HELLO"])
def test_redis_py_as_aws_shows_it(groups: dict[str, Any], app: Credentials, ca: Path, protocol: int) -> None:
    """The server's certificate is checked, too."""
    where = primary(groups["single"])
    provider = Provider("gina", "single", app)
    with redis.Redis(*where, credential_provider=provider, ssl=True, ssl_ca_certs=str(ca), protocol=protocol) as client:
        assert client.acl_whoami() in ("gina", b"gina")
        client.set("greeting", "hello")
        assert client.get("greeting") in ("hello", b"hello")


def test_redis_py_shows_another_token_on_connections_that_are_open(
    service: Service, groups: dict[str, Any], app: Credentials, ca: Path
) -> None:
    where = primary(groups["single"])
    provider = Provider("gina", "single", app)
    with redis.Redis(*where, credential_provider=provider, ssl=True, ssl_ca_certs=str(ca)) as client:
        assert client.ping()
        number, before = client.client_id(), state(where, service)
        provider.renew()
        assert client.client_id() == number, "it is the same connection"
        assert state(where, service)[2] == before[2] + 1, "which has shown another token"
        assert state(where, service)[1] == before[1]


def test_redis_py_in_cluster_mode(service: Service, groups: dict[str, Any], app: Credentials, ca: Path) -> None:
    where = address(groups["spread"]["ConfigurationEndpoint"])
    provider = Provider("gina", "spread", app)
    with RedisCluster(*where, credential_provider=provider, ssl=True, ssl_ca_certs=str(ca)) as client:
        for number in range(100):
            client.set(f"key:{number}", number)
        assert len(client.get_primaries()) == 2
        assert int(client.get("key:42")) == 42


def test_redis_py_with_asyncio(groups: dict[str, Any], app: Credentials, ca: Path) -> None:
    async def scenario() -> None:
        provider = Provider("gina", "single", app)
        where = primary(groups["single"])
        async with redis.asyncio.Redis(
            host=where[0], port=where[1], credential_provider=provider, ssl=True, ssl_ca_certs=str(ca)
        ) as client:
            assert await client.acl_whoami() in ("gina", b"gina")

    asyncio.run(scenario())


def glide_options(cache: str, places: list[tuple[str, int]], service: Service) -> dict[str, Any]:
    """As a user writes them; the certificates' authority beside them, which GLIDE does not know otherwise."""
    return {
        "addresses": [glide.NodeAddress(*where) for where in places],
        "use_tls": True,
        "credentials": glide.ServerCredentials(
            username="gina",
            iam_config=glide.IamAuthConfig(
                cluster_name=cache, service=glide.ServiceType.ELASTICACHE, region=REGION, refresh_interval_seconds=1
            ),
        ),
        "request_timeout": 5000,
    }


@pytest.fixture
def _environment(monkeypatch: pytest.MonkeyPatch, app: Credentials) -> None:
    """Where the AWS SDK in GLIDE looks first."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", app.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", app.secret_key)
    monkeypatch.delenv("AWS_SESSION_TOKEN", raising=False)


@pytest.mark.usefixtures("_environment")
def test_glide_against_a_cache(service: Service, groups: dict[str, Any]) -> None:
    async def scenario() -> None:
        where = primary(groups["single"])
        client = await glide.GlideClient.create(
            glide.GlideClientConfiguration(
                **glide_options("single", [where], service),
                advanced_config=glide.AdvancedGlideClientConfiguration(
                    connection_timeout=5000, tls_config=glide.TlsAdvancedConfiguration(root_pem_cacerts=authorities(service))
                ),
            )
        )
        try:
            assert await client.custom_command(["ACL", "WHOAMI"]) == b"gina"
            assert await client.set("greeting", "hello") == "OK"
            assert await client.get("greeting") == b"hello"
            before = state(where, service)[2]
            assert await client.refresh_iam_token() == "OK"
            with operator(where, service) as ours:
                ours.client_kill_filter(user="gina")  # as when its 12 h are over
            assert await _answered(client) == b"hello"
            assert state(where, service)[2] > before, "it came again by itself"
        finally:
            await client.close()

    asyncio.run(scenario())


async def _answered(client: glide.GlideClient) -> bytes | None:
    """After a connection that ended, the first question may be answered with that."""
    async with asyncio.timeout(20):
        while True:
            try:
                return await client.get("greeting")
            except (glide.ConnectionError, glide.TimeoutError, glide.RequestError):
                continue


@pytest.mark.usefixtures("_environment")
def test_glide_in_cluster_mode(service: Service, groups: dict[str, Any]) -> None:
    async def scenario() -> None:
        where = address(groups["spread"]["ConfigurationEndpoint"])
        client = await glide.GlideClusterClient.create(
            glide.GlideClusterClientConfiguration(
                **glide_options("spread", [where], service),
                advanced_config=glide.AdvancedGlideClusterClientConfiguration(
                    connection_timeout=5000, tls_config=glide.TlsAdvancedConfiguration(root_pem_cacerts=authorities(service))
                ),
            )
        )
        try:
            for number in range(100):
                assert await client.set(f"key:{number}", str(number)) == "OK"
            assert await client.get("key:42") == b"42"
            whose = await client.custom_command(["ACL", "WHOAMI"], glide.AllPrimaries())
            assert set(whose.values()) == {b"gina"} and len(whose) == 2
        finally:
            await client.close()

    asyncio.run(scenario())


@pytest.mark.usefixtures("_environment")
@pytest.mark.parametrize("wrong", ["cache", "secret"])
def test_glide_is_refused(service: Service, groups: dict[str, Any], monkeypatch: pytest.MonkeyPatch, wrong: str) -> None:
    if wrong == "secret":
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "guessed")

    async def scenario() -> None:
        with pytest.raises(glide.ClosingError):
            await glide.GlideClient.create(
                glide.GlideClientConfiguration(
                    **glide_options("spread" if wrong == "cache" else "single", [primary(groups["single"])], service),
                    advanced_config=glide.AdvancedGlideClientConfiguration(
                        connection_timeout=2000,
                        tls_config=glide.TlsAdvancedConfiguration(root_pem_cacerts=authorities(service)),
                    ),
                )
            )

    asyncio.run(scenario())


def test_tokens_are_never_sent_in_the_clear(groups: dict[str, Any]) -> None:
    """Nodes of such caches listen with TLS alone."""
    where = primary(groups["single"])
    plain = redis.Redis(*where, socket_timeout=5)
    with pytest.raises(redis.exceptions.ConnectionError):
        plain.ping()
    with pytest.raises((redis.exceptions.ConnectionError, ssl.SSLError)):
        redis.Redis(*where, ssl=True, socket_timeout=5).ping()  # whose authority nobody knows
