"""Builds an engine with TLS and jemalloc from its source, into the data folder.

It all happens below a working folder in which the catalogue does not look; what is built is tried, and then moved to its
place in one step. So there is never half an engine, whatever ends the building. One build at a time. Called through `app` by
`cachefleet engines build`; blocks for minutes.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from cachefleet.engines.binary_facts import Facts, NoEngine, look_at
from cachefleet.engines.build_tools import require_tools
from cachefleet.engines.source_archive import fetch, sha256_of, unpack
from cachefleet.engines.sources import NoSource, address_of, release_of, require_sum, told_version
from cachefleet.model.group import Engine

PROGRAMS = ("valkey-server", "valkey-cli", "valkey-benchmark")
NEEDED_BYTES = 700 * 2**20  # source and objects; gone afterwards
_LOOK_EVERY_S = 0.5
_WORK = ".building"
_MAKE_OPTIONS = ("BUILD_TLS=yes", "MALLOC=jemalloc", "USE_SYSTEMD=no", "V=1")
_OUR_OWN = ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "MAKEOVERRIDES", "GNUMAKEFLAGS")
# Where the sources of objects are, below the source's top: to tell how far the compiler is.
_COMPILED = ("src", "src/modules/lua", "deps/jemalloc/src", "deps/lua/src", "deps/libvalkey/src", "deps/linenoise")
_OBJECTS_A_SOURCE = 1.25  # jemalloc compiles some of its sources more than once
_COMPILED_SHARE = 0.75  # of the time; the rest is for linking, which optimises the whole program once more

Progress = Callable[[str, float], None]  # a step, and how much of it is done: 0.0 to 1.0


class BuildFailed(Exception):
    """No engine was built; the message says why and what to do."""


class Built(msgspec.Struct, frozen=True):
    version: str
    binary: Path
    facts: Facts
    fresh: bool  # False: it had been there already


class _Record(msgspec.Struct):
    """What an engine was built of, for people: build.json beside it."""

    version: str
    source: str
    sha256: str
    options: tuple[str, ...]
    compiler: str


def build_valkey(
    folder: Path, asked: str, *, source: str = "", sha256: str = "", jobs: int = 1, progress: Progress = lambda *_: None
) -> Built:
    """folder: of the built engines (DATA/engines). asked: "9.1", "9.1.2", "" for the newest. source: a file or an address; ""
    is where the project publishes it. sha256: of the source, where it is not known here.

    Raises BuildFailed, sources.NoSource, build_tools.ToolsMissing. KeyboardInterrupt ends the compiler, too.
    """
    version = release_of(asked) if not source else ""
    there = _there(folder, version) if version and not sha256 else None
    if there is not None:
        return there
    compiler = require_tools()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if shutil.disk_usage(folder).free < NEEDED_BYTES:
        raise BuildFailed(
            f"{folder}: building an engine takes {NEEDED_BYTES // 2**20} MB of disk for a while, which are not free"
        )
    with _working_folder(folder) as work:
        archive = work / "source.tar"
        wanted = source or address_of(version)
        progress("fetch the source", 0.0)
        fetch(wanted, archive, lambda done: progress("fetch the source", done))
        found = sha256_of(archive)
        require_sum(found, sha256, wanted)
        progress("unpack", 0.0)
        top = unpack(archive, work / "source")
        try:
            version = told_version((top / "src" / "version.h").read_bytes(), asked)
        except OSError:
            raise NoSource(f"{wanted} is not the source of Valkey: it has no src/version.h") from None
        there = _there(folder, version)
        if there is not None:
            return there
        log = folder / f"build-valkey-{version}.log"
        _compile(top, compiler, max(1, jobs), log, lambda done: progress(f"compile Valkey {version}", done))
        ready = work / "ready"
        _gather(top, ready, _Record(version, wanted, found, _MAKE_OPTIONS, compiler))
        progress("try it", 0.0)
        facts = _tried(ready / "bin" / PROGRAMS[0], version, log)
        place = folder / f"valkey-{version}"
        if place.exists():  # a broken one: else it had been there
            shutil.rmtree(place)
        ready.rename(place)
        log.unlink(missing_ok=True)
        return Built(version, place / "bin" / PROGRAMS[0], facts, fresh=True)


def _there(folder: Path, version: str) -> Built | None:
    """One that was built before and works."""
    binary = folder / f"valkey-{version}" / "bin" / PROGRAMS[0]
    try:
        facts = look_at(str(binary))
    except NoEngine:
        return None
    return Built(version, binary, facts, fresh=False) if facts.tls and facts.version == version else None


@contextlib.contextmanager
def _working_folder(folder: Path) -> Iterator[Path]:
    """Empty, for us alone, and gone afterwards; so is what one that was killed has left. Raises BuildFailed."""
    work = folder / _WORK
    work.mkdir(mode=0o700, exist_ok=True)
    with os.fdopen(os.open(folder / f"{_WORK}.lock", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600), "wb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BuildFailed(f"{folder}: another engine is being built; wait until that is done") from None
        try:
            shutil.rmtree(work, ignore_errors=True)
            work.mkdir(mode=0o700)
            yield work
        finally:
            shutil.rmtree(work, ignore_errors=True)


def _compile(top: Path, compiler: str, jobs: int, log: Path, advance: Callable[[float], None]) -> None:
    """Raises BuildFailed. Whatever ends us ends the compiler: it has a process group of its own."""
    nice = ["nice", "-n", "10"] if shutil.which("nice") else []
    command = [*nice, "make", "-C", str(top / "src"), f"-j{jobs}", f"CC={compiler}", *_MAKE_OPTIONS, *PROGRAMS]
    expected = _OBJECTS_A_SOURCE * sum(len(list((top / place).glob("*.c"))) for place in _COMPILED)
    environment = {name: value for name, value in os.environ.items() if name not in _OUR_OWN}
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment, start_new_session=True
        )
        try:
            while True:
                try:
                    process.wait(_LOOK_EVERY_S)
                    break
                except subprocess.TimeoutExpired:
                    made = sum(1 for _ in top.rglob("*.o")) / max(1, expected)
                    advance(_COMPILED_SHARE * min(1.0, made))
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    if process.returncode != 0:
        raise BuildFailed(f"the compiler failed: {_first_error(log)}. All that it said is in {log}")
    advance(1.0)


def _first_error(log: Path) -> str:
    lines = log.read_text("utf-8", "replace").splitlines()
    errors = [line for line in lines if "error:" in line.lower() or "***" in line or "No such file" in line]
    return (errors or lines or ["it said nothing"])[0].strip()[:200]


def _gather(top: Path, ready: Path, record: _Record) -> None:
    (ready / "bin").mkdir(mode=0o700, parents=True)
    for name in PROGRAMS:
        shutil.copy2(top / "src" / name, ready / "bin" / name)
        (ready / "bin" / name).chmod(0o755)
    for name in ("COPYING", "LICENSE.txt"):
        if (top / name).exists():
            shutil.copy2(top / name, ready / name)
    (ready / "build.json").write_bytes(msgspec.json.format(msgspec.json.encode(record)))


def _tried(binary: Path, version: str, log: Path) -> Facts:
    """Raises BuildFailed when it is not what it was built to be."""
    try:
        facts = look_at(str(binary))
    except NoEngine as why:
        raise BuildFailed(f"what was built does not run: {why}. What the compiler said is in {log}") from None
    if (facts.engine, facts.version) != (Engine.VALKEY, version) or not facts.tls or facts.allocator != "jemalloc":
        tls = "with" if facts.tls else "without"
        raise BuildFailed(
            f"what was built is {facts.engine.value} {facts.version} with {facts.allocator}, {tls} TLS; wanted was valkey "
            f"{version} with jemalloc, with TLS. What the compiler said is in {log}"
        )
    return facts
