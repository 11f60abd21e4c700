"""Stop the services of one data folder, then (unless asked not to) the caches it left running.

Called by `cachefleet down`. Nothing running is no error.
"""

from __future__ import annotations

import asyncio

from cachefleet.app.installation import Installation
from cachefleet.settings import Settings

STOP_TIMEOUT_S = 30.0


def run_down(settings: Settings, keep_caches: bool) -> None:
    """Raises TimeoutError when a service does not end in time."""
    installation = Installation(settings.data_dir)
    services = installation.stop_services(timeout_s=STOP_TIMEOUT_S)
    if services:
        print("The service has stopped." if services == 1 else f"{services} services have stopped.")
    stopped = 0 if keep_caches else asyncio.run(installation.stop_caches())
    if stopped:
        print(f"{stopped} cache {'process has' if stopped == 1 else 'processes have'} stopped.")
    elif not services:
        print("Nothing was running.")
    elif keep_caches:
        print("The caches go on.")
