"""The command lines of Memcached."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from cachefleet.engine_interfaces import Build, NodeSpec
from cachefleet.engines.memcached_config import item_sizes, render
from cachefleet.model.group import Engine
from cachefleet.model.observed import Address
from cachefleet.model.transit import CIPHERS, NodeCertificate

MB = 1_048_576
BUILD = Build(Engine.MEMCACHED, "1.6.18", "/usr/bin/memcached", "PATH")


def words(user: str = "nobody", open_files: int = 1_000_000, **fields: Any) -> list[str]:
    spec = NodeSpec(
        **{
            "name": "demo.0001",
            "incarnation": "u1.demo.0001.1",
            "address": Address("127.0.1.1", 11211),
            "zone": "local-1a",
            "maxmemory_bytes": 100 * MB + 5,
            "parameters": {},
            "threads": 2,
            **fields,
        }
    )
    rendering = render(spec, BUILD, user, open_files)
    assert not rendering.files and rendering.argv[0] == BUILD.binary
    return list(rendering.argv[1:])


def after(found: list[str], option: str) -> str:
    return found[found.index(option) + 1]


def test_where_and_how_much() -> None:
    found = words()
    options = {option: after(found, option) for option in ("-l", "-p", "-U", "-m", "-t", "-c", "-I", "-u")}
    assert options == {
        "-l": "127.0.1.1",
        "-p": "11211",
        "-U": "0",
        "-m": "100",
        "-t": "2",
        "-c": "65000",
        "-I": str(MB),
        "-u": "nobody",
    }


def test_it_stays_who_it_is_without_a_user() -> None:
    assert "-u" not in words(user="")


def test_connections_stay_below_the_limit_of_open_files() -> None:
    assert after(words(open_files=1024), "-c") == "960"
    assert after(words(open_files=10), "-c") == "3"
    assert after(words(open_files=1024, parameters={"max_simultaneous_connections": "500"}), "-c") == "500"


def test_switches_are_given_only_when_on() -> None:
    switches = {
        "cas_disabled": "-C",
        "disable_flush_all": "-F",
        "error_on_memory_exhausted": "-M",
        "maximize_core_file_limit": "-r",
    }
    on, off = words(parameters=dict.fromkeys(switches, "1")), words(parameters=dict.fromkeys(switches, "0"))
    assert set(switches.values()) <= set(on)
    assert not set(switches.values()) & set(off)


def test_extended_options() -> None:
    parameters = {"slab_reassign": "1", "no_modern": "1", "lru_crawler": "0", "idle_timeout": "60", "hash_algorithm": "murmur3"}
    extended = after(words(parameters=parameters), "-o").split(",")
    assert extended == ["no_modern", "hash_algorithm=murmur3", "idle_timeout=60", "slab_reassign", "slab_chunk_max=524288"]


def test_what_memcached_does_not_have_is_left_out() -> None:
    parameters = {
        "config_max": "16",
        "config_size_max": "65536",
        "memcached_connections_overhead": "100",
        "inline_ascii_resp": "1",
    }
    assert words(parameters=parameters) == words()


@given(st.integers(1, 2**31), st.integers(1024, MB).map(lambda size: 1 << (size.bit_length() - 1)), st.integers(1, 4096))
def test_item_sizes_fit_each_other_the_page_and_the_memory(item: int, chunk: int, memory_mb: int) -> None:
    size, piece = item_sizes(item, chunk, memory_mb * MB)
    assert 1024 <= size <= memory_mb * MB // 2
    assert 0 < piece <= size and size % piece == 0 and MB % piece == 0
    assert size >= min(item, memory_mb * MB // 2) - chunk  # as near to what was asked as the pieces allow


def test_with_tls_its_one_file_is_whose_it_becomes() -> None:
    """Named without a folder: whom it becomes can pass the folder that it works in only."""
    spec = NodeSpec(
        name="demo.0001",
        incarnation="u1.demo.0001.1",
        address=Address("127.0.1.1", 11211, transit="required"),
        zone="local-1a",
        maxmemory_bytes=100 * MB,
        parameters={},
        certificate=NodeCertificate(b"certificate\n", b"key\n", b"authorities\n"),
    )
    rendering = render(spec, BUILD, "nobody", 1000)
    assert rendering.files == {"node.pem": b"certificate\nkey\n"}
    assert rendering.owner == "nobody"
    assert after(list(rendering.argv), "-o").endswith(f"ssl_chain_cert=node.pem,ssl_key=node.pem,ssl_ciphers={CIPHERS}")
    assert render(spec, BUILD, "", 1000).owner == ""
    assert not any(word in str(rendering.argv) for word in ("key\n", "certificate\n"))
