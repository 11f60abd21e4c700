"""How fast the API answers over one keep-alive connection with 100 groups of one node, each with a running engine:
DescribeReplicationGroups of all in one reply, and of one by its name; signed requests. Once signed ahead, which shows the
service, and once signed one after the other by botocore, as a client in Python does it, which shows both sides.

CreateReplicationGroup: the time until its reply, while the groups are made.
"""

from __future__ import annotations

import http.client
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import msgspec
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from bench.creation import available, create
from bench.row import Row
from bench.spending import resident_mb, spent_s
from tests.fixtures.service import Service, running_service, wait_for

NOTE = __doc__
GROUPS = 100
BATCH = 20
ROUNDS = 5
REQUESTS = 300
TARGET = 200.0
WHAT: Mapping[str, dict[str, str]] = {"all 100": {}, "one of 100": {"ReplicationGroupId": "api050"}}
Signed = tuple[bytes, dict[str, str]]  # body, headers


def measure(data: Path) -> Iterator[Row]:
    with running_service(data) as service:
        client = service.client()
        yield Row(figure="CreateReplicationGroup, reply", unit="ms", values=_create_all(client))
        sign = _signer(service)
        connection = http.client.HTTPConnection("127.0.0.1", service.port)
        connection.connect()
        for what, parameters in WHAT.items():
            yield from _rates(service, connection, what, partial(sign, parameters))
        connection.close()
        yield Row(figure="100 nodes: control plane's resident memory", unit="MB", values=[_resident_mb(service)])


def _create_all(client: Any) -> list[float]:
    """Milliseconds of every reply; a batch after the other is awaited."""
    took_ms = []
    for first in range(0, GROUPS, BATCH):
        for number in range(first, first + BATCH):
            begun = time.perf_counter()
            create(client, f"api{number:03}", {"NumCacheClusters": 1})
            took_ms.append(1000 * (time.perf_counter() - begun))
        wait_for("the batch is available", partial(_are_available, client, first + BATCH), 60, every_s=0.1)
    return took_ms


def _are_available(client: Any, groups: int) -> bool:
    return available(client) == groups


def _rates(service: Service, connection: http.client.HTTPConnection, what: str, sign: Callable[[], Signed]) -> Iterator[Row]:
    ahead, costs_ms, both = [], [], []
    size_bytes = len(_ask(connection, sign()))
    for _ in range(ROUNDS):
        signed = [sign() for _ in range(REQUESTS)]
        before_s = _spent_s(service)
        ahead.append(_rate(connection, signed))
        costs_ms.append(1000 * (_spent_s(service) - before_s) / REQUESTS)
        begun = time.perf_counter()
        for _ in range(REQUESTS):
            _ask(connection, sign())
        both.append(REQUESTS / (time.perf_counter() - begun))
    remark = f"a reply of {size_bytes / 1000:.0f} kB"
    figure = f"DescribeReplicationGroups, {what}"
    yield Row(figure=f"{figure}: signed ahead", unit="1/s", values=ahead, target=TARGET, at_least=True, reference=remark)
    yield Row(figure=f"{figure}: signed by botocore meanwhile", unit="1/s", values=both, target=TARGET, at_least=True)
    yield Row(figure=f"{figure}: service's processor time", unit="ms", values=costs_ms)


def _rate(connection: http.client.HTTPConnection, signed: Sequence[Signed]) -> float:
    begun = time.perf_counter()
    for request in signed:
        _ask(connection, request)
    return len(signed) / (time.perf_counter() - begun)


def _ask(connection: http.client.HTTPConnection, request: Signed) -> bytes:
    body, headers = request
    connection.request("POST", "/", body, headers)
    response = connection.getresponse()
    content = response.read()
    if response.status != 200:
        raise AssertionError(f"{response.status}: {content[:500]!r}")
    return content


def _signer(service: Service) -> Callable[[dict[str, str]], Signed]:
    keys = msgspec.json.decode((service.data / "credentials.json").read_bytes())
    auth = SigV4Auth(Credentials(keys["access_key_id"], keys["secret_access_key"]), "elasticache", "local-1")

    def sign(parameters: dict[str, str]) -> Signed:
        form = {"Action": "DescribeReplicationGroups", "Version": "2015-02-02", **parameters}
        body = urlencode(form).encode()
        headers = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}
        request = AWSRequest("POST", f"{service.url}/", headers, body)
        auth.add_auth(request)
        return body, dict(request.headers.items())

    return sign


def _spent_s(service: Service) -> float:
    assert service.process is not None
    return spent_s(service.process.pid)


def _resident_mb(service: Service) -> float:
    assert service.process is not None
    return resident_mb(service.process.pid)
