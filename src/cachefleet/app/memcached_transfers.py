"""What a transfer worker does for Memcached: the items of a node into a sealed object, and those of an object into a new node.

Nothing is held but a batch of items, and compressed keys. Called by app.transfer_worker.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from cachefleet.app.transfer_jobs import StoreJob
from cachefleet.archive.places import Archive
from cachefleet.archive.sealing import SealedWriter
from cachefleet.clock import SystemClock
from cachefleet.engines.memcached_items import Encoder, decoded
from cachefleet.engines.memcached_stream import open_items, write_items
from cachefleet.model.observed import Address
from cachefleet.snapshot_interfaces import Taken


def store_items(job: StoreJob, passed: Callable[[int], None], alive: Callable[[], None]) -> Taken:
    """passed: so many bytes more of the file of items. alive: there is nothing to be told, but it goes on. Raises StreamBroken,
    Refused, ArchiveError."""
    encoder = Encoder()
    with open_items(job.at, timeout_s=job.timeout_s, clock=SystemClock(), alive=alive, authorities=job.authorities) as contents:
        raw = Archive.open(job.to.archive, job.to.options).writer(job.to.path, contents.used_bytes)
        with SealedWriter(raw, job.recipient or None) as sealed:
            for chunk in encoder.chunks(contents.items):
                sealed.write(chunk)
                passed(len(chunk))
            sealed.close()
            figures = sealed.figures()
    return Taken(
        keys=encoder.count,
        databases=(0,) if encoder.count else (),
        used_bytes=contents.used_bytes,
        rdb_bytes=figures.plain_bytes,
        rdb_sha256=figures.plain_sha256,
        stored_bytes=figures.stored_bytes,
        stored_sha256=figures.stored_sha256,
    )


def feed_items(at: Address, chunks: Iterator[bytes], *, timeout_s: float, now: float, authorities: str = "") -> int:
    """How many items there were, those that have expired by `now` (seconds since 1970) included. When it raises, the node has
    something that nobody may see. Raises StreamBroken, Refused, ItemsFault, and what chunks raises."""
    count, _ = write_items(at, decoded(chunks), timeout_s=timeout_s, now=now, authorities=authorities)
    return count
