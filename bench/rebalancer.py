"""What resharding is compared with: a plain cluster of the same engine binary, and the engines' own command line tool, which
moves slots key by key to a node that has none.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import redis

from bench.clients import Where
from bench.references import PLAIN_CLUSTER, Processes
from cachefleet.engines.catalogue import InstalledEngines
from cachefleet.model.group import SLOTS
from cachefleet.settings import EngineSettings
from tests.fixtures.machine import data_folder
from tests.fixtures.service import wait_for
from tests.traffic.keys import view_of

PIPELINE = 100
HALVES = ((0, SLOTS // 2 - 1), (SLOTS // 2, SLOTS - 1))
_TOOLS = ("valkey-cli", "redis-cli")


def tool() -> Path:
    """The newest one that came with an engine, or any in PATH. Raises AssertionError when there is none."""
    beside = [Path(build.binary).parent for build in InstalledEngines(EngineSettings()).builds()]
    found = [folder / name for name in _TOOLS for folder in beside if (folder / name).is_file()]
    found += [Path(path) for name in _TOOLS if (path := shutil.which(name))]
    if not found:
        raise AssertionError("neither valkey-cli nor redis-cli is installed; install redis-tools")
    return found[0]


@contextmanager
def two_owners_and_a_newcomer(binary: str) -> Iterator[Sequence[Where]]:
    """Three nodes of a cluster; the third owns nothing."""
    with data_folder() as folder:
        processes = Processes(binary, folder)
        try:
            nodes = [processes.start(6379, PLAIN_CLUSTER) for _ in range(3)]
            for number, ((first, last), node) in enumerate(zip(HALVES, nodes, strict=False), start=1):
                _tell(node, "CLUSTER", "ADDSLOTSRANGE", first, last) if _has_ranges(node) else _add_slots(node, first, last)
                _tell(node, "CLUSTER", "SET-CONFIG-EPOCH", number)
            for host, port in nodes[1:]:
                _tell(nodes[0], "CLUSTER", "MEET", host, port)
            wait_for("the cluster is whole", lambda: all(_is_whole(node) for node in nodes))
            yield nodes
        finally:
            processes.end()


def rebalance(nodes: Sequence[Where]) -> None:
    """Until all three own as many slots. Raises AssertionError with the tool's last words."""
    chosen, (host, port) = tool(), nodes[0]
    empty = "--cluster-use-empty-primaries" if "primaries" in _help(chosen) else "--cluster-use-empty-masters"
    command = [str(chosen), "--cluster", "rebalance", f"{host}:{port}", empty, "--cluster-pipeline", str(PIPELINE)]
    done = subprocess.run([*command, "--cluster-yes"], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise AssertionError(f"{chosen.name} ended with {done.returncode}: {(done.stdout + done.stderr)[-2000:]}")


def _help(chosen: Path) -> str:
    return subprocess.run([str(chosen), "--cluster", "help"], capture_output=True, text=True, check=False).stdout


def _is_whole(node: Where) -> bool:
    view = view_of(node)
    return view.ok and len(view.nodes) == 3 and all(one.link_up and not one.handshake for one in view.nodes.values())


def _has_ranges(node: Where) -> bool:
    with redis.Redis(*node, socket_timeout=5) as client:
        return int(str(client.info("server")["redis_version"]).split(".")[0]) >= 7


def _add_slots(node: Where, first: int, last: int) -> None:
    _tell(node, "CLUSTER", "ADDSLOTS", *range(first, last + 1))


def _tell(node: Where, *words: object) -> None:
    with redis.Redis(*node, socket_timeout=5) as client:
        client.execute_command(*words)
