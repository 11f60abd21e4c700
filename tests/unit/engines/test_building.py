"""Building an engine, with a source that takes no time: what is checked before, what is left behind, what a second call does.

make is the real one; the compiler and what it makes are small programs. A whole Valkey takes minutes and its source, so that
is for people: `cachefleet engines build valkey 9.1`.
"""

from __future__ import annotations

import fcntl
import io
import os
import shutil
import signal
import subprocess
import sys
import tarfile
from pathlib import Path

import msgspec
import pytest

from cachefleet.engines.binary_facts import look_at
from cachefleet.engines.build_tools import ToolsMissing, require_tools
from cachefleet.engines.building import BuildFailed, build_valkey
from cachefleet.engines.catalogue import BUILT, InstalledEngines
from cachefleet.engines.source_archive import sha256_of
from cachefleet.engines.sources import OTHERS, RELEASES, NoSource, address_of, release_of, require_sum, told_version
from cachefleet.model.group import Engine
from cachefleet.settings import EngineSettings
from tests.fixtures.service import wait_for

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")

HEADER = b'#define VALKEY_VERSION "%s"\n#define VALKEY_RELEASE_STAGE "%s"\n'
SERVER = """#!/bin/sh
case "$*" in
--version) echo "Valkey server v=%s sha=0:0 malloc=jemalloc-5.3.0 bits=64 build=1" ;;
*--tls-port*) echo "# No tls-cert-file configured!"; exit 1 ;;
esac
"""
GOOD = "valkey-server:\n\tcp server.sh $@\n\tchmod +x $@\nvalkey-cli valkey-benchmark:\n\tcp server.sh $@\n"
BROKEN = "valkey-server valkey-cli valkey-benchmark:\n\t@echo 'server.c:1: error: this is broken' >&2\n\tfalse\n"
ENDLESS = 'valkey-server valkey-cli valkey-benchmark:\n\t@echo $$$$ >"$(MARK)"\n\tsleep 600\n'


def archive(path: Path, makefile: str = GOOD, version: str = "9.1.2", stage: str = "ga", says: str = "", **more: bytes) -> str:
    files = {
        "src/version.h": HEADER % (version.encode(), stage.encode()),
        "src/Makefile": makefile.encode(),
        "src/server.sh": (SERVER % (says or version)).encode(),
        "COPYING": b"free",
        **more,
    }
    with tarfile.open(path, "w:gz") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(f"valkey-{version}/{name}")
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return str(path)


@pytest.fixture(autouse=True)
def _compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A compiler that agrees with everything, so that the tests run where there is none."""
    (tmp_path / "path").mkdir()
    (tmp_path / "path" / "cc").write_text("#!/bin/sh\ncat >/dev/null\n")
    (tmp_path / "path" / "cc").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'path'}:{os.environ['PATH']}")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("CC", raising=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data" / "engines"


def left(folder: Path) -> set[str]:
    """What can be seen of building, but for its lock."""
    return {path.name for path in folder.iterdir()} - {".building.lock"}


def test_what_was_built_is_found_and_says_what_it_was_built_of(folder: Path, tmp_path: Path) -> None:
    source = archive(tmp_path / "source.tar.gz")
    steps: list[tuple[str, float]] = []
    built = build_valkey(
        folder, "9.1", source=source, sha256=sha256_of(Path(source)), progress=lambda *told: steps.append(told)
    )
    assert built.fresh and built.version == "9.1.2" and left(folder) == {"valkey-9.1.2"}
    assert ("compile Valkey 9.1.2", 1.0) in steps
    assert all(0.0 <= done <= 1.0 for _, done in steps)
    record = msgspec.json.decode((folder / "valkey-9.1.2" / "build.json").read_bytes())
    assert record["sha256"] == sha256_of(Path(source)) and "BUILD_TLS=yes" in record["options"]
    found = InstalledEngines(EngineSettings(packages=False), path="", built=folder).resolve(Engine.VALKEY, "9.1.2")
    assert found is not None and found.origin == BUILT and found.binary == str(built.binary) and "tls" in found.capabilities
    assert folder.stat().st_mode & 0o077 == 0


def test_a_second_call_builds_nothing(folder: Path, tmp_path: Path) -> None:
    source = archive(tmp_path / "source.tar.gz")
    first = build_valkey(folder, "9.1", source=source, sha256=sha256_of(Path(source)))
    changed = first.binary.stat().st_mtime_ns
    again = build_valkey(folder, "9.1", source=source, sha256=sha256_of(Path(source)))
    assert not again.fresh and again.binary == first.binary and first.binary.stat().st_mtime_ns == changed
    without_source = build_valkey(folder, "9.1.2")
    assert not without_source.fresh, "the newest known release is there: nothing has to be fetched"


def test_one_that_was_broken_is_built_again(folder: Path, tmp_path: Path) -> None:
    (folder / "valkey-9.1.2" / "bin").mkdir(parents=True)
    (folder / "valkey-9.1.2" / "bin" / "valkey-server").write_text("half a file")
    source = archive(tmp_path / "source.tar.gz")
    built = build_valkey(folder, "9.1", source=source, sha256=sha256_of(Path(source)))
    assert built.fresh and look_at(str(built.binary)).tls


def test_a_source_of_an_unknown_sum_is_refused(folder: Path, tmp_path: Path) -> None:
    source = archive(tmp_path / "source.tar.gz")
    with pytest.raises(NoSource, match=f"give --sha256 {sha256_of(Path(source))}"):
        build_valkey(folder, "9.1", source=source)
    with pytest.raises(NoSource, match="is not what it should be"):
        build_valkey(folder, "9.1", source=source, sha256="0" * 64)
    assert left(folder) == set()


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"version": "8.1.0"}, "is the source of Valkey 8.1.0, not of 9.1"),
        ({"stage": "rc1"}, "9.1.2 rc1, which is not a release"),
        ({"makefile": BROKEN}, "the compiler failed: server.c:1: error: this is broken"),
        ({"says": "9.1.1"}, "what was built is valkey 9.1.1"),
    ],
)
def test_what_is_not_what_was_asked_for_leaves_no_engine(
    folder: Path, tmp_path: Path, given: dict[str, str], says: str
) -> None:
    source = archive(tmp_path / "source.tar.gz", **given)  # type: ignore[arg-type]
    with pytest.raises((NoSource, BuildFailed), match=says):
        build_valkey(folder, "9.1", source=source, sha256=sha256_of(Path(source)))
    assert left(folder) <= {"build-valkey-9.1.2.log"}
    assert InstalledEngines(EngineSettings(packages=False), path="", built=folder).resolve(Engine.VALKEY, "9.1.2") is None


@pytest.mark.parametrize("name", ["../../out", "/tmp/out", "a/../../../out"])
def test_an_archive_that_leads_out_of_its_folder_is_refused(folder: Path, tmp_path: Path, name: str) -> None:
    source = tmp_path / "source.tar"
    with tarfile.open(source, "w") as tar:
        entry = tarfile.TarInfo(name)
        entry.size = 1
        tar.addfile(entry, io.BytesIO(b"x"))
    with pytest.raises(NoSource, match="leads out of it"):
        build_valkey(folder, "9.1", source=str(source), sha256=sha256_of(source))
    assert not (tmp_path / "out").exists()


def test_links_in_an_archive_are_left_out(folder: Path, tmp_path: Path) -> None:
    source = tmp_path / "source.tar"
    with tarfile.open(source, "w") as tar:
        link = tarfile.TarInfo("valkey/src")
        link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path)
        tar.addfile(link)
        entry = tarfile.TarInfo("valkey/src/version.h")
        entry.size = 1
        tar.addfile(entry, io.BytesIO(b"x"))
    with pytest.raises(NoSource):
        build_valkey(folder, "9.1", source=str(source), sha256=sha256_of(source))
    assert not (tmp_path / "version.h").exists()


@pytest.mark.parametrize("content", [b"", b"nothing", b"\x1f\x8b\x08\x00", bytes(1024)])
def test_what_is_no_archive_is_refused(folder: Path, tmp_path: Path, content: bytes) -> None:
    source = tmp_path / "source.tar.gz"
    source.write_bytes(content)
    with pytest.raises(NoSource):
        build_valkey(folder, "9.1", source=str(source), sha256=sha256_of(source))
    assert left(folder) == set()


def test_two_builds_at_once(folder: Path, tmp_path: Path) -> None:
    folder.mkdir(parents=True)
    source = archive(tmp_path / "source.tar.gz")
    with (folder / ".building.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(BuildFailed, match="another engine is being built"):
            build_valkey(folder, "9.1", source=source, sha256=sha256_of(Path(source)))


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_cancelling_ends_the_compiler_and_leaves_nothing(folder: Path, tmp_path: Path, sign: signal.Signals) -> None:
    mark = tmp_path / "compiler.pid"
    source = archive(tmp_path / "source.tar.gz", ENDLESS)
    command = [str(Path(sys.executable).with_name("cachefleet")), "engines", "build", "valkey", "9.1", "--source", source]
    command += ["--sha256", sha256_of(Path(source)), "--data", str(folder.parent)]
    process = subprocess.Popen(
        command,
        env={**os.environ, "MARK": str(mark)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # a shell's background ignores it
    )
    try:
        wait_for("the compiler runs", lambda: mark.exists() and mark.read_text().endswith("\n"))
        pid = int(mark.read_text())
        process.send_signal(sign)
        _, complaint = process.communicate(timeout=20)
    finally:
        process.kill()
    assert process.returncode == 130 and b"Traceback" not in complaint
    wait_for("the compiler is gone", lambda: not Path(f"/proc/{pid}").exists())
    assert left(folder) <= {"build-valkey-9.1.2.log"}


def test_what_is_missing_is_named_with_its_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolsMissing, match=r"make, a C compiler, .* apt-get install make gcc libc6-dev"):
        require_tools()
    for name in ("make", "cc"):
        (tmp_path / name).write_text("#!/bin/sh\nexit 1\n")
        (tmp_path / name).chmod(0o755)
    with pytest.raises(ToolsMissing, match="headers of the C library missing"):
        require_tools()
    (tmp_path / "cc").write_text('#!/bin/sh\ncase "$*" in *-lssl*) exit 1 ;; esac\n')
    with pytest.raises(ToolsMissing, match="apt-get install libssl-dev"):
        require_tools()
    (tmp_path / "cc").write_text("#!/bin/sh\n")
    assert require_tools() == "cc"


@pytest.mark.parametrize(
    ("asked", "version"),
    [("", "9.1.2"), ("9", "9.1.2"), ("9.x", "9.1.2"), ("9.1", "9.1.2"), ("8.1", "8.1.8"), ("9.1.7", "9.1.7")],
)
def test_which_release_is_meant(asked: str, version: str) -> None:
    assert release_of(asked) == version
    assert address_of(version).endswith(f"/{version}.tar.gz")


@pytest.mark.parametrize("asked", ["nine", "9.", "9.1.2.3", "6.2", "7.1", "10", "9.1.x.x", "../9.1", "٩.1"])
def test_what_cannot_be_built_is_refused(asked: str) -> None:
    with pytest.raises(NoSource):
        release_of(asked)


def test_known_sums_need_not_be_given() -> None:
    for known in (*RELEASES.values(), *OTHERS):
        require_sum(known, "", "file")
        require_sum(known, known.upper(), "file")
    with pytest.raises(NoSource, match="64 hexadecimal digits"):
        require_sum("a" * 64, "a" * 63, "file")


def test_a_header_of_something_else_is_refused() -> None:
    with pytest.raises(NoSource, match=r"not the source of Valkey 7\.2 or newer"):
        told_version(b'#define REDIS_VERSION "7.2.4"\n', "")
    assert told_version(HEADER % (b"8.0.1", b"ga"), "8.0") == "8.0.1"
