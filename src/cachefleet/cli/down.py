"""Stop the services of one data folder, then (unless asked not to) the caches it left running, which are saved first where that
is wanted.

Called by `cachefleet down`. Nothing running is no error.
"""

from __future__ import annotations

import asyncio

from cachefleet.app.installation import Installation
from cachefleet.app.logs import warn_on_screen
from cachefleet.cli.failure import Failure
from cachefleet.cli.invocation import command
from cachefleet.clock import Clock, Entropy
from cachefleet.settings import Settings

STOP_TIMEOUT_S = 30.0


def run_down(settings: Settings, clock: Clock, entropy: Entropy, *, keep_caches: bool, discard: bool) -> None:
    """discard: go on when a group that is to be saved cannot be. Raises TimeoutError when a service does not end in time,
    Failure when a group cannot be saved."""
    warn_on_screen()
    installation = Installation(settings.data_dir)
    if not keep_caches:
        _save(installation, settings, clock, entropy, discard=discard)
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


def _save(installation: Installation, settings: Settings, clock: Clock, entropy: Entropy, *, discard: bool) -> None:
    """A service has to run: it has the keys, and knows which node has what."""
    service = installation.service()
    if service is not None:
        from cachefleet.cli.public_api import client_of  # takes a moment
        from cachefleet.cli.saving import save_groups

        client = client_of(service, installation.credentials())
        try:
            asyncio.run(save_groups(client, clock, entropy, setting=settings.archive.save_on_down))
        except Failure as failure:
            if not discard:
                raise Failure(f"{failure}. Nothing was stopped; lose the data with --discard") from None
            print(f"{failure}. The data are given up.", flush=True)
    elif settings.archive.save_on_down and not discard and installation.has_caches():
        raise Failure(
            f"the caches are to be saved, and no service runs that could: start it with {command('up', settings)} and try "
            "again, or lose the data with --discard"
        )
