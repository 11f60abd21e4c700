"""How fast the API answers over one keep-alive connection with 500 groups of one node, each with a running engine: Describe
calls of all, in pages of 100, and of one by its name; signed requests. Once signed ahead, which shows the service, and once
signed one after the other by botocore, as a client in Python does it, which shows both sides; the client's own processor time
for such a request bounds that from above, whatever answers it.

CreateReplicationGroup: the time until its reply, while the groups are made.
"""

from __future__ import annotations

import http.client
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import msgspec
from botocore import xform_name
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from bench.creation import available, create
from bench.idle import pause
from bench.row import Row
from bench.spending import resident_mb, spent_s
from tests.fixtures.service import Service, running_service, wait_for

NOTE = __doc__
GROUPS = 500
BATCH = 20
ROUNDS = 5
REQUESTS = 300
TARGET = 300.0
OPERATIONS = ("DescribeReplicationGroups", "DescribeCacheClusters")
MOST_MS = 30.0  # of the service's time for all
MOST_CREATION_MS = 50.0
ENOUGH = {"CACHEFLEET_API_NODES": str(GROUPS), "CACHEFLEET_API_CLUSTERS": str(GROUPS)}
SETTLE_S = 15.0  # new groups are looked at more often for a while
Signed = tuple[bytes, dict[str, str]]  # body, headers


def measure(data: Path) -> Iterator[Row]:
    with running_service(data, start=False) as service:
        service.start(environment=ENOUGH)
        client = service.client()
        replies_ms = _create_all(client)
        yield Row(figure="CreateReplicationGroup, reply", unit="ms", values=replies_ms, target=MOST_CREATION_MS)
        pause(SETTLE_S)
        connection = http.client.HTTPConnection("127.0.0.1", service.port)
        connection.connect()
        one = {
            "DescribeReplicationGroups": {"ReplicationGroupId": "api050"},
            "DescribeCacheClusters": {"CacheClusterId": "api050-001"},
        }
        for operation in OPERATIONS:
            sign = _signer(service, operation)
            pages = list(_pages(client, operation))
            yield from _rates(service, connection, f"{operation}, all {GROUPS}", sign, pages, MOST_MS)
            yield from _rates(service, connection, f"{operation}, one of {GROUPS}", sign, [one[operation]])
        connection.close()
        yield Row(figure=f"{GROUPS} nodes: control plane's resident memory", unit="MB", values=[_resident_mb(service)])


def _pages(client: Any, operation: str) -> Iterator[dict[str, str]]:
    """What is asked for each page."""
    yield {}
    for reply in client.get_paginator(xform_name(operation)).paginate():
        if reply.get("Marker"):
            yield {"Marker": reply["Marker"]}


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


def _rates(
    service: Service,
    connection: http.client.HTTPConnection,
    figure: str,
    sign: Callable[[dict[str, str]], Signed],
    pages: Sequence[dict[str, str]],
    most_ms: float | None = None,
) -> Iterator[Row]:
    """Of requests for these pages in turn; the processor time is that of all pages together."""
    ahead, costs_ms, both, own_ms = [], [], [], []
    size_bytes = sum(len(_ask(connection, sign(page))) for page in pages)
    asked = [page for _, page in zip(range(REQUESTS), cycle(pages), strict=False)]
    for _ in range(ROUNDS):
        signed = [sign(page) for page in asked]
        before_s = _spent_s(service)
        ahead.append(_rate(connection, signed))
        costs_ms.append(1000 * (_spent_s(service) - before_s) / REQUESTS * len(pages))
        begun, own_s = time.perf_counter(), time.process_time()
        for page in asked:
            _ask(connection, sign(page))
        both.append(REQUESTS / (time.perf_counter() - begun))
        own_ms.append(1000 * (time.process_time() - own_s) / REQUESTS)
    remark = f"{len(pages)} replies, {size_bytes / 1000:.0f} kB"
    yield Row(figure=f"{figure}: signed ahead", unit="1/s", values=ahead, target=TARGET, at_least=True, reference=remark)
    yield Row(figure=f"{figure}: signed by botocore meanwhile", unit="1/s", values=both, target=TARGET, at_least=True)
    yield Row(figure=f"{figure}: client's processor time, signing and reading one", unit="ms", values=own_ms)
    yield Row(figure=f"{figure}: service's processor time", unit="ms", values=costs_ms, target=most_ms)


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


def _signer(service: Service, operation: str) -> Callable[[dict[str, str]], Signed]:
    keys = msgspec.json.decode((service.data / "credentials.json").read_bytes())
    auth = SigV4Auth(Credentials(keys["access_key_id"], keys["secret_access_key"]), "elasticache", "local-1")

    def sign(parameters: dict[str, str]) -> Signed:
        form = {"Action": operation, "Version": "2015-02-02", **parameters}
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
