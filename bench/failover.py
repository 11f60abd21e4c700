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
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from bench import references
from bench.caches import Cache, clustered_cache, replicated_cache
from bench.clients import GLIDE_TIMEOUT_MS, Where, glide_cluster, redis_py, redis_py_anew, redis_py_cluster
from bench.creation import CLUSTER, PAIR
from bench.faults import Aim, Fault, Freeze, HandOver, Kill
from bench.row import Row, shown
from bench.trial import Outcome, trial
from bench.writer import Write
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
AT_LEAST_ONE = {"min-replicas-to-write": "1"}
ENOUGH = {"CACHEFLEET_API_TEST_FAILOVERS_PER_DAY": "1000"}
GLIDE = f"of it {GLIDE_TIMEOUT_MS} ms: the client's request timeout, which it waits out"
SWITCH_S = 0.0005

Client = Callable[[Where], AbstractContextManager[Write]]


def measure(data: Path, rounds: int = ROUNDS) -> Iterator[Row]:
    """rounds: of each fault with redis-py; a third of it where a client or a setting is there for comparison only."""
    some = max(1, rounds // 3)
    with _short_switches(), running_service(data, start=False) as service, ExitStack() as groups:
        service.start(environment=ENOUGH)
        api = service.client()
        pair = replicated_cache(service, api, groups.enter_context(replication_group(api, "pair", **PAIR)))
        triple = replicated_cache(
            service, api, groups.enter_context(replication_group(api, "triple", **TRIPLE)), configuration=AT_LEAST_ONE
        )
        cluster = clustered_cache(service, api, groups.enter_context(replication_group(api, "cluster", **CLUSTER)))

        pair_ms = yield from _killed("1+1 killed, redis-py", pair, redis_py, KILLED_MS, rounds)
        yield from _killed("1+1 killed, a connection a write", pair, redis_py_anew, KILLED_MS, some)
        cluster_ms = yield from _killed("3x2 killed, redis-py", cluster, redis_py_cluster, KILLED_CLUSTER_MS, rounds)
        yield from _killed("3x2 killed, valkey-glide", cluster, glide_cluster, KILLED_CLUSTER_MS, some, GLIDE)
        yield from _handed_over("1+1", pair, redis_py, HandOver(api, "pair"), HANDED_OVER_MS, rounds)
        yield from _handed_over("3x2", cluster, redis_py_cluster, HandOver(api, "cluster"), HANDED_OVER_CLUSTER_MS, rounds)
        yield from _guarded("killed", triple, Kill, KILLED_MS, rounds)
        with _references(service, min(rounds, REFERENCE_ROUNDS)) as (sentinel, plain):
            yield from _frozen("1+1", pair, redis_py, rounds)
            yield from _frozen("3x2", cluster, redis_py_cluster, rounds)
            yield from _guarded("frozen", triple, Freeze, FROZEN_MS, some)
            yield from _compared("1+1", "three Sentinels", sentinel.gaps_s(), pair_ms)
            yield from _compared("3x2", "the plain cluster", plain.gaps_s(), cluster_ms)


def _killed(
    what: str, cache: Cache, client: Client, target_ms: float, rounds: int, remark: str = ""
) -> Generator[Row, None, Row]:
    """Returns the gaps."""
    connect = partial(client, cache.endpoint)
    done = [trial(cache, connect, Kill, watched=cache.direct) for _ in range(rounds)]
    yield (gaps := _gaps(what, done, target_ms, remark))
    if cache.direct:
        serving_ms = [1000 * one.serving_s for one in done]
        yield Row(figure=f"{what}: of it, until the new primary takes writes", unit="ms", values=serving_ms)
    yield from _unplanned_losses(what, done)
    return gaps


def _frozen(shape: str, cache: Cache, client: Client, rounds: int) -> Iterator[Row]:
    what = f"{shape} frozen, redis-py"
    done = [trial(cache, partial(client, cache.endpoint), Freeze) for _ in range(rounds)]
    yield _gaps(what, done, FROZEN_MS)
    yield from _unplanned_losses(what, done)
    yield _none(f"{what}: acknowledged by the resumed one", [one.resumed for one in done])


def _handed_over(shape: str, cache: Cache, client: Client, fault: Fault, target_ms: float, rounds: int) -> Iterator[Row]:
    what = f"{shape} handed over, redis-py"
    done = [trial(cache, partial(client, cache.endpoint), lambda *_: fault) for _ in range(rounds)]
    yield _gaps(what, done, target_ms)
    yield _none(f"{what}: acknowledged writes lost", [one.losses.total for one in done])


def _guarded(fate: str, cache: Cache, aim: Aim, target_ms: float, rounds: int) -> Iterator[Row]:
    """With min-replicas-to-write 1."""
    what = f"1+2 {fate}, min-replicas-to-write 1, redis-py"
    done = [trial(cache, partial(redis_py, cache.endpoint), aim) for _ in range(rounds)]
    yield _gaps(what, done, target_ms)
    yield _none(f"{what}: acknowledged writes lost", [one.losses.total for one in done])


def _compared(shape: str, other: str, others_s: Sequence[float], own: Row) -> Iterator[Row]:
    yield Row(figure=f"{shape} killed, {other}: gap in writes", unit="s", values=others_s)
    remark = f"{shown(Row(figure='', unit='s', values=others_s).median, 's')} over {shown(own.median, own.unit)}, medians"
    ratios = [1000 * other_s / own.median for other_s in others_s]
    yield Row(figure=f"{shape} killed: times faster than {other}", unit="", values=ratios, target=TIMES_FASTER, at_least=True,
              reference=remark)  # fmt: skip


def _gaps(what: str, done: Sequence[Outcome], target_ms: float, remark: str = "") -> Row:
    values = [1000 * one.gap_s for one in done]
    return Row(figure=f"{what}: gap in writes", unit="ms", values=values, target=target_ms, reference=remark)


def _unplanned_losses(what: str, done: Sequence[Outcome]) -> Iterator[Row]:
    values = [float(one.losses.unreplicated) for one in done]
    yield Row(figure=f"{what}: acknowledged writes lost, not yet at a replica", unit="", values=values)
    yield _none(f"{what}: acknowledged writes lost though replicated", [one.losses.after_kept for one in done])


def _none(figure: str, counts: Sequence[int]) -> Row:
    return Row(figure=figure, unit="", values=[float(count) for count in counts], target=0, each=True)


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
