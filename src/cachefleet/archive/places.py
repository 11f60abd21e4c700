"""Where snapshots are kept: one class over a folder of this machine, S3, Google Cloud Storage, Azure and memory.

Blocking: for a worker process, or a thread. Reads no environment: what a place needs is in its options. Called by the transfer
worker and by the keeper of snapshots.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

from cachefleet.archive.bucket import BucketPlace
from cachefleet.archive.bucket_stores import SCHEMES, open_bucket
from cachefleet.archive.folder import UNFINISHED, FolderPlace
from cachefleet.archive.streams import ArchiveError, ArchiveReader, ArchiveWriter, Place

_READ_BYTES = 1 << 20


class Archive:
    """Objects by path, such as group/snapshot/0001.rdb.zst.age. Paths are relative, with / between their parts."""

    def __init__(self, place: Place, url: str) -> None:
        self._place = place
        self.url = url  # as it was given, for people; holds no secret

    @classmethod
    def open(cls, url: str, options: Mapping[str, str] | None = None) -> Archive:
        """url: a folder (absolute, ~/..., or file://), s3://bucket/prefix, gs://bucket/prefix, az://container/prefix or
        memory:// (this process only, empty at each open). options: see bucket_stores.py. Nothing is asked of the place yet.

        Raises ArchiveError (permanent) for a URL or an option that cannot be meant.
        """
        options = options or {}
        parts = urlsplit(url)
        if parts.scheme in SCHEMES:
            return cls(BucketPlace(open_bucket(url, options), url), url)
        if options:
            raise ArchiveError(f"{url} takes no options, but has {', '.join(sorted(options))}", permanent=True)
        return cls(FolderPlace(_folder(url)), url)

    def writer(self, path: str, size_hint_bytes: int = 0) -> ArchiveWriter:
        """size_hint_bytes: about how much will be written, where known: object stores limit the number of parts."""
        return self._place.writer(_checked(path), size_hint_bytes)

    def reader(self, path: str) -> ArchiveReader:
        """Raises ArchiveError with missing when there is no such object."""
        return self._place.reader(_checked(path))

    def put(self, path: str, content: bytes) -> None:
        """A small object in one step: readers see the old or the new content."""
        self._place.put(_checked(path), content)

    def get(self, path: str, limit_bytes: int) -> bytes:
        """A small object. Raises ArchiveError, also for one of more than limit_bytes."""
        reader = self.reader(path)
        try:
            content = bytearray()
            while piece := reader.read(min(_READ_BYTES, limit_bytes + 1 - len(content))):
                content += piece
                if len(content) > limit_bytes:
                    raise ArchiveError(f"{path} in {self.url} has more than {limit_bytes} bytes", permanent=True)
        finally:
            reader.close()
        return bytes(content)

    def names(self, prefix: str = "") -> Iterator[tuple[str, int]]:
        """(path, bytes) of everything in that folder and below it, in any order; unfinished writes of a crash, too, which
        end in .part (of object stores they cannot be seen: let a lifecycle rule end them)."""
        return self._place.names(_checked(prefix) if prefix else "")

    def remove(self, paths: Iterable[str]) -> None:
        """What is not there is no error; unfinished writes of these paths go, too."""
        checked = [_checked(path, may_be_unfinished=True) for path in paths]
        if checked:
            self._place.remove(checked)

    def remove_below(self, prefix: str) -> None:
        """Everything in that folder."""
        self.remove([path for path, _ in self.names(_checked(prefix))])

    def size(self, path: str) -> int:
        """In bytes. Raises ArchiveError with missing when there is no such object."""
        return self._place.size(_checked(path))

    def __repr__(self) -> str:
        return f"Archive({self.url!r})"


def _checked(path: str, *, may_be_unfinished: bool = False) -> str:
    """Paths are ours, but a name that came from outside must never lead out of the archive."""
    parts = path.split("/")
    if any(part in ("", ".", "..") or not part.isprintable() or "\\" in part for part in parts):
        raise ArchiveError(
            f"{path!r} is no path of an archive: no empty part, no . or .., no control characters", permanent=True
        )
    if path.endswith(UNFINISHED) and not may_be_unfinished:
        raise ArchiveError(f"{path!r}: only unfinished objects may end in {UNFINISHED}", permanent=True)
    return path


def _folder(url: str) -> Path:
    parts = urlsplit(url)
    if parts.scheme == "file" and parts.netloc in ("", "localhost"):
        folder = Path(unquote(parts.path))
    elif "://" in url or not url:
        known: Sequence[str] = ("a folder", "file://", *(f"{scheme}://" for scheme in sorted(SCHEMES)))
        raise ArchiveError(f"{url!r} is no place for snapshots; it is one of: {', '.join(known)}", permanent=True)
    else:
        folder = Path(url).expanduser()
    if not folder.is_absolute():
        raise ArchiveError(f"{url!r} must be an absolute path: where snapshots are must not depend on who asks", permanent=True)
    return folder
