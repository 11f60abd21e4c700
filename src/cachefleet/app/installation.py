"""One data folder: who may call, which services run on it, and how to end what they left running.

Used by the service itself and by the command line.
"""

from __future__ import annotations

import fcntl
import os
import select
import signal
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType

import msgspec

from cachefleet.app.engine_passwords import KEY_FILE
from cachefleet.app.key_check import check_key
from cachefleet.app.services import ServiceInfo, leader_of, running_services
from cachefleet.clock import Entropy, SystemClock, SystemEntropy
from cachefleet.hosts import zones_out
from cachefleet.hosts.files import replace_file
from cachefleet.hosts.local import LocalHost
from cachefleet.hosts.residents import kill_all, residents
from cachefleet.settings import HostSettings

_TOLD_BYTES = 2048


class NotInstalled(Exception):
    """Nothing was ever started on this data folder."""


class AlreadyRunning(Exception):
    """Another service holds this data folder."""


class CredentialsDamaged(Exception):
    """The file that holds the access key cannot be understood."""


class FolderLost(Exception):
    """The data folder was deleted or moved under a running service."""


class Credentials(msgspec.Struct, frozen=True):
    access_key_id: str
    secret_access_key: str


class Installation:
    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self._lock_path = data_dir / "service.lock"
        self._identity_path = data_dir / "installation"

    def prepare(self, entropy: Entropy | None = None) -> Credentials:
        """Make the folder (0700), its identity and the first user's access key (0600) unless they are there. Several may do so
        at once. Raises CredentialsDamaged, KeyUnfit."""
        self.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.data_dir.chmod(0o700)
        chance = entropy or SystemEntropy()
        descriptor = os.open(self.data_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if not check_key(self.data_dir):
                replace_file(self.data_dir / KEY_FILE, f"{chance.hex(32)}\n".encode())
            if not self._identity_path.exists():
                replace_file(self._identity_path, f"{chance.hex(16)}\n".encode())
            try:
                return self.credentials()
            except NotInstalled:
                made = Credentials("AKIA" + chance.hex(8).upper(), chance.hex(20))
                replace_file(self.data_dir / "credentials.json", msgspec.json.encode(made))
                return made
        finally:
            os.close(descriptor)

    @property
    def identity(self) -> str:
        """What names this installation to a database; moves along with the folder."""
        return self._identity_path.read_text().strip()

    def credentials(self) -> Credentials:
        """Raises NotInstalled, CredentialsDamaged."""
        path = self.data_dir / "credentials.json"
        try:
            return msgspec.json.decode(path.read_bytes(), type=Credentials)
        except FileNotFoundError:
            raise NotInstalled(f"no Cachefleet has been started with the data folder {self.data_dir}") from None
        except msgspec.DecodeError as error:
            raise CredentialsDamaged(
                f"{path} is damaged ({error}); put it back from a backup, or delete it: the next start makes a new key, "
                "which clients must then be given"
            ) from None

    def last_service(self) -> ServiceInfo | None:
        """What the last service said of itself, running or not."""
        try:
            return msgspec.json.decode(self._lock_path.read_bytes(), type=ServiceInfo)
        except (FileNotFoundError, msgspec.DecodeError):
            return None

    def services(self) -> list[ServiceInfo]:
        """All that run."""
        return running_services(self.data_dir)

    def service(self) -> ServiceInfo | None:
        """One that runs and answers, the leader if possible; None when there is none."""
        answering = [service for service in self.services() if service.url]
        return leader_of(answering) or (answering[0] if answering else None)

    def stop_services(self, timeout_s: float = 10.0) -> int:
        """Ask the running services to end and wait until they have; caches go on. Returns how many ran. Raises TimeoutError."""
        with ExitStack() as stack:
            opened: dict[int, ServiceInfo] = {}
            for service in self.services():
                with suppress(OSError):  # it ended just now, or has not told of itself yet
                    descriptor = os.pidfd_open(service.pid)
                    stack.callback(os.close, descriptor)
                    opened[descriptor] = service
            present = {service.holder for service in self.services()}  # else the number may be another process's by now
            doomed = {descriptor: service.pid for descriptor, service in opened.items() if service.holder in present}
            for descriptor in doomed:
                with suppress(ProcessLookupError):
                    signal.pidfd_send_signal(descriptor, signal.SIGTERM)
            left = _await_ends(doomed, timeout_s)
        if left:
            pids = ", ".join(map(str, left))
            raise TimeoutError(
                f"{'the service' if len(left) == 1 else 'services'} (process {pids}) did not end within {timeout_s:g} s"
            )
        return len(doomed)

    def zones_out(self) -> frozenset[str]:
        """Letters of the zones that were declared lost. Raises NotInstalled."""
        self.credentials()
        return zones_out.read(self.data_dir / zones_out.FILE_NAME)

    def declare_zone(self, letter: str, *, out: bool) -> bool:
        """Lost, or back; False when it was so before. Raises NotInstalled."""
        self.credentials()
        return zones_out.declare(self.data_dir / zones_out.FILE_NAME, letter, out=out)

    def has_caches(self) -> bool:
        """Whether an engine process of this installation runs."""
        left = residents(self.data_dir / "nodes")
        for resident in left:
            os.close(resident.pidfd)
        return bool(left)

    async def stop_caches(self) -> int:
        """End every engine process of this installation and take its rules out of the kernel; returns how many processes ran.
        Raises AlreadyRunning when a service has begun meanwhile."""
        if not self.data_dir.is_dir():
            left = residents(self.data_dir / "nodes")  # of a folder that was deleted
            kill_all(left)
            return len(left)
        with ServiceLock(self):
            host = LocalHost(self.data_dir, HostSettings(), SystemClock())
            try:
                await host.adopt()
                stopped = await host.stop_everything()
                await host.remove_rules()
                return stopped
            finally:
                await host.close()


class ServiceLock:
    """Held while a service runs on the data folder; the kernel lets go of it when the process ends, however it ends. shared:
    with others that hold it so; a database that several may use sees to it that one of them leads."""

    def __init__(self, installation: Installation, *, shared: bool = False) -> None:
        self._path = installation.data_dir / "service.lock"
        self._shared = shared
        self._descriptor = -1

    def __enter__(self) -> ServiceLock:
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._descriptor, (fcntl.LOCK_SH if self._shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._descriptor)
            raise AlreadyRunning(
                f"a Cachefleet already runs on the data folder {self._path.parent}; "
                "stop it with `cachefleet down --keep-caches`, or choose another folder with --data"
            ) from None
        return self

    def tell(self, info: ServiceInfo) -> None:
        """What is said of the last service when none runs any more."""
        os.pwrite(self._descriptor, msgspec.json.encode(info).ljust(_TOLD_BYTES), 0)
        os.ftruncate(self._descriptor, _TOLD_BYTES)

    def lost(self) -> bool:
        """Whether what is locked is no longer this data folder: others could start a service there."""
        try:
            found = self._path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return True
        except OSError:
            return False  # not known
        mine = os.fstat(self._descriptor)
        return (found.st_dev, found.st_ino) != (mine.st_dev, mine.st_ino)

    def erased(self) -> bool:
        """Whether the folder that was locked is no more, under no name: its caches could never be managed again."""
        return os.fstat(self._descriptor).st_nlink == 0 and not self._path.parent.exists()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        os.close(self._descriptor)


def _await_ends(pids: Mapping[int, int], timeout_s: float) -> list[int]:
    """pidfd -> pid. The pids of those that are still there then."""
    poll = select.poll()
    for descriptor in pids:
        poll.register(descriptor, select.POLLIN)
    left, give_up_at = dict(pids), SystemClock().monotonic() + timeout_s
    while left:
        ended = poll.poll(max(0.0, give_up_at - SystemClock().monotonic()) * 1000)
        if not ended:
            break
        for descriptor, _ in ended:
            poll.unregister(descriptor)
            del left[descriptor]
    return list(left.values())
