"""What `cachefleet up` and `cachefleet env` say, and how other commands are named."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from cachefleet.app.installation import Credentials, Installation, NotInstalled
from cachefleet.app.services import ServiceInfo
from cachefleet.cli.demo import DemoEndpoints, endpoints_of
from cachefleet.cli.environment import export_lines
from cachefleet.cli.invocation import command
from cachefleet.cli.up import example
from cachefleet.settings import Settings
from tests.fakes.entropy import SeededEntropy

DEMO = DemoEndpoints("127.41.0.1", "127.41.0.2", 6379)


def test_the_example_writes_through_the_primary_and_reads_through_the_reader() -> None:
    write, read = example(DEMO, "valkey-cli")
    assert shlex.split(write) == ["valkey-cli", "-h", "127.41.0.1", "-p", "6379", "set", "greeting", "hello"]
    assert shlex.split(read) == ["valkey-cli", "-h", "127.41.0.2", "-p", "6379", "get", "greeting"]


def test_the_python_example_is_python() -> None:
    for line in example(DEMO, sys.executable):
        program, option, code = shlex.split(line)
        assert (program, option) == (sys.executable, "-c")
        compile(code, "example", "exec")


def test_the_demo_reads_from_the_primary_when_there_is_no_reader() -> None:
    shard = {"PrimaryEndpoint": {"Address": "127.41.0.1", "Port": 6380}}
    assert endpoints_of({"NodeGroups": [shard]}) == DemoEndpoints("127.41.0.1", "127.41.0.1", 6380)


def test_other_commands_are_named_as_this_one_was_called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "bin" / "cachefleet"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "argv", [str(program), "up"])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "/usr/bin")
    assert command("env", Settings()) == "bin/cachefleet env"
    monkeypatch.setenv("PATH", f"/usr/bin:{program.parent}")
    assert command("env", Settings()) == "cachefleet env"
    with_space = tmp_path / "two words"
    assert shlex.split(command("env", Settings(data=str(with_space)))) == ["cachefleet", "env", "--data", str(with_space)]


def test_env_needs_an_installation(tmp_path: Path) -> None:
    with pytest.raises(NotInstalled, match="no Cachefleet has been started"):
        list(export_lines(Settings(data=str(tmp_path))))


def test_env_survives_a_shell(tmp_path: Path) -> None:
    """The address is that of the last service; without one, where the service would listen."""
    installation = Installation(tmp_path)
    keys = installation.prepare(SeededEntropy(1))
    settings = Settings(data=str(tmp_path), listen="127.0.0.1:9", region="it's-1")
    assert _through_a_shell(settings) == ["http://127.0.0.1:9", keys.access_key_id, keys.secret_access_key, "it's-1"]
    last = ServiceInfo(1, "http://127.0.0.1:8", "local-1")
    (tmp_path / "service.lock").write_bytes(msgspec.json.encode(last))
    odd = Credentials("AK'IA $(id)", "a b\"c`d'e")
    (tmp_path / "credentials.json").write_bytes(msgspec.json.encode(odd))
    assert _through_a_shell(settings) == [last.url, odd.access_key_id, odd.secret_access_key, last.region]


def _through_a_shell(settings: Settings) -> list[str]:
    names = ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION")
    script = "\n".join([*export_lines(settings), *(f'printf "%s\\n" "${name}"' for name in names)])
    return subprocess.run(["sh", "-euc", script], capture_output=True, text=True, check=True).stdout.splitlines()
