"""A data folder whose key is gone, or another one, while engines run that were started with the one before."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest
import redis

from cachefleet.app.engine_passwords import KEY_FILE
from tests.engine.groups import address, await_healthy
from tests.fixtures.long import long
from tests.fixtures.machine import data_folder
from tests.fixtures.operator import operator_login
from tests.fixtures.service import CACHEFLEET, Service, running_service

SHAPE = {"ReplicationGroupDescription": "test", "CacheNodeType": "cache.t4g.micro", "Engine": "valkey", "NumCacheClusters": 2}
UNFIT = {"gone": b"", "another": b"0f" * 32 + b"\n", "damaged": b"cut sho"}


@pytest.fixture
def killed() -> Iterator[tuple[Service, tuple[str, int]]]:
    """The service was killed; a group of two nodes and its data go on."""
    with data_folder() as data, running_service(data) as service:
        api = service.client()
        api.create_replication_group(ReplicationGroupId="kept", AutomaticFailoverEnabled=True, **SHAPE)
        where = address(await_healthy(api, "kept")["NodeGroups"][0]["PrimaryEndpoint"])
        with redis.Redis(*where) as client:
            assert client.set("kept", "1")
        service.kill()
        yield service, where


def begun(service: Service) -> str:
    """What `cachefleet up` says that does not start: one line, exit code 1."""
    command = [CACHEFLEET, "up", "--data", str(service.data), "--listen", f"127.0.0.1:{service.port}", "--no-demo"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1), done
    return done.stderr


@pytest.mark.parametrize("what", UNFIT)
def test_no_service_begins_and_nothing_is_touched_until_the_key_is_back(
    killed: tuple[Service, tuple[str, int]], what: str
) -> None:
    service, where = killed
    file = service.data / KEY_FILE
    right, pids, login = file.read_bytes(), service.engine_pids(), operator_login(*where)
    if UNFIT[what]:
        file.write_bytes(UNFIT[what])
    else:
        file.unlink()
    for _ in range(2):
        told = begun(service)
        assert f"{file} is {'another one' if what == 'another' else what}" in told
        assert f"cachefleet down --discard --data {service.data}" in told
        assert right.decode().strip() not in told
        assert service.engine_pids() == pids
        assert (file.read_bytes() if file.exists() else b"") == UNFIT[what]
        with redis.Redis(*where) as client:
            assert client.get("kept") == b"1"
    file.write_bytes(right)
    service.start()
    await_healthy(service.client(), "kept")
    assert service.engine_pids() == pids
    assert operator_login(*where) == login
    with redis.Redis(*where) as client:
        assert client.get("kept") == b"1"


@pytest.mark.parametrize("what", ["gone", long("another"), long("damaged")])
def test_the_engines_can_be_ended_and_the_groups_begun_anew_with_a_new_key(
    killed: tuple[Service, tuple[str, int]], what: str
) -> None:
    service, where = killed
    file = service.data / KEY_FILE
    right = file.read_bytes()
    file.unlink()
    if UNFIT[what]:
        file.write_bytes(UNFIT[what])
    begun(service)
    service.down()
    assert service.engine_pids(children=True) == {}
    if what == "damaged":
        assert f"{file} is damaged" in begun(service)
        file.unlink()
    service.start()
    await_healthy(service.client(), "kept")
    assert file.read_bytes() != right
    with redis.Redis(*where) as client:
        assert client.get("kept") is None
        assert client.set("new", "1")
