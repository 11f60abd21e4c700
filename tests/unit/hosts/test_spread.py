"""What nft is told, and what is read from what it prints."""

from __future__ import annotations

import json
from typing import Any

from cachefleet.hosts.spread import parse, script

BEGINS = "tcp flags & (fin | syn | rst | ack) == syn"


def match(field: str, value: Any) -> dict[str, Any]:
    return {"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": field}}, "right": value}}


def rule(*expressions: dict[str, Any]) -> dict[str, Any]:
    return {"rule": {"family": "ip", "table": "t", "chain": "output", "handle": 3, "expr": list(expressions)}}


def test_a_script_replaces_the_whole_table() -> None:
    text = script("t", {("127.9.0.2", 6379): ["127.9.64.1", "127.9.64.2"], ("127.9.0.1", 7000): ["127.9.64.3"]})
    assert text.splitlines() == [
        "add table ip t",
        "delete table ip t",
        "table ip t {",
        "chain output { type nat hook output priority -100; policy accept;",
        "ct state new continue",
        f"ip daddr 127.9.0.1 tcp dport 7000 {BEGINS} dnat to 127.9.64.3",
        f"ip daddr 127.9.0.2 tcp dport 6379 {BEGINS} dnat to numgen random mod 2 map {{ 0 : 127.9.64.1, 1 : 127.9.64.2 }}",
        "}",
        "}",
    ]


def test_without_rules_connections_are_followed_all_the_same() -> None:
    assert script("t", {}).splitlines() == [
        "add table ip t",
        "delete table ip t",
        "table ip t {",
        "chain output { type nat hook output priority -100; policy accept;",
        "ct state new continue",
        "}",
        "}",
    ]


def test_a_listing_is_read_and_foreign_rules_are_passed_over() -> None:
    spread = {"map": {"key": {"numgen": {}}, "data": {"set": [[0, "127.9.64.1"], [1, "127.9.64.2"]]}}}
    flags = {"&": [{"payload": {"protocol": "tcp", "field": "flags"}}, ["fin", "syn", "rst", "ack"]]}
    begins = {"match": {"op": "==", "left": flags, "right": "syn"}}
    listing = {
        "nftables": [
            {"metainfo": {"version": "1.0.6"}},
            {"chain": {"name": "output"}},
            rule(match("daddr", "127.9.0.2"), match("dport", 6379), begins, {"dnat": {"addr": spread}}),
            rule(match("daddr", "127.9.0.1"), match("dport", 7000), {"dnat": {"addr": "127.9.64.3"}}),
            rule(match("daddr", "127.9.0.3"), {"accept": None}),
            rule({"counter": {"packets": 0}}, {"drop": None}),
        ]
    }
    assert parse(json.dumps(listing)) == {
        ("127.9.0.2", 6379): ("127.9.64.1", "127.9.64.2"),
        ("127.9.0.1", 7000): ("127.9.64.3",),
    }
