"""A visit of a cache with a client library, as its users write it: python -m tests.tls_clients.visit KIND HOST PORT AUTHORITY
Prints what came back of what was set; else the error, and ends with 1. Certificates are verified: that is the point.
"""

from __future__ import annotations

import asyncio
import ssl
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

KEYS = [f"visited-{number}" for number in range(20)]


def _redis_py(host: str, port: int, authority: str) -> list[str]:
    import redis

    return _of_redis_py(redis.Redis(host, port, ssl=True, ssl_ca_certs=authority, socket_timeout=5, decode_responses=True))


def _redis_py_cluster(host: str, port: int, authority: str) -> list[str]:
    from redis.cluster import RedisCluster

    return _of_redis_py(RedisCluster(host, port, ssl=True, ssl_ca_certs=authority, socket_timeout=5, decode_responses=True))


def _of_redis_py(client: Any) -> list[str]:
    with client:
        for number, key in enumerate(KEYS):
            client.set(key, str(number))
        return [client.get(key) for key in KEYS]


def _glide(host: str, port: int, authority: str, *, anybody: bool = False) -> list[str]:
    from glide import AdvancedGlideClientConfiguration, GlideClient, GlideClientConfiguration, NodeAddress

    advanced = AdvancedGlideClientConfiguration(connection_timeout=5000, tls_config=_believing(authority, anybody))
    configuration = GlideClientConfiguration(
        [NodeAddress(host, port)], use_tls=True, request_timeout=5000, advanced_config=advanced
    )
    return asyncio.run(_of_glide(lambda: GlideClient.create(configuration)))


def _glide_cluster(host: str, port: int, authority: str, *, anybody: bool = False) -> list[str]:
    from glide import AdvancedGlideClusterClientConfiguration, GlideClusterClient, GlideClusterClientConfiguration, NodeAddress

    advanced = AdvancedGlideClusterClientConfiguration(connection_timeout=5000, tls_config=_believing(authority, anybody))
    configuration = GlideClusterClientConfiguration(
        [NodeAddress(host, port)], use_tls=True, request_timeout=5000, advanced_config=advanced
    )
    return asyncio.run(_of_glide(lambda: GlideClusterClient.create(configuration)))


def _believing(authority: str, anybody: bool) -> Any:
    from glide import TlsAdvancedConfiguration

    known = None if anybody else Path(authority).read_bytes()
    return TlsAdvancedConfiguration(use_insecure_tls=anybody, root_pem_cacerts=known)


async def _of_glide(create: Callable[[], Any]) -> list[str]:
    client = await create()
    try:
        for number, key in enumerate(KEYS):
            await client.set(key, str(number))
        return [(await client.get(key)).decode() for key in KEYS]
    finally:
        await client.close()


def _pymemcache(host: str, port: int, authority: str) -> list[str]:
    from pymemcache.client.base import Client

    client = Client((host, port), tls_context=ssl.create_default_context(cafile=authority), connect_timeout=5, timeout=5)
    for number, key in enumerate(KEYS):
        client.set(key, str(number))
    found = [client.get(key).decode() for key in KEYS]
    client.close()
    return found


KINDS: Mapping[str, Callable[[str, int, str], list[str]]] = {
    "redis-py": _redis_py,
    "redis-py-cluster": _redis_py_cluster,
    "glide": _glide,
    "glide-cluster": _glide_cluster,
    "pymemcache": _pymemcache,
    # GLIDE does not tell a certificate that it does not believe from silence: this is what it does when it believes any.
    "glide-anybody": partial(_glide, anybody=True),
    "glide-cluster-anybody": partial(_glide_cluster, anybody=True),
}


def main(kind: str, host: str, port: str, authority: str) -> int:
    try:
        print(*KINDS[kind](host, int(port), authority))
    except Exception as error:  # of whatever library
        told: BaseException | None = error
        while told is not None:
            print(type(told).__name__, told)
            told = told.__cause__ or told.__context__
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
