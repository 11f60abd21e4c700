"""Whether the installation's key is the one that running engines were started with: with another one nobody gets into them.

Asks no engine: what an engine was started with is in its folder. Called by Installation, before a service begins.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path

from cachefleet.app.engine_passwords import KEY_FILE, DerivedPasswords
from cachefleet.engines.access import known_controller
from cachefleet.engines.valkey_config import CONFIG_FILE
from cachefleet.hosts.residents import residents
from cachefleet.model import access

_KEY = re.compile(rb"[0-9a-f]{64}")


class KeyUnfit(Exception):
    """The installation's key is gone, damaged or another one, and what depends on it is there."""


def check_key(data_dir: Path) -> bool:
    """Whether there is one. Raises KeyUnfit, OSError."""
    file = data_dir / KEY_FILE
    there = file.exists()
    if there and not _KEY.fullmatch(file.read_bytes().strip()):
        raise KeyUnfit(f"{file} is damaged: put it back from a backup{_instead(data_dir, 'and delete the file')}")
    passwords = DerivedPasswords.of(data_dir) if there else None
    closed = sorted(
        launch
        for launch, digest in _known_to_engines(data_dir).items()
        if passwords is None or access.digest(passwords.controller(launch)) != digest
    )
    if closed:
        engines = "engine that runs was" if len(closed) == 1 else "engines that run were"
        raise KeyUnfit(
            f"{file} {'is another one' if there else 'is gone'}, and {len(closed)} {engines} started with the one before: "
            f"nobody else is let in to manage them ({', '.join(closed[:3])}{', ...' if len(closed) > 3 else ''}). "
            f"Put the file back{_instead(data_dir)}"
        )
    return there


def _instead(data_dir: Path, more: str = "") -> str:
    """What else can be done."""
    return (
        f", or end the engines, with what they hold: cachefleet down --discard --data {data_dir}{f', {more}' if more else ''}. "
        "The next start then makes a new key; what was sealed with the old one (secrets of users) is lost"
    )


def _known_to_engines(data_dir: Path) -> dict[str, str]:
    """Launch of a running engine -> what it knows us by."""
    found = {}
    for resident in residents(data_dir / "nodes"):
        os.close(resident.pidfd)
        with suppress(OSError):
            text = (data_dir / "nodes" / resident.incarnation / CONFIG_FILE).read_text("utf-8", "replace")
            if digest := known_controller(text):
                found[resident.incarnation] = digest
    return found
