"""What brings messages of topics to their subscribers, put together. Called by service."""

from __future__ import annotations

from collections.abc import Callable

from cachefleet.app.message_signing import MessageSigner
from cachefleet.clock import Clock
from cachefleet.courier.courier import Courier
from cachefleet.courier.senders import Senders
from cachefleet.metrics.instruments import Instruments
from cachefleet.settings import Settings
from cachefleet.store import SqlStore


def courier(
    settings: Settings, store: SqlStore, signer: MessageSigner, url: Callable[[], str], clock: Clock, instruments: Instruments
) -> Courier:
    """url: where the API listens."""
    chosen = settings.notifications
    senders = Senders(chosen, settings.data_dir, signer, url)
    return Courier(store, store.outbox, senders, clock, chosen.most_waiting, instruments.notices)
