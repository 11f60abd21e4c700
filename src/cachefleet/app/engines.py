"""What engines this installation has, for the command line."""

from __future__ import annotations

from cachefleet.engines.catalogue import BUILT_FOLDER, InstalledEngines
from cachefleet.settings import Settings


def installed(settings: Settings) -> InstalledEngines:
    return InstalledEngines(settings.engines, built=settings.data_dir / BUILT_FOLDER)
