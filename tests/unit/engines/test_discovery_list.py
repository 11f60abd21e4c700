"""The file of the configuration endpoint, and what is answered from it."""

from __future__ import annotations

from pathlib import Path

import pytest

from cachefleet.engines.discovery import node_list_file
from cachefleet.engines.discovery_list import CONFIG, VALUE, NodeList
from cachefleet.model.observed import Address

AT = Address("127.0.1.9", 11211)


def served(path: Path) -> NodeList:
    nodes = NodeList(str(path))
    nodes.refresh()
    return nodes


def publish(path: Path, version: int, *nodes: tuple[str, int]) -> None:
    new = path.with_suffix(".new")
    new.write_bytes(node_list_file(AT, version, nodes))
    new.replace(path)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "nodes.json"


def test_the_reply_is_as_long_as_it_says(path: Path) -> None:
    """The length is that of version and list, without the empty line before END (reference 4.4)."""
    hosts = [f"myCluster.pc4ldq.000{number}.use1.cache.amazonaws.com" for number in (1, 2)]
    path.write_bytes(node_list_file(AT, 12, [(host, 11211) for host in hosts]))
    answer = served(path).answer(CONFIG)
    head, _, rest = answer.partition(b"\r\n")
    payload = rest.removesuffix(b"\r\nEND\r\n")
    assert head == b"CONFIG cluster 0 %d" % len(payload)
    assert payload == f"12\n{hosts[0]}|{hosts[0]}|11211 {hosts[1]}|{hosts[1]}|11211\n".encode()


def test_nodes_are_sorted_by_host_as_text(path: Path) -> None:
    publish(path, 1, ("127.0.0.9", 1), ("127.0.0.10", 1))
    assert b"\n127.0.0.10|127.0.0.10|1 127.0.0.9|127.0.0.9|1\n" in served(path).answer(VALUE)


def test_nothing_is_answered_before_the_first_list(path: Path) -> None:
    publish(path, 0)
    nodes = served(path)
    assert nodes.listen == ("127.0.1.9", 11211)
    assert nodes.answer(CONFIG) == b""
    publish(path, 1)
    assert nodes.answer(CONFIG) == b"CONFIG cluster 0 3\r\n1\n\n\r\nEND\r\n"


@pytest.mark.parametrize(
    "broken", [b"", b"{", b"[]", b'{"listen": 1}', b'{"listen": ["a", 1], "version": "x", "nodes": []}', b"\xff"]
)
def test_a_broken_file_changes_nothing(path: Path, broken: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    publish(path, 7, ("127.0.1.1", 11211))
    nodes = served(path)
    before = nodes.answer(CONFIG)
    path.write_bytes(broken)
    assert nodes.answer(CONFIG) == before
    assert str(path) in capsys.readouterr().err
    path.unlink()
    assert nodes.answer(CONFIG) == before


def test_nodes_take_turns(path: Path) -> None:
    publish(path, 1, ("127.0.1.1", 1), ("127.0.1.2", 1), ("127.0.1.3", 1))
    nodes = served(path)
    orders = [list(nodes.candidates()) for _ in range(4)]
    assert [order[0][0] for order in orders] == ["127.0.1.1", "127.0.1.2", "127.0.1.3", "127.0.1.1"]
    assert all(len(order) == 3 for order in orders)
    publish(path, 2)
    assert not nodes.candidates()
