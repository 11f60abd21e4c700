"""Says why an object store did not do what it was asked for, in words that one can act on.

Pure. The store's own error code is found in its reply, which the library hands on as text only.
"""

from __future__ import annotations

import re

from obstore.exceptions import PermissionDeniedError, UnauthenticatedError

from cachefleet.archive.streams import ArchiveError

_CODE = re.compile(r"<Code>(\w+)</Code>")
_STATUS = re.compile(r"status code: (\d{3})")
_QUERY = re.compile(r"\?\S*")  # may hold a signature
_NO_CONTAINER = frozenset({"NoSuchBucket", "ContainerNotFound", "InvalidBucketName"})
_DENIED = frozenset(
    {"AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "AuthenticationFailed", "AuthorizationFailure"}
)
_DENIED_TYPES = (PermissionDeniedError, UnauthenticatedError)
_DENIED_STATUS = frozenset({"401", "403"})
_STALE = frozenset({"ExpiredToken", "RequestTimeTooSkewed"})
_FULL = frozenset({"QuotaExceeded", "XMinioStorageFull", "InsufficientCapacity"})
_UNREACHABLE = ("kind: Connect", "kind: Timeout", "kind: Request", "kind: Interrupted")


def failure(name: str, done: str, error: Exception) -> ArchiveError:
    """name: URL of the object. done: what should have been done to it, such as "written"."""
    text = str(error)
    found = _CODE.search(text)
    code = found[1] if found else ""
    status = _STATUS.search(text)
    denied = isinstance(error, _DENIED_TYPES) or code in _DENIED or (status is not None and status[1] in _DENIED_STATUS)
    said = f"{name} cannot be {done}"
    if code in _NO_CONTAINER:
        return ArchiveError(
            f"{said}: there is no such bucket ({code}); create it, or correct the archive's URL", permanent=True
        )
    if code in _STALE:
        return ArchiveError(f"{said}: {code}; renew the session token, or set this machine's clock", permanent=True)
    if code in _FULL:
        return ArchiveError(f"{said}: the store is full ({code}); make room", permanent=True)
    if denied:
        hint = "the archive's credentials must allow listing, reading, writing and deleting there"
        return ArchiveError(f"{said}: access denied{f' ({code})' if code else ''}; {hint}", permanent=True)
    if isinstance(error, FileNotFoundError):
        return ArchiveError(f"{name} does not exist", permanent=True, missing=True)
    if any(kind in text for kind in _UNREACHABLE):
        return ArchiveError(f"{said}: the store cannot be reached; is its endpoint right, and is it up?")
    first = _QUERY.sub("", text.split("\n\nDebug source", maxsplit=1)[0].strip().splitlines()[0] if text.strip() else "")
    return ArchiveError(f"{said}: {code or first or type(error).__name__}")
