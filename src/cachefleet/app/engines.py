"""What engines this installation has, for the command line."""

from __future__ import annotations

from collections.abc import Sequence

from cachefleet.engine_interfaces import Build
from cachefleet.engines.catalogue import InstalledEngines
from cachefleet.settings import Settings


def installed(settings: Settings) -> Sequence[Build]:
    return InstalledEngines(settings.engines).builds()
