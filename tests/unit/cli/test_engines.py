"""The table of engines: what a row says, and the command over engines of one's own."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from cachefleet.cli.engines import line_of
from cachefleet.engine_interfaces import Build
from cachefleet.model.group import Engine
from tests.fixtures.service import CACHEFLEET


def build(engine: Engine, *can: str) -> Build:
    return Build(engine, "9.1.2", "/there", "PATH", frozenset(can))


def test_a_row_says_what_a_build_can_do() -> None:
    everything = build(Engine.VALKEY, "tls", "jemalloc", "atomic-slot-migration", "auth-callback", "modules")
    assert line_of(everything) == ("valkey", "9.1.2", "yes", "jemalloc", "yes", "yes", "yes", "PATH", "/there")
    assert line_of(build(Engine.REDIS)) == ("redis", "9.1.2", "no", "libc", "no", "no", "no", "PATH", "/there")
    assert line_of(build(Engine.MEMCACHED, "tls"))[2:7] == ("yes", "-", "-", "-", "-")


def listed(data: Path, *binaries: str) -> subprocess.CompletedProcess[str]:
    more = {"CACHEFLEET_ENGINES_BINARIES": os.pathsep.join(binaries), "XDG_CACHE_HOME": str(data / "cache")}
    command = [CACHEFLEET, "engines", "list", "--data", str(data)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env={**os.environ, **more}, check=False)


def test_the_command_names_what_can_be_done_about_tls(tmp_path: Path) -> None:
    newest = tmp_path / "valkey-server"
    newest.write_text("#!/bin/sh\necho 'Valkey server v=99.1.0 sha=0:0 malloc=libc bits=64 build=1'\n")
    newest.chmod(0o755)
    done = listed(tmp_path, str(newest), str(tmp_path / "nothing"))
    assert done.returncode == 0 and done.stderr == ""
    assert f"Not usable: {tmp_path}/nothing: No such file or directory" in done.stdout
    row = next(line for line in done.stdout.splitlines() if "99.1.0" in line)
    assert row.split()[:7] == ["valkey", "99.1.0", "no", "libc", "yes", "no", "no"]
    assert "Valkey 99.1.0 here cannot do TLS" in done.stdout and "engines build valkey" in done.stdout


def test_what_was_built_here_is_listed_first(tmp_path: Path) -> None:
    place = tmp_path / "engines" / "valkey-99.2.0" / "bin" / "valkey-server"
    place.parent.mkdir(parents=True)
    place.write_text(
        '#!/bin/sh\ncase "$*" in --version) echo "Valkey server v=99.2.0 malloc=jemalloc-5.3.0 bits=64" ;;\n'
        '*tls-port*) echo "No tls-cert-file configured!" ;; esac\n'
    )
    place.chmod(0o755)
    lines = listed(tmp_path).stdout.splitlines()
    assert lines[1].split()[:4] == ["valkey", "99.2.0", "yes", "jemalloc"] and "built here" in lines[1]
    assert not any("cannot do TLS" in line for line in lines)
