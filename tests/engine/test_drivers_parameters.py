"""The default parameter groups on real engines: they start with them, and say that they have them."""

from __future__ import annotations

import asyncio

import pytest

from cachefleet.engines.valkey_directives import directives
from cachefleet.model.group import Engine
from cachefleet.reference import parameters
from cachefleet.reference.engines import family_of
from cachefleet.reference.node_types import node_type
from tests.engine.engine_processes import Client, every_version, resp_processes

PORT = 6379
NODE_TYPE = "cache.t4g.micro"


def defaults(engine: Engine, version: str, cluster_on: bool) -> dict[str, str]:
    kind, family = node_type(NODE_TYPE, {}), family_of(engine, version)
    assert kind is not None and family is not None
    return parameters.effective(family, cluster_on, {}, kind)


@pytest.mark.parametrize("clustered", [False, True], ids=["plain", "cluster"])
@every_version
def test_default_parameters_are_in_force(engine: Engine, version: str, clustered: bool) -> None:
    async def scenario() -> None:
        async with resp_processes(engine, version) as (_, engines):
            wanted = defaults(engine, engines.build.version, clustered)
            assert len(wanted) > 50
            node = engines.start(parameters=wanted, clustered=clustered)
            await engines.view(node)
            with Client(node.address.host, PORT) as client:
                found = {}
                for name, *values in directives(wanted, engines.build.capabilities):
                    answer = client.call("CONFIG", "GET", name)
                    found[name] = (values[0], answer[1] if answer else None)
                limit = client.call("CONFIG", "GET", "client-output-buffer-limit")[1]
            differing = {name: pair for name, pair in found.items() if pair[0] != pair[1]}
            if clustered:
                differing.pop("databases", None)  # there is one, whatever is said
            differing.pop("maxclients", None)  # the engine lowers it to what the limit of open files allows
            assert differing == {}
            assert "slave 6710886 6710886 60" in limit or wanted["client-output-buffer-limit-replica-hard-limit"] in limit

    asyncio.run(scenario())
