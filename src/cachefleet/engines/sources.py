"""Which source archives of Valkey are known, and what a request to build one means. Pure.

Called by building.py. The sums are those of the project's release archives (valkey-hashes, and the files of its container
images), and of the archive in Debian's source package, which has the same files below another folder.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from cachefleet.engines.capabilities import version_numbers

_ASKED = re.compile(r"\d+(\.\d+){0,2}(\.x)?", re.ASCII)
_TOLD = re.compile(rb'^#define\s+VALKEY_VERSION\s+"(\d+\.\d+\.\d+)"', re.MULTILINE)
_STAGE = re.compile(rb'^#define\s+VALKEY_RELEASE_STAGE\s+"([a-z0-9]+)"', re.MULTILINE)
OLDEST = (7, 2)

# version -> SHA-256 of <tag>.tar.gz as the project publishes it
RELEASES: Mapping[str, str] = {
    "9.1.2": "19c23908e7d57e8d91ef85b41f5646307582f10f4f0fb999bbf89ed24ec9c983",
    "9.1.1": "7d7232acd1b8a49b4e05d07a00b3ca8c801ae06ab633ca6a3423bc5f385ab7ee",
    "9.1.0": "7789fe1df257774457bafb4c1d56c9f7020c3879a7f5b4234af9030b2bd82dfd",
    "9.0.4": "8d65e12cc9edb14d117b56fd33300e7b8cde2c087356de3f055d44689667670b",
    "8.1.8": "0edc455ba7524f0cfa4f73fdc70b91dec6941e893a09bcbdd012470d08043cec",
    "8.0.9": "621427980c58c7605384365e82bc83f2b0618bf38d924a0c75606e393643aeb0",
    "7.2.13": "31f19d42c983749e81e69654a8c45dcdc9dc212c23cf11b7bdc4928b328d50a9",
}
# SHA-256 -> version, of other archives with the same files
OTHERS: Mapping[str, str] = {
    "8e8557da7426a51b4e0fb514a65ef6241dc7c85cb408243af389070abf379cec": "9.1.2",  # valkey_9.1.2.orig.tar.gz of Debian
}


class NoSource(Exception):
    """What was asked for cannot be built; the message says what can."""


def release_of(asked: str) -> str:
    """ "9.1", "9", "9.1.x", "" -> the newest known release whose version begins so; "9.1.7" -> that one, known or not.

    Raises NoSource.
    """
    prefix = _numbers(asked)
    known = sorted(RELEASES, key=version_numbers, reverse=True)
    for version in known:
        if version_numbers(version)[: len(prefix)] == prefix:
            return version
    if len(prefix) == 3 and not asked.endswith(".x"):
        return asked
    raise NoSource(f"no source of Valkey {asked} is known here; known are {', '.join(known)}. Give any other with --source")


def address_of(version: str) -> str:
    """Where the project publishes a release."""
    return f"https://github.com/valkey-io/valkey/archive/refs/tags/{version}.tar.gz"


def require_sum(found: str, given: str, archive: str) -> None:
    """found: the archive's SHA-256; given: what the user says it is, "" for nothing. Raises NoSource unless it is the one
    given, or one that is known."""
    given = given.strip().lower()
    if given and not re.fullmatch(r"[0-9a-f]{64}", given, re.ASCII):
        raise NoSource("--sha256 takes 64 hexadecimal digits")
    if given and given != found:
        raise NoSource(f"{archive} is not what it should be: its SHA-256 is {found}, not {given}")
    if not given and found not in {*RELEASES.values(), *OTHERS}:
        raise NoSource(
            f"the SHA-256 of {archive} is {found}, which is not one that is known here. Compare it with what the publisher "
            f"says, and give --sha256 {found} if it is the same"
        )


def told_version(header: bytes, asked: str) -> str:
    """header: the content of src/version.h. Raises NoSource when it is not of a Valkey release, or not of the version that was
    asked for ("" for any)."""
    told = _TOLD.search(header)
    if not told:
        raise NoSource("this is not the source of Valkey 7.2 or newer: its src/version.h tells no VALKEY_VERSION")
    version = told.group(1).decode()
    stage = _STAGE.search(header)
    if stage and stage.group(1) != b"ga":
        raise NoSource(f"this is the source of Valkey {version} {stage.group(1).decode()}, which is not a release")
    prefix = _numbers(asked)
    if version_numbers(version)[: len(prefix)] != prefix:
        raise NoSource(f"this is the source of Valkey {version}, not of {asked}")
    return version


def _numbers(asked: str) -> tuple[int, ...]:
    """Raises NoSource for what cannot be a version of Valkey."""
    if asked and not _ASKED.fullmatch(asked):
        raise NoSource(f"{asked!r} is not a version; give one as 9.1 or 9.1.2")
    numbers = version_numbers(asked.removesuffix(".x"))
    if numbers and numbers < OLDEST[: len(numbers)]:
        raise NoSource(f"Valkey {asked} does not exist: it began with 7.2")
    return numbers
