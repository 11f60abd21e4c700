"""One data folder: who may call, whether a service runs on it, and how to end what it left running.

Used by the service itself and by the command line.
"""

from __future__ import annotations

import fcntl
import os
import select
import signal
from pathlib import Path
from types import TracebackType

import msgspec

from cachefleet.clock import Entropy, SystemClock, SystemEntropy
from cachefleet.hosts import zones_out
from cachefleet.hosts.files import replace_file
from cachefleet.hosts.local import LocalHost
from cachefleet.hosts.residents import kill_all, residents
from cachefleet.settings import HostSettings


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


class ServiceInfo(msgspec.Struct, frozen=True):
    pid: int
    url: str
    region: str


class Installation:
    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self._lock_path = data_dir / "service.lock"

    def prepare(self, entropy: Entropy | None = None) -> Credentials:
        """Make the folder (0700) and the first user's access key (0600) unless they are there. Raises CredentialsDamaged."""
        self.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.data_dir.chmod(0o700)
        try:
            return self.credentials()
        except NotInstalled:
            chance = entropy or SystemEntropy()
            made = Credentials("AKIA" + chance.hex(8).upper(), chance.hex(20))
            replace_file(self.data_dir / "credentials.json", msgspec.json.encode(made))
            return made

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

    def service(self) -> ServiceInfo | None:
        """The running service, None when there is none."""
        try:
            descriptor = os.open(self._lock_path, os.O_RDONLY)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return self.last_service()
        finally:
            os.close(descriptor)
        return None

    def stop_service(self, timeout_s: float = 10.0) -> bool:
        """Ask the running service to end and wait until it has; caches go on. False when none ran. Raises TimeoutError."""
        running = self.service()
        if running is None:
            return False
        descriptor = os.pidfd_open(running.pid)
        try:
            if self.service() != running:
                return False
            signal.pidfd_send_signal(descriptor, signal.SIGTERM)
            ended = select.poll()
            ended.register(descriptor, select.POLLIN)
            if not ended.poll(timeout_s * 1000):
                raise TimeoutError(f"the service (process {running.pid}) did not end within {timeout_s:g} s")
        finally:
            os.close(descriptor)
        return True

    def zones_out(self) -> frozenset[str]:
        """Letters of the zones that were declared lost. Raises NotInstalled."""
        self.credentials()
        return zones_out.read(self.data_dir / zones_out.FILE_NAME)

    def declare_zone(self, letter: str, *, out: bool) -> bool:
        """Lost, or back; False when it was so before. Raises NotInstalled."""
        self.credentials()
        return zones_out.declare(self.data_dir / zones_out.FILE_NAME, letter, out=out)

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
    """Held while a service runs on the data folder; the kernel lets go of it when the process ends, however it ends."""

    def __init__(self, installation: Installation) -> None:
        self._installation = installation
        self._path = installation.data_dir / "service.lock"
        self._descriptor = -1

    def __enter__(self) -> ServiceLock:
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._descriptor)
            raise AlreadyRunning(
                f"a Cachefleet already runs on the data folder {self._path.parent}; "
                "stop it with `cachefleet down --keep-caches`, or choose another folder with --data"
            ) from None
        before = self._installation.last_service() or ServiceInfo(0, "", "")
        self.tell(msgspec.structs.replace(before, pid=os.getpid()))  # the one before is gone, its number may be another's now
        return self

    def tell(self, info: ServiceInfo) -> None:
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, msgspec.json.encode(info), 0)

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
