"""Decides which 127.N.0.0/16 this installation has, among all installations of this machine, and remembers it for ever.

A claim is a file N in a machine-wide folder that holds the data folder's path; the data folder holds N. A claim whose data
folder is gone, or says another N, is stale and may be taken over. Who works with a network has a shared lock on its claim,
which the kernel lets go of when the process ends. Blocking: LocalHost calls it in a thread.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from cachefleet.hosts.files import replace_file
from cachefleet.interfaces import HostRefused

# The first one that can be written holds our claims; claims in all of them count (root writes the first, others the second).
PLACES = (Path("/run/cachefleet"), Path("/tmp/cachefleet-networks"))  # noqa: S108 - made with a sticky bit, never a link
_FIRST, _LAST = 41, 250  # of the numbers that are chosen by themselves
_LOCK = ".lock"
_READ = (
    os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
)  # the second place is everyone's: follow and wait for nothing


class Registry:
    """The claims of this machine, as one installation uses them."""

    def __init__(self, data_dir: Path, places: Sequence[Path] = PLACES) -> None:
        self._data_dir = data_dir
        self._record = data_dir / "network"
        self._places = places
        self._held = -1  # descriptor of the claim that is ours

    def claim(self, wanted: int) -> int:
        """N of 127.N.0.0/16. wanted: 0 for any free one. The one that this data folder has is kept. Raises HostRefused."""
        with self._locked() as mine:
            had = _number(self._record)
            if had and wanted and had != wanted:
                raise HostRefused(
                    f"host.network is set to {wanted}, but the caches in {self._data_dir} have addresses in 127.{had}.0.0/16. "
                    f"Set it to {had} (or to 0), or use a new data folder."
                )
            number = had or wanted or self._free(mine)
            holder = self._holder(number)
            if holder:
                raise HostRefused(
                    f"127.{number}.0.0/16 belongs to the installation in {holder}. "
                    + (
                        f"Delete its data folder or {self._data_dir}."
                        if had
                        else "Set host.network to another number, or to 0."
                    )
                )
            if had and _claimant(mine / str(number)) == str(self._data_dir):
                self._hold(mine / str(number))
                return number  # nothing to write: caches can be stopped on a full disk, too
            try:
                replace_file(mine / str(number), f"{self._data_dir}\n".encode(), 0o644)
                replace_file(self._record, f"{number}\n".encode())
            except OSError as error:
                raise HostRefused(f"127.{number}.0.0/16 cannot be claimed: {error}") from error
            self._hold(mine / str(number))
            return number

    def leave(self) -> None:
        """The claim stays, though nobody works with it now."""
        if self._held != -1:
            os.close(self._held)
            self._held = -1

    def sweep(
        self,
        is_inhabited: Callable[[int, Collection[str]], bool],
        clear: Callable[[int], bool],
        littered: Collection[int] = (),
    ) -> list[int]:
        """Clear networks of other installations that nobody works with, and take stale claims away; those networks. Nobody
        claims or comes back meanwhile. is_inhabited: whether anything is alive of who has this network and one of these data
        folders; clear: takes away what else is left of it, and says whether there was something; littered: networks in which
        something may be left, claimed or not. Raises HostRefused."""
        with self._locked():
            ours = _number(self._record)
            swept = []
            found = self._claims()
            for number in sorted({*found, *littered}):
                claims = found.get(number, {})
                if number == ours or any(map(_is_held, claims)) or is_inhabited(number, list(claims.values())):
                    continue
                stale = [claim for claim, folder in claims.items() if not _stands(Path(folder), number)]
                removed = [claim for claim in stale if _remove(claim)]
                if clear(number) or removed:
                    swept.append(number)
            return swept

    def _claims(self) -> dict[int, dict[Path, str]]:
        """Every claim that can be read, and the data folder that it names, by number."""
        found: dict[int, dict[Path, str]] = {}
        for place in self._places:
            with suppress(OSError):
                for claim in sorted(place.iterdir()):
                    folder = _claimant(claim) if claim.name.isdecimal() and claim.name.isascii() else ""
                    if folder.startswith("/"):
                        found.setdefault(int(claim.name), {})[claim] = folder
        return found

    def _hold(self, claim: Path) -> None:
        """Where that cannot be done, processes and sockets alone tell that we are alive."""
        self.leave()
        with suppress(OSError):
            self._held = os.open(claim, _READ)
            fcntl.flock(self._held, fcntl.LOCK_SH | fcntl.LOCK_NB)

    def release(self) -> None:
        """Give the claim up: the data folder is to be deleted."""
        self.leave()
        with self._locked():
            number = _number(self._record)
            for place in self._places:
                if number and _claimant(place / str(number)) == str(self._data_dir):
                    with suppress(OSError):
                        (place / str(number)).unlink()
            self._record.unlink(missing_ok=True)

    def _free(self, mine: Path) -> int:
        count = _LAST - _FIRST + 1
        start = int.from_bytes(hashlib.sha256(str(self._data_dir).encode()).digest()[:4], "big")
        for step in range(count):
            number = _FIRST + (start + step) % count
            if not self._holder(number) and _may_write(mine / str(number)):
                return number
        raise HostRefused(
            f"all of 127.{_FIRST}.0.0/16 to 127.{_LAST}.0.0/16 belong to installations on this machine. Delete data folders "
            "that are not needed, or set host.network."
        )

    def _holder(self, number: int) -> str:
        """The data folder of another living installation that has it, "" when it is free."""
        for place in self._places:
            claimant = _claimant(place / str(number))
            if claimant and claimant != str(self._data_dir) and _stands(Path(claimant), number):
                return claimant
        return ""

    @contextmanager
    def _locked(self) -> Iterator[Path]:
        """No other installation claims meanwhile. The folder for our claims.

        Our own place is made first, then all that exist are locked, in one order: of two that start on a bare machine at
        least one sees the other's place, and both lock that one."""
        mine = self._writable()
        with ExitStack() as stack:
            for place in self._places:
                with suppress(OSError):  # not there, or not for us
                    descriptor = os.open(place / _LOCK, _READ)
                    stack.callback(os.close, descriptor)
                    fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield mine

    def _writable(self) -> Path:
        for place in self._places:
            try:
                _make(place, shared=place != self._places[0])
            except OSError:
                continue
            if os.access(place, os.W_OK | os.X_OK):
                return place
        raise HostRefused(f"none of {', '.join(map(str, self._places))} can be written: networks cannot be told apart")


def _make(place: Path, *, shared: bool) -> None:
    """With a lock that everyone can take. Raises OSError."""
    with suppress(FileExistsError):
        place.mkdir()
        place.chmod(0o1777 if shared else 0o755)  # whatever the umask says
    if place.is_symlink():
        raise NotADirectoryError(place)
    with suppress(FileExistsError):
        descriptor = os.open(place / _LOCK, os.O_RDONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        os.fchmod(descriptor, 0o644)
        os.close(descriptor)


def _may_write(claim: Path) -> bool:
    """A stale claim of another user cannot be replaced where the sticky bit protects it."""
    try:
        return os.geteuid() in (0, claim.lstat().st_uid)
    except FileNotFoundError:
        return True


def _stands(data_dir: Path, number: int) -> bool:
    """Whether that data folder still says that it has this network. One that we may not read: believe it."""
    try:
        return (data_dir / "network").read_text().strip() == str(number)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True


def _claimant(claim: Path) -> str:
    try:
        descriptor = os.open(claim, _READ)
    except OSError:
        return ""
    with os.fdopen(descriptor, errors="replace") as file:
        return file.read(4096).strip()


def _is_held(claim: Path) -> bool:
    """Whether somebody works with it. One that cannot be asked: believe it."""
    try:
        descriptor = os.open(claim, _READ)
    except OSError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def _remove(claim: Path) -> bool:
    with suppress(OSError):
        claim.unlink()
        return True
    return False


def _number(record: Path) -> int:
    try:
        text = record.read_text().strip()
    except FileNotFoundError:
        return 0
    if not text.isdecimal():
        raise HostRefused(f"{record} should hold a number, not {text[:40]!r}")
    return int(text)
