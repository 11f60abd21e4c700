"""The services of one data folder: each has a numbered file below services/, locked for as long as it runs, that tells of it.

The kernel lets go of a lock when the process ends, however it ends: that is the proof of death by which another service takes
over at once. The files stay and are used again, so that there are never more than services at one time. Used by the service
itself, and through Installation by the command line.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import msgspec

from cachefleet.clock import Entropy

MOST = 64  # services of one folder
_SIZE = 2048  # of what a file tells, padded: it is replaced in one write, and never longer
_FOLDER = "services"


class ServiceInfo(msgspec.Struct, frozen=True):
    """What a service tells of itself. url: "" while it starts. token: of the controller's lease that it holds, 0 none."""

    pid: int
    url: str
    region: str
    holder: str = ""
    token: int = 0


class TooManyServices(Exception):
    """All numbers are taken."""


class Membership:
    """This process among the services of the folder, while the context lasts. number: from 1, the lowest that was free."""

    def __init__(self, data_dir: Path, entropy: Entropy) -> None:
        self._folder = data_dir / _FOLDER
        self._entropy = entropy
        self._descriptor = -1
        self._info = ServiceInfo(os.getpid(), "", "")
        self.number = 0

    @property
    def holder(self) -> str:
        """What it is called as the holder of a lease; no other process ever is."""
        return self._info.holder

    def __enter__(self) -> Membership:
        self._folder.mkdir(mode=0o700, exist_ok=True)
        for number in range(1, MOST + 1):
            descriptor = os.open(self._folder / f"{number}.json", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            if _locked(descriptor, fcntl.LOCK_EX):
                self._descriptor, self.number = descriptor, number
                self._tell(holder=f"{number}-{self._entropy.hex(8)}")
                return self
            os.close(descriptor)
        raise TooManyServices(f"{MOST} services run on the data folder {self._folder.parent} already")

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        os.close(self._descriptor)

    def answers(self, url: str, region: str) -> None:
        """The API can be reached there from now on."""
        self._tell(url=url, region=region)

    def leads(self, token: int) -> None:
        """It runs the control loop under this token, or (0) does not."""
        self._tell(token=token)

    def lost(self) -> bool:
        """Whether its file is no longer what others look at: they could take it for dead."""
        try:
            found = (self._folder / f"{self.number}.json").stat()
        except FileNotFoundError:
            return True
        except OSError:
            return False  # not known
        mine = os.fstat(self._descriptor)
        return (found.st_dev, found.st_ino) != (mine.st_dev, mine.st_ino)

    def _tell(self, **changes: str | int) -> None:
        self._info = msgspec.structs.replace(self._info, **changes)
        with suppress(OSError):  # it is for people to read; what proves that we live is the lock
            os.pwrite(self._descriptor, msgspec.json.encode(self._info).ljust(_SIZE), 0)


def running_services(data_dir: Path) -> list[ServiceInfo]:
    """By their numbers."""
    found = []
    for number in range(1, MOST + 1):
        try:
            info = _running(data_dir, number)
        except FileNotFoundError:
            break  # numbers are given from the lowest on, and files stay
        if info is not None:
            found.append(info)
    return found


def leader_of(services: list[ServiceInfo]) -> ServiceInfo | None:
    """One that was deposed while it was frozen has not said so yet; its token is older."""
    leaders = [service for service in services if service.token]
    return max(leaders, key=lambda service: service.token, default=None)


def is_dead(data_dir: Path, holder: str) -> bool:
    """Whether the process of that name has certainly ended. False when that is not known."""
    number = holder.partition("-")[0]
    if not number.isdecimal():
        return False
    try:
        info = _running(data_dir, int(number))
    except OSError:
        return False
    return info is None or info.holder not in ("", holder)


def _running(data_dir: Path, number: int) -> ServiceInfo | None:
    """None when nobody has the number. Raises FileNotFoundError when nobody ever had."""
    descriptor = os.open(data_dir / _FOLDER / f"{number}.json", os.O_RDONLY | os.O_CLOEXEC)
    try:
        if _locked(descriptor, fcntl.LOCK_SH):
            return None
        return msgspec.json.decode(os.pread(descriptor, _SIZE, 0), type=ServiceInfo)
    except msgspec.DecodeError:
        return ServiceInfo(0, "", "")  # it has the lock, and not told of itself yet
    finally:
        os.close(descriptor)


def _locked(descriptor: int, how: int) -> bool:
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
