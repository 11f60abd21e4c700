"""How long a client cannot write when a primary is lost or hands over: the longest gap between two acknowledged writes of one
client that writes without a pause and connects anew at once, from the fault until the struck node is back as a replica and in
sync; and which acknowledged writes are gone when everything is read back from the final primaries. The clients are not ours.

- Killed: kill -9. A client with a connection for every write sees, too, whether the endpoint takes connections at every moment.
  In cluster mode a second client shows when the shard's new primary itself takes writes; the rest of the gap is the time in
  which the cluster client learns of it.
- Frozen: SIGSTOP, and SIGCONT after 3 s unless the process was ended until then. Connections from before bring it writes that
  wait for it while it is frozen; none may ever be acknowledged.
- Handed over: TestFailover. No acknowledged write may be gone.

Replication is asynchronous in the engine: a write that a primary acknowledged and had not yet sent when it was lost is gone
whoever manages it. Writes that a replica had must all be there, and with min-replicas-to-write 1 all must.

The references are killed in the same way, in the same run (beside our freezes), with the same engine binary: a 1+1 pair that
three Sentinels watch (down-after-milliseconds 5000, quorum 2; redis-py's own Sentinel client), and a plain 3x2 cluster with
the engine's default cluster-node-timeout of 15 s.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from bench import references
from bench.caches import Cache, clustered_cache, replicated_cache
from bench.cases import Case, in_turn
from bench.clients import GLIDE_TIMEOUT_MS, glide_cluster, redis_py, redis_py_anew, redis_py_cluster
from bench.creation import CLUSTER, PAIR
from bench.faults import Freeze, HandOver, Kill
from bench.row import Row, shown
from tests.engine.groups import replication_group
from tests.fixtures.service import Service, running_service

NOTE = __doc__
ROUNDS = 30
REFERENCE_ROUNDS = 3
KILLED_MS, KILLED_CLUSTER_MS = 100.0, 250.0
FROZEN_MS = 2000.0
HANDED_OVER_MS, HANDED_OVER_CLUSTER_MS = 50.0, 150.0
TIMES_FASTER = 20.0
TRIPLE: Mapping[str, Any] = {**PAIR, "NumCacheClusters": 3}
GUARDED = "min-replicas-to-write 1"
ENOUGH = {"CACHEFLEET_API_TEST_FAILOVERS_PER_DAY": "1000"}
GLIDE = f"of it {GLIDE_TIMEOUT_MS} ms: the client's request timeout, which it waits out"
SWITCH_S = 0.0005


class Caches(msgspec.Struct, frozen=True):
    pair: Cache
    triple: Cache  # with min-replicas-to-write 1
    cluster: Cache


def measure(data: Path, rounds: int = ROUNDS) -> Iterator[Row]:
    """rounds: of each fault with redis-py; a third of it where a client or a setting is there for comparison only."""
    with _short_switches(), running_service(data, start=False) as service, ExitStack() as groups:
        service.start(environment=ENOUGH)
        api = service.client()
        pair = groups.enter_context(replication_group(api, "pair", **PAIR))
        triple = groups.enter_context(replication_group(api, "triple", **TRIPLE))
        cluster = groups.enter_context(replication_group(api, "cluster", **CLUSTER))
        caches = Caches(
            replicated_cache(service, api, pair),
            replicated_cache(service, api, triple, configuration=dict([GUARDED.split()])),
            clustered_cache(service, api, cluster),
        )
        quick = _quick_cases(caches, api, rounds)
        done = in_turn(quick)
        for case, outcomes in zip(quick, done, strict=True):
            yield from case.rows(outcomes)
        with _references(service, min(rounds, REFERENCE_ROUNDS)) as (sentinel, plain):
            slow = _slow_cases(caches, rounds)
            for case, outcomes in zip(slow, in_turn(slow), strict=True):
                yield from case.rows(outcomes)
            yield from _compared("1+1", "three Sentinels", sentinel.gaps_s(), quick[0].gaps(done[0]))
            yield from _compared("3x2", "the plain cluster", plain.gaps_s(), quick[1].gaps(done[1]))


def _quick_cases(caches: Caches, api: Any, rounds: int) -> list[Case]:
    """The first two are those that references are compared with."""
    some = max(1, rounds // 3)
    pair, triple, cluster = caches.pair, caches.triple, caches.cluster
    return [
        Case(what="1+1 killed, redis-py", cache=pair, client=redis_py, aim=Kill, target_ms=KILLED_MS, rounds=rounds),
        Case(what="3x2 killed, redis-py", cache=cluster, client=redis_py_cluster, aim=Kill, target_ms=KILLED_CLUSTER_MS,
             rounds=rounds),
        Case(what=f"1+2 killed, {GUARDED}, redis-py", cache=triple, client=redis_py, aim=Kill, target_ms=KILLED_MS,
             rounds=rounds, lossless=True),
        Case(what="1+1 handed over, redis-py", cache=pair, client=redis_py, aim=partial(HandOver, api, "pair"),
             target_ms=HANDED_OVER_MS, rounds=rounds, lossless=True),
        Case(what="3x2 handed over, redis-py", cache=cluster, client=redis_py_cluster, aim=partial(HandOver, api, "cluster"),
             target_ms=HANDED_OVER_CLUSTER_MS, rounds=rounds, lossless=True),
        Case(what="1+1 killed, a connection a write", cache=pair, client=redis_py_anew, aim=Kill, target_ms=KILLED_MS,
             rounds=some),
        Case(what="3x2 killed, valkey-glide", cache=cluster, client=glide_cluster, aim=Kill, target_ms=KILLED_CLUSTER_MS,
             rounds=some, remark=GLIDE),
    ]  # fmt: skip


def _slow_cases(caches: Caches, rounds: int) -> list[Case]:
    """Whose gaps are seconds."""
    pair, triple, cluster = caches.pair, caches.triple, caches.cluster
    return [
        Case(what="1+1 frozen, redis-py", cache=pair, client=redis_py, aim=Freeze, target_ms=FROZEN_MS, rounds=rounds),
        Case(what="3x2 frozen, redis-py", cache=cluster, client=redis_py_cluster, aim=Freeze, target_ms=FROZEN_MS,
             rounds=rounds),
        Case(what=f"1+2 frozen, {GUARDED}, redis-py", cache=triple, client=redis_py, aim=Freeze, target_ms=FROZEN_MS,
             rounds=max(1, rounds // 3), lossless=True),
    ]  # fmt: skip


def _compared(shape: str, other: str, others_s: Sequence[float], own: Row) -> Iterator[Row]:
    yield Row(figure=f"{shape} killed, {other}: gap in writes", unit="s", values=others_s)
    remark = f"{shown(Row(figure='', unit='s', values=others_s).median, 's')} over {shown(own.median, own.unit)}, medians"
    ratios = [1000 * other_s / own.median for other_s in others_s]
    yield Row(figure=f"{shape} killed: times faster than {other}", unit="", values=ratios, target=TIMES_FASTER, at_least=True,
              reference=remark)  # fmt: skip


@contextmanager
def _references(service: Service, rounds: int) -> Iterator[tuple[references.Reference, references.Reference]]:
    """The same kills with the same binary, in processes of their own."""
    binary = str(Path(f"/proc/{service.pid_of('pair-001')}/exe").readlink())
    with references.running("sentinel", binary, rounds) as sentinel, references.running("cluster", binary, rounds) as plain:
        yield sentinel, plain


@contextmanager
def _short_switches() -> Iterator[None]:
    """Our own threads must not keep the writer waiting."""
    usual_s = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_S)
    try:
        yield
    finally:
        sys.setswitchinterval(usual_s)
