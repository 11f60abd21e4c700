"""Rules that keep connections out, as nft reads and prints them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cachefleet.hosts.guards import Identity, parse, script
from cachefleet.model.guard import Guard, Opening

US = Identity(41)


def match(protocol: str, field: str, right: Any) -> dict[str, Any]:
    return {"match": {"op": "==", "left": {"payload": {"protocol": protocol, "field": field}}, "right": right}}


def meta(key: str, right: int) -> dict[str, Any]:
    return {"match": {"op": "==", "left": {"meta": {"key": key}}, "right": right}}


def jumps(**chains: list[str]) -> dict[str, Any]:
    pairs = [[host, {"jump": {"target": chain}}] for chain, hosts in chains.items() for host in hosts]
    return {"vmap": {"key": {"payload": {"protocol": "ip", "field": "daddr"}}, "data": {"set": pairs}}}


def listing(*rules: tuple[str, list[Any]]) -> str:
    return json.dumps({"nftables": [{"metainfo": {}}, *({"rule": {"chain": chain, "expr": expr}} for chain, expr in rules)]})


OURS = ("output", [meta("skuid", US.user_id), meta("skgid", US.group_id), {"accept": None}])


def test_a_script_replaces_the_whole_table() -> None:
    guard = Guard(("127.41.64.1",), (Opening(6379, ("10.0.0.0/8", "127.0.0.9/32")), Opening(6380, ("0.0.0.0/0",))))
    lines = script(US, "t", {"ab12": guard}).splitlines()
    assert lines[:3] == ["add table ip t", "delete table ip t", "table ip t {"]
    assert lines[3:8] == [
        "chain g_ab12 {",
        "ip saddr { 10.0.0.0/8, 127.0.0.9/32 } tcp dport 6379 accept",
        "tcp dport 6380 accept",
        "reject with tcp reset",
        "}",
    ]
    assert f"meta skuid {US.user_id} meta skgid 60641 accept" in lines
    assert "ip daddr vmap { 127.41.64.1 : jump g_ab12 }" in lines
    assert script(US, "t", {}) == "add table ip t\ndelete table ip t\n"


@pytest.mark.parametrize("bad", ["127.0.0.1 }", "x", "127.0.0.1; flush ruleset"])
def test_nothing_but_addresses_gets_into_a_script(bad: str) -> None:
    with pytest.raises(ValueError):
        script(US, "t", {"u": Guard((bad,), ())})
    with pytest.raises(ValueError):
        script(US, "t", {"u": Guard(("127.41.64.1",), (Opening(1, (bad,)),))})


def test_what_was_printed_is_read_back() -> None:
    both = {"set": [{"prefix": {"addr": "10.0.0.0", "len": 8}}, "127.0.0.9", {"range": ["11.0.0.0", "11.255.255.255"]}]}
    found = parse(
        US,
        listing(
            ("g_u1", [match("ip", "saddr", both), match("tcp", "dport", 6379), {"accept": None}]),
            ("g_u1", [match("tcp", "dport", 6380), {"accept": None}]),
            ("g_u1", [{"reject": {"type": "tcp reset"}}]),
            ("g_u2", [{"reject": {"type": "tcp reset"}}]),
            OURS,
            ("output", [{"return": None}]),
            ("output", [jumps(g_u1=["127.41.64.2", "127.41.64.1"], g_u2=["127.41.0.1"])]),
        ),
    )
    assert found == {
        "u1": Guard(
            ("127.41.64.1", "127.41.64.2"),
            (Opening(6379, ("10.0.0.0/7", "127.0.0.9/32")), Opening(6380, ("0.0.0.0/0",))),
        ),
        "u2": Guard(("127.41.0.1",), ()),
    }


def test_a_table_that_does_not_let_ourselves_through_is_none() -> None:
    other = ("output", [meta("skuid", US.user_id), meta("skgid", US.group_id + 1), {"accept": None}])
    reached = ("output", [jumps(g_u1=["127.41.64.1"])])
    assert parse(US, listing(other, reached)) == {}
    assert parse(US, listing(reached)) == {}
    assert parse(US, listing(OURS, reached)) == {"u1": Guard(("127.41.64.1",), ())}
    assert parse(US, listing()) == {}
