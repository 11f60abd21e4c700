"""What fits: the rule, and that this machine can be looked at."""

from __future__ import annotations

from pathlib import Path

import pytest

from cachefleet.hosts.capacity import Room, read_room, refusal

MIB = 1024 * 1024
GIB = 1024 * MIB


def room(**changes: int) -> Room:
    fields = {"total_bytes": 8 * GIB, "available_bytes": 4 * GIB, "tasks": 30_000}
    return Room(**{**fields, **changes})


@pytest.mark.parametrize(
    ("where", "nodes", "memory_bytes", "reserve", "words"),
    [
        (room(), 2, 100 * GIB, False, ""),
        (room(), 2, 7 * GIB, True, ""),
        (room(available_bytes=GIB), 2, 7 * GIB, True, ""),
        (room(), 2, 8 * GIB, True, "Choose a smaller node type"),
        (room(), 299, 0, False, ""),
        (room(), 400, 0, False, "even when empty"),
        (room(available_bytes=0), 0, 0, False, "0 more nodes"),
        (room(available_bytes=270 * MIB, total_bytes=GIB), 1, 0, False, ""),
        (room(available_bytes=270 * MIB, total_bytes=GIB), 2, 0, False, "14 MiB to spare"),
        (room(available_bytes=410 * MIB), 1, 0, False, "0 MiB to spare"),
        (room(tasks=80), 2, 0, False, ""),
        (room(tasks=79), 2, 0, False, "lets us start 79 more"),
        (room(tasks=-5), 1, 0, False, "lets us start 0 more"),
    ],
)
def test_refusals(where: Room, nodes: int, memory_bytes: int, reserve: bool, words: str) -> None:
    answer = refusal(where, nodes, memory_bytes, reserve=reserve)
    assert words in answer
    assert bool(answer) == bool(words)


def test_data_that_come_at_once_must_fit_beside_what_is_there() -> None:
    """room() has 4 GiB, of which 5 % of 8 GiB are spared."""
    most = 4 * GIB - int(8 * GIB * 0.05) - 2 * 12 * MIB
    assert refusal(room(), 2, 0, reserve=False, data_bytes=most) == ""
    assert "2 more nodes need 3,687 MiB with their data" in refusal(room(), 2, 0, reserve=False, data_bytes=most + MIB)


def test_this_machine_has_room() -> None:
    here = read_room()
    assert 0 < here.available_bytes <= here.total_bytes < 1 << 50
    assert 0 < here.tasks < 1 << 40


def machine(root: Path, files: dict[str, str]) -> Path:
    """A tree as the kernel shows it: 8 GiB, 6 of them available, 200 tasks; with a container's limits."""
    shown = {
        "proc/meminfo": f"MemTotal: {8 * MIB} kB\nMemFree: 1 kB\nMemAvailable: {6 * MIB} kB\nHugePages_Total: 0\n",
        "proc/loadavg": "0.08 0.03 0.01 2/200 4242\n",
        "proc/sys/kernel/pid_max": "32768\n",
        "proc/sys/kernel/threads-max": "10200\n",
    }
    for name, content in {**shown, **files}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
    return root


@pytest.fixture
def unlimited_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever runs the tests: ulimit -u is not what these are about."""
    monkeypatch.setattr("resource.getrlimit", lambda _: (-1, -1))


@pytest.mark.usefixtures("unlimited_user")
def test_without_control_groups_the_machine_is_the_limit(tmp_path: Path) -> None:
    assert read_room(machine(tmp_path, {})) == Room(total_bytes=8 * GIB, available_bytes=6 * GIB, tasks=10_000)


@pytest.mark.usefixtures("unlimited_user")
def test_limits_of_a_container_and_of_those_around_it_count(tmp_path: Path) -> None:
    root = machine(
        tmp_path,
        {
            "proc/self/cgroup": "1:name=systemd:/old\n0::/outer/inner\n",
            "sys/fs/cgroup/outer/inner/memory.max": "max\n",
            "sys/fs/cgroup/outer/inner/memory.current": "1\n",
            "sys/fs/cgroup/outer/inner/pids.max": "500\n",
            "sys/fs/cgroup/outer/inner/pids.current": "100\n",
            "sys/fs/cgroup/outer/memory.max": f"{2 * GIB}\n",
            "sys/fs/cgroup/outer/memory.current": f"{GIB}\n",
            "sys/fs/cgroup/outer/memory.stat": f"anon 5\ninactive_file {GIB // 4}\nactive_file 7\n",
            "sys/fs/cgroup/outer/pids.max": "max\n",
        },
    )
    assert read_room(root) == Room(total_bytes=2 * GIB, available_bytes=GIB + GIB // 4, tasks=400)


@pytest.mark.usefixtures("unlimited_user")
def test_a_container_that_sees_its_own_group_as_the_root(tmp_path: Path) -> None:
    files = {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": f"{GIB}\n", "sys/fs/cgroup/memory.current": "0\n"}
    assert read_room(machine(tmp_path, files)).available_bytes == GIB
