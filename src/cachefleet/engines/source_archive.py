"""Gets a source archive, adds up its checksum, and unpacks it. Knows nothing of engines. Called by building.py."""

from __future__ import annotations

import hashlib
import os
import tarfile
import urllib.error
import urllib.request
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path, PurePosixPath

from cachefleet.engines.sources import NoSource

MAX_ARCHIVE_BYTES = 100 * 2**20
MAX_UNPACKED_BYTES = 1000 * 2**20
_SILENCE_S = 30.0
_CHUNK_BYTES = 1 << 16

Advance = Callable[[float], None]  # from 0.0 to 1.0


def fetch(source: str, into: Path, advance: Advance) -> None:
    """source: a path, or an http or https address. Raises NoSource."""
    if "://" not in source:
        try:
            if Path(source).expanduser().stat().st_size > MAX_ARCHIVE_BYTES:
                raise NoSource(f"{source} is larger than {MAX_ARCHIVE_BYTES} bytes, which no source of Valkey is")
            into.write_bytes(Path(source).expanduser().read_bytes())
        except OSError as error:
            raise NoSource(f"{source}: {error.strerror}") from None
        return
    if not source.lower().startswith(("https://", "http://")):
        raise NoSource(f"{source} is not an address that can be fetched from; give an https address or a file")
    try:
        with urllib.request.urlopen(source, timeout=_SILENCE_S) as answer, into.open("wb") as stream:  # noqa: S310
            total, got = int(answer.headers.get("Content-Length") or 0), 0
            while chunk := answer.read(_CHUNK_BYTES):
                got += len(chunk)
                if got > MAX_ARCHIVE_BYTES:
                    raise NoSource(f"{source} is larger than {MAX_ARCHIVE_BYTES} bytes, which no source of Valkey is")
                stream.write(chunk)
                advance(min(1.0, got / total) if total > 0 else 0.0)
    except urllib.error.HTTPError as error:
        raise NoSource(f"{source} cannot be fetched: the server answers {error.code} {error.reason}") from None
    except (urllib.error.URLError, HTTPException, OSError, ValueError) as error:
        why = getattr(error, "reason", None) or error
        raise NoSource(
            f"{source} cannot be fetched ({why}). Fetch it on a machine that can, and give the file with --source FILE"
        ) from None


def sha256_of(file: Path) -> str:
    """In lower-case hexadecimal digits."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def unpack(archive: Path, into: Path) -> Path:
    """Files and folders of a tar archive (compressed or not) that has one folder at its top; returns that folder. Links and
    devices are left out; a name that leads elsewhere is refused. Raises NoSource."""
    tops: set[str] = set()
    size_bytes = 0
    try:
        with tarfile.open(archive) as tar:
            for member in tar:
                parts = PurePosixPath(member.name).parts
                if not parts or ".." in parts or parts[0] == "/":
                    raise NoSource(f"the archive has a file with the name {member.name!r}, which leads out of it")
                size_bytes += member.size
                if size_bytes > MAX_UNPACKED_BYTES:
                    raise NoSource(f"the archive holds more than {MAX_UNPACKED_BYTES} bytes, which no source of Valkey does")
                if member.isdir():
                    into.joinpath(*parts).mkdir(parents=True, exist_ok=True)
                    tops.add(parts[0])
                elif member.isfile():
                    content = tar.extractfile(member)
                    if content is None:
                        continue
                    place = into.joinpath(*parts)
                    place.parent.mkdir(parents=True, exist_ok=True)
                    with content, place.open("wb") as stream:
                        while chunk := content.read(_CHUNK_BYTES):
                            stream.write(chunk)
                    place.chmod(0o700 if member.mode & 0o100 else 0o600)
                    os.utime(place, (member.mtime, member.mtime))  # make goes by it
                    tops.add(parts[0])
    except (tarfile.TarError, EOFError, ValueError) as error:
        raise NoSource(f"this is not a whole tar archive: {error}") from None
    except OSError as error:  # gzip.BadGzipFile is one, too
        raise NoSource(f"the archive cannot be unpacked: {error.strerror or error}") from None
    if len(tops) != 1:
        raise NoSource("this is not a source archive: it does not have one folder at its top")
    return into / tops.pop()
