"""What a transfer worker is asked to do, and what it tells. JSON, a line each, over its standard input and output.

Jobs hold secrets (keys, credentials of stores): they are never written anywhere else.
"""

from __future__ import annotations

import msgspec

from cachefleet.model.observed import Address
from cachefleet.model.snapshot_file import SlotRanges, SnapshotFile
from cachefleet.snapshot_interfaces import Taken


class Place(msgspec.Struct, frozen=True):
    """An object in an archive."""

    archive: str  # URL
    path: str
    options: dict[str, str] = {}


class StoredFile(msgspec.Struct, frozen=True):
    """An object of a snapshot, and what opens it."""

    place: Place
    file: SnapshotFile
    identity: str | None = None  # the secret key, None where it is not encrypted


class StoreJob(msgspec.Struct, frozen=True, tag="store"):
    at: Address
    to: Place
    recipient: str  # "": not encrypted
    timeout_s: float  # the engine may say nothing for so long
    memcached: bool = False  # its items one by one; else an RDB
    login: tuple[str, str] | None = None  # name and password, where the engine asks for them
    authorities: str = ""  # PEM: by whom it is known, where it speaks TLS


class FeedJob(msgspec.Struct, frozen=True, tag="feed"):
    files: tuple[StoredFile, ...]
    slots: SlotRanges | None
    pipe: str
    now_ms: int  # items of Memcached whose time is over by then are not stored
    to: Address | None = None  # of a Memcached node, whose items are stored one by one; None: an RDB, into the pipe
    timeout_s: float = 60.0  # that node may say nothing for so long
    authorities: str = ""  # PEM: by whom it is known, where it speaks TLS


class CopyJob(msgspec.Struct, frozen=True, tag="copy"):
    file: StoredFile
    to: Place
    recipient: str


class ExportJob(msgspec.Struct, frozen=True, tag="export"):
    file: StoredFile
    to: Place


Job = StoreJob | FeedJob | CopyJob | ExportJob


class Progress(msgspec.Struct, frozen=True, tag="progress"):
    bytes_done: int  # of the RDB


class Stored(msgspec.Struct, frozen=True, tag="stored"):
    taken: Taken


class Fed(msgspec.Struct, frozen=True, tag="fed"):
    keys: int  # -1 not counted


class Copied(msgspec.Struct, frozen=True, tag="copied"):
    stored_bytes: int
    stored_sha256: str


class Exported(msgspec.Struct, frozen=True, tag="exported"):
    pass


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    message: str
    lasting: bool


Result = Stored | Fed | Copied | Exported
Report = Progress | Result | Failed
