"""Replies of all supported versions, as real engines gave them (samples/), and replies that no engine gives."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachefleet.engines import replies
from cachefleet.model.group import Engine
from cachefleet.model.observed import ClusterView, NodeView

SAMPLES = Path(__file__).with_name("samples")
VERSIONS = {
    "valkey-9.1": (Engine.VALKEY, "9.1.2"),
    "valkey-8.1": (Engine.VALKEY, "8.1.8"),
    "redis-7.0": (Engine.REDIS, "7.0.15"),
    "redis-6.2": (Engine.REDIS, "6.2.14"),
}
every_version = pytest.mark.parametrize("version", VERSIONS)


def sample(version: str, name: str) -> str:
    return (SAMPLES / f"{version}-{name}.txt").read_text()


def node(version: str, name: str) -> NodeView:
    info = replies.parse_fields(sample(version, name))
    return replies.parse_node(replies.parse_identity(info), info, ["127.0.1.1"])


def cluster(version: str, name: str) -> ClusterView:
    return replies.parse_cluster(sample(version, name + "-nodes"), replies.parse_fields(sample(version, name + "-info")))


@every_version
def test_who_it_is(version: str) -> None:
    identity = replies.parse_identity(replies.parse_fields(sample(version, "primary")))
    assert (identity.engine, identity.version) == VERSIONS[version]
    assert identity.incarnation == "u1.node.1" and identity.pid > 0
    assert "set-proc-title" in identity.capabilities


@every_version
def test_a_node_that_waits(version: str) -> None:
    view = node(version, "waiting")
    assert (view.reachable, view.primary, view.follows, view.link_up, view.loading) == (True, False, "", False, False)
    assert (view.offset, view.link_down_s, view.streams_to, view.bound) == (-1, -1, (), ("127.0.1.1",))


@every_version
def test_a_primary_with_a_replica(version: str) -> None:
    view = node(version, "primary")
    assert (view.primary, view.follows, view.link_up, view.syncing, view.why) == (True, "", False, False, "")
    assert view.offset > 0 and view.streams_to == ("127.0.1.2",)


@pytest.mark.parametrize(("lag_s", "fed"), [(0, True), (3, True), (4, False), (60, False)])
def test_a_replica_that_has_not_acknowledged_for_a_while_is_not_fed(lag_s: int, fed: bool) -> None:
    info = replies.parse_fields(sample("valkey-9.1", "primary"))
    info["slave0"] = f"ip=127.0.1.2,port=6379,state=online,offset=99,lag={lag_s},type=main-channel"
    view = replies.parse_node(replies.parse_identity(info), info)
    assert view.streams_to == (("127.0.1.2",) if fed else ())


@every_version
def test_a_replica_in_sync(version: str) -> None:
    view = node(version, "replica")
    assert (view.primary, view.follows, view.link_up, view.syncing, view.link_down_s) == (False, "127.0.1.1", True, False, -1)
    assert view.offset == node(version, "primary").offset


@every_version
def test_a_replica_that_loads(version: str) -> None:
    view = node(version, "loading")
    assert (view.loading, view.syncing, view.link_up, view.primary, view.why) == (True, True, False, False, "loading data")


@every_version
def test_a_replica_that_lost_its_primary(version: str) -> None:
    view = node(version, "broken")
    assert (view.link_up, view.follows, view.loading) == (False, "127.0.1.1", False)
    assert view.link_down_s >= 1 and view.offset >= node(version, "replica").offset


@every_version
def test_a_cluster(version: str) -> None:
    view = cluster(version, "cluster")
    by_host = {known.host: known for known in view.nodes.values()}
    me, primary, replica = by_host["127.0.1.2"], by_host["127.0.1.1"], by_host["127.0.1.3"]
    assert view.ok and view.current_epoch == 2 and me.engine_id == view.my_id
    assert (primary.primary, primary.slots, primary.epoch) == (True, ((0, 5461), (7000, 7000)), 1)
    assert me.slots == ((5462, 6999), (7001, 16383))  # one of them is open, and still its own
    assert (replica.primary, replica.primary_id, replica.slots) == (False, primary.engine_id, ())
    assert not any(known.failed or known.suspected or known.handshake for known in view.nodes.values())


@every_version
def test_a_cluster_with_a_dead_node(version: str) -> None:
    dead = next(known for known in cluster(version, "cluster-broken").nodes.values() if known.host == "127.0.1.2")
    assert dead.failed or dead.suspected
    assert not dead.link_up


def test_hostnames_handshakes_and_lost_addresses_in_cluster_nodes() -> None:
    text = (
        f"{'a' * 40} 127.0.1.1:6379@16379,node.example,shard-id=69bc myself,master - 0 0 5 connected 0-1 3\n"
        f"{'b' * 40} ::1:6379@16379 handshake - 0 0 0 disconnected\n"
        f"{'c' * 40} :0@0 slave,fail,noaddr {'a' * 40} 1 1 5 disconnected\n"
        "vars currentEpoch 6\n"
    )
    nodes = replies.parse_cluster(text, {}).nodes
    assert [nodes[letter * 40].host for letter in "abc"] == ["127.0.1.1", "::1", ""]
    assert nodes["b" * 40].handshake and nodes["c" * 40].failed
    assert nodes["a" * 40].slots == ((0, 1), (3, 3))


def test_config_in_both_protocols() -> None:
    assert replies.parse_config(["bind", "a b", "port", "1"]) == replies.parse_config({"bind": "a b", "port": "1"})


@pytest.mark.parametrize("path", ["", "/etc/redis/redis.conf", "engine.conf"])
def test_an_engine_that_we_did_not_start_is_no_incarnation(path: str) -> None:
    assert replies.parse_identity({"redis_version": "7.0.15", "config_file": path}).incarnation == ""


@given(st.text(), st.text())
def test_nothing_that_is_said_breaks_the_reading(first: str, second: str) -> None:
    info = replies.parse_fields(first)
    view = replies.parse_node(replies.parse_identity(info), info, (), replies.parse_cluster(second, info))
    assert view.reachable


@given(st.lists(st.text(alphabet="0123456789abc-[>< :@,.", max_size=12), min_size=8, max_size=14))
def test_no_line_of_cluster_nodes_breaks_the_reading(words: list[str]) -> None:
    assert replies.parse_cluster(" ".join(words), {}).ok is False


@pytest.mark.parametrize(
    ("modules", "expected"),
    [
        ("# Modules\r\nmodule:name=cachefleet-iam,ver=1,api=1,filters=0\r\n", True),
        ("module:name=search,ver=1\r\nmodule:name=cachefleet-iam,ver=1,api=1\r\n", True),
        ("# Modules\r\n", False),
        ("module:name=cachefleet-iam-not,ver=1\r\n", False),
        ("module:name=x,path=module:name=cachefleet-iam,ver=1\r\n", False),
    ],
)
def test_the_module_for_tokens_is_known_by_its_name(modules: str, expected: bool) -> None:
    assert replies.has_iam_module(modules) is expected
