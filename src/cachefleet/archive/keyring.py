"""The keys that seal snapshots: files of this machine, or commands that ask a key management service. Each has versions.

A key is a folder of its name; a version is an age identity file in it (1.key, 2.key, ...), so that `age -d -i` takes it as it
is. Blocking. Secrets leave by identity() only: never by a repr, an error or a log. Called by the keeper of snapshots.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from cachefleet.archive.age_pipe import new_identity, recipient_of
from cachefleet.archive.folder import make_folder, sync_folder
from cachefleet.archive.key_command import ask
from cachefleet.archive.key_errors import KeyDamaged, KeyDisabled, KeyMissing, KeyringError, KeyUnavailable
from cachefleet.archive.key_names import DEFAULT, key_name
from cachefleet.model.snapshot_file import KeyVersion

_DISABLED = "disabled.mark"
_VERSION = re.compile(r"([1-9]\d*)\.key")
_COMMAND_S = 30.0
_MAX_FILE_BYTES = 64 << 10


class KeyState(msgspec.Struct, frozen=True):
    """One key of the list."""

    name: str
    enabled: bool
    versions: tuple[int, ...]  # of files; a command is not asked for a list
    source: str  # file or command


class Keyring:
    """Keys by name; every name may be an alias or an ARN, see key_name."""

    def __init__(
        self, folder: Path, commands: Mapping[str, Sequence[str]] | None = None, command_timeout_s: float = _COMMAND_S
    ) -> None:
        """commands: by key name, the command and its arguments. Raises KeyMissing for a name that can be none."""
        self._folder = folder
        self._commands = {key_name(name): tuple(argv) for name, argv in (commands or {}).items()}
        self._command_timeout_s = command_timeout_s

    def create(self, name: str) -> KeyVersion:
        """Raises KeyringError when it is there already."""
        name = self._of_files(name)
        made = self._add(name, 1)
        if made is None:
            raise KeyringError(f"key {name} is there already; rotate it for a new version")
        return made

    def rotate(self, name: str) -> KeyVersion:
        """A new version; the old ones stay, for what was sealed with them. Raises KeyMissing."""
        name = self._of_files(name)
        while True:
            versions = self._versions(name)
            if not versions:
                raise self._unknown(name)
            if made := self._add(name, versions[-1] + 1):
                return made

    def disable(self, name: str) -> None:
        """Nothing is sealed or opened with it until it is enabled again. Raises KeyMissing, KeyUnavailable."""
        mark = self._known(name) / _DISABLED
        with _unavailable("written", mark):
            make_folder(mark.parent)
            os.close(os.open(mark, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
            sync_folder(mark.parent)

    def enable(self, name: str) -> None:
        """Raises KeyMissing, KeyUnavailable."""
        mark = self._known(name) / _DISABLED
        with _unavailable("removed", mark):
            mark.unlink(missing_ok=True)
            if mark.parent.is_dir():
                sync_folder(mark.parent)

    def names(self) -> list[KeyState]:
        """All keys, by name; commands are not run. Raises KeyUnavailable."""
        with _unavailable("listed", self._folder):
            held = {file.parent.relative_to(self._folder).as_posix() for file in self._folder.rglob("*.key")}
        return [
            KeyState(
                name=name,
                enabled=not self._is_disabled(name),
                versions=() if name in self._commands else tuple(self._versions(name)),
                source="command" if name in self._commands else "file",
            )
            for name in sorted(held | set(self._commands))
        ]

    def recipient(self, name: str = DEFAULT) -> KeyVersion:
        """Whom to seal for: the key's newest version. The key `default` is made when it is first asked for; of any other,
        only what is there counts. Raises KeyMissing, KeyDisabled, KeyDamaged, KeyUnavailable."""
        name = key_name(name)
        self._require_enabled(name)
        if name in self._commands:
            identities = self._ask(name)
            return KeyVersion(name, len(identities), recipient_of(identities[-1]))
        versions = self._versions(name)
        if not versions and name == DEFAULT:
            self._add(name, 1)  # or another process just has
            versions = self._versions(name)
        if not versions:
            raise self._unknown(name)
        return KeyVersion(name, versions[-1], recipient_of(self._read(name, versions[-1])))

    def identity(self, name: str, version: int) -> str:
        """The secret that opens what was sealed for that version: AGE-SECRET-KEY-1...

        Raises KeyMissing, KeyDisabled, KeyDamaged, KeyUnavailable.
        """
        name = key_name(name)
        self._require_enabled(name)
        if name not in self._commands:
            return self._read(name, version)
        identities = self._ask(name)
        if not 1 <= version <= len(identities):
            raise KeyMissing(
                f"the command for key {name} gave {len(identities)} versions, not version {version}; it must print them all"
            )
        return identities[version - 1]

    def __repr__(self) -> str:
        return f"Keyring({str(self._folder)!r})"

    def _of_files(self, name: str) -> str:
        name = key_name(name)
        if name in self._commands:
            raise KeyringError(f"key {name} comes from a command ({self._commands[name][0]}); make its versions there")
        return name

    def _known(self, name: str) -> Path:
        name = key_name(name)
        if name not in self._commands and not self._versions(name):
            raise self._unknown(name)
        return self._folder / name

    def _unknown(self, name: str) -> KeyMissing:
        return KeyMissing(f"there is no key {name} in {self._folder}; create it, or put its files back from your copy")

    def _is_disabled(self, name: str) -> bool:
        mark = self._folder / name / _DISABLED
        with _unavailable("read", mark):
            return mark.exists()

    def _require_enabled(self, name: str) -> None:
        if self._is_disabled(name):
            raise KeyDisabled(f"key {name} is disabled; enable it to make or open snapshots with it")

    def _versions(self, name: str) -> list[int]:
        folder = self._folder / name
        with _unavailable("listed", folder):
            try:
                files = [file.name for file in folder.iterdir()]
            except (FileNotFoundError, NotADirectoryError):
                return []
        return sorted(int(found[1]) for file in files if (found := _VERSION.fullmatch(file)))

    def _read(self, name: str, version: int) -> str:
        file = self._folder / name / f"{version}.key"
        with _unavailable("read", file):
            try:
                with file.open("rb") as stream:
                    mode = os.fstat(stream.fileno()).st_mode
                    content = stream.read(_MAX_FILE_BYTES + 1)
            except (FileNotFoundError, NotADirectoryError):
                raise KeyMissing(f"version {version} of key {name} is lost: put {file} back from your copy") from None
        if stat.S_IMODE(mode) & 0o077:
            raise KeyDamaged(
                f"{file} can be read by others than its owner: chmod 600 it, and rotate the key if others have read it"
            )
        identities = _identities(content.decode(errors="replace"))
        if identities is None or len(identities) != 1:
            raise KeyDamaged(f"{file} does not hold one age identity: put it back from your copy")
        return identities[0]

    def _ask(self, name: str) -> list[str]:
        argv = self._commands[name]
        identities = _identities(ask(name, argv, self._command_timeout_s))
        if not identities:
            raise KeyDamaged(
                f"the command for key {name} ({argv[0]}) printed something else than age identities (AGE-SECRET-KEY-1...)"
            )
        return identities

    def _add(self, name: str, version: int) -> KeyVersion | None:
        """None when that version is there already: what is there is never written over."""
        file = self._folder / name / f"{version}.key"
        identity = new_identity()
        made = KeyVersion(name, version, recipient_of(identity))
        text = f"# key {name}, version {version}, of Cachefleet snapshots; public key: {made.recipient}\n{identity}\n"
        with _unavailable("written", file):
            make_folder(file.parent)
            descriptor, fresh = tempfile.mkstemp(prefix=".", suffix=".new", dir=file.parent)  # of mode 0600
            try:
                with os.fdopen(descriptor, "wb") as stream:
                    stream.write(text.encode())
                    stream.flush()
                    os.fsync(descriptor)
                try:
                    os.link(fresh, file)
                except FileExistsError:
                    return None
                sync_folder(file.parent)
            finally:
                Path(fresh).unlink()
        return made


def _identities(text: str) -> list[str] | None:
    """None when there is anything else in it."""
    found = [line.strip() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    try:
        for identity in found:
            recipient_of(identity)
    except ValueError:
        return None
    return found


@contextlib.contextmanager
def _unavailable(done: str, file: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise KeyUnavailable(f"{file} cannot be {done}: {error.strerror or type(error).__name__}") from None
