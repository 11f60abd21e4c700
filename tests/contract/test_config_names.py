"""The list of parameters that clients get, as a C library: what is on it, and how patterns choose from it."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fixtures.config_names import Names

SECRET = re.compile(
    r"auth|user|pass|key|seed|file|dir|sock|bind|port|host|announce|^replicaof|^slaveof|cpulist|enable-|protected|tls"
)
HARMLESS_ALL_THE_SAME = {
    "cluster-allow-pubsubshard-when-down",
    "lazyfree-lazy-user-del",
    "lazyfree-lazy-user-flush",
    "notify-keyspace-events",
    "tracking-table-max-keys",
}
# What the control plane sets itself, or relies on (engines/valkey_config.py and the verbs).
RELIED_ON = """
    appendonly bind client-output-buffer-limit cluster-allow-replica-migration cluster-announce-ip cluster-enabled
    cluster-migration-barrier cluster-node-timeout cluster-slot-stats-enabled dir io-threads loglevel masterauth masteruser
    maxclients maxmemory maxmemory-policy min-replicas-max-lag min-replicas-to-write port proto-max-bulk-len repl-backlog-size
    repl-backlog-ttl repl-diskless-load repl-diskless-sync repl-diskless-sync-delay repl-timeout replica-ignore-maxmemory
    replica-lazy-flush replica-priority replica-read-only replica-serve-stale-data requirepass save stop-writes-on-bgsave-error
    tcp-keepalive timeout tls-cluster tls-port tls-replication
"""


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> Names:
    return Names(tmp_path_factory.mktemp("names"))


def test_nothing_on_it_is_a_secret_a_path_or_an_address(names: Names) -> None:
    assert [name for name in names.all if SECRET.search(name) and name not in HARMLESS_ALL_THE_SAME] == []
    assert names.all == tuple(sorted(names.all)) and len(set(names.all)) == len(names.all) > 90
    assert all(re.fullmatch("[a-z-]+", name) for name in names.all), "in lower case, and no patterns"


def test_nothing_that_the_control_plane_relies_on_can_be_set(names: Names) -> None:
    assert [name for name in RELIED_ON.split() if names.is_settable(name.encode())] == []
    for name in ("notify-keyspace-events", "slowlog-log-slower-than", "latency-monitor-threshold", "activedefrag"):
        assert names.is_settable(name.encode())


def test_a_name_is_whole_and_in_any_case(names: Names) -> None:
    for name in names.all:
        for spelled in (name, name.upper(), name.title()):
            assert names.is_readable(spelled.encode())
            assert names.is_settable(spelled.encode()) is names.is_settable(name.encode())
        for other in (name[:-1], f"{name}x", f" {name}", f"{name}\0", f"{name} ", f"{name}\n", ""):
            spelled_otherwise = other.encode()
            assert other in names.all or not names.is_readable(spelled_otherwise), other
            assert other in names.all or not names.is_settable(spelled_otherwise), other


@given(st.binary(max_size=40))
def test_nothing_else_is_on_it(names: Names, text: bytes) -> None:
    assert names.is_readable(text) is (text.lower() in {name.encode() for name in names.all})
    assert not names.is_settable(text) or names.is_readable(text)
    assert names.is_pattern(text) is any(sign in text for sign in b"*?[\\")


# --- patterns, against another reading of them -----------------------------------------------------------------------------


def expected(pattern: str, name: str) -> bool:
    """By regular expressions; of what engines understand, all but a lacking ] and ranges the wrong way round."""
    parts, at = [], 0
    while at < len(pattern):
        sign = pattern[at]
        at += 1
        if sign == "*":
            parts.append(".*")
        elif sign == "?":
            parts.append(".")
        elif sign == "[":
            end = pattern.index("]", at)
            inner = pattern[at:end]
            opposite = inner.startswith("^")
            parts.append(f"[{'^' * opposite}{inner[opposite:]}]")
            at = end + 1
        elif sign == "\\" and at < len(pattern):
            parts.append(re.escape(pattern[at]))
            at += 1
        else:
            parts.append(re.escape(sign))
    return re.fullmatch("".join(parts), name, re.IGNORECASE | re.DOTALL) is not None


PIECES = st.one_of(
    st.sampled_from(
        ["*", "?", "**", "*-*", "max", "memory", "slowlog", "-", "\\-", "\\m", "[a-m]", "[^a]", "[xyzs]", "[L-S]", "E"]
    ),
    st.text("abcdefghilmnoprstuvwxyz-ABCXYZ", min_size=1, max_size=4),
)


@given(st.lists(PIECES, max_size=8).map("".join), st.data())
@settings(max_examples=600)
def test_patterns_choose_as_engines_let_them(names: Names, pattern: str, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(names.all))
    assert names.matches(pattern.encode(), name) is expected(pattern, name), (pattern, name)


@given(st.data())
def test_a_pattern_made_of_a_name_chooses_it(names: Names, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(names.all))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(name)), max_size=6)))
    pattern = name
    for cut in reversed(cuts):
        pattern = f"{pattern[:cut]}*{pattern[cut:]}"
    assert names.matches(pattern.encode(), name)
    assert names.matches(pattern.upper().encode(), name)


@pytest.mark.parametrize("pattern", ["*a" * 128, "*" * 256, "[" * 256, "*[a-z]" * 42, "\\" * 256, "*?" * 128])
def test_no_pattern_takes_long(names: Names, pattern: str) -> None:
    """A recursive reading would need years for some of these."""
    began = time.monotonic()
    for name in names.all:
        names.matches(pattern.encode(), name)
    assert time.monotonic() - began < 5
