"""The keys that seal snapshots. Called by `cachefleet keys`.

Works on the data folder, service or not: a running one sees what was done when it needs a key next. Never prints a secret, but
where that alone is asked for.
"""

from __future__ import annotations

from cachefleet.app.installation import Installation
from cachefleet.app.transfers import KEYS_FOLDER
from cachefleet.archive.key_names import key_name
from cachefleet.archive.keyring import Keyring, KeyState
from cachefleet.cli.failure import Failure
from cachefleet.cli.invocation import command
from cachefleet.cli.table import plain_table, screen
from cachefleet.settings import Settings


def list_keys(settings: Settings) -> None:
    """Raises NotInstalled, KeyringError."""
    found = _keyring(settings).names()
    if not found:
        print("No keys yet: the key `default` is made with the first encrypted snapshot.")
        return
    table = plain_table(("NAME", "STATE", "VERSIONS", "FROM"))
    for key in found:
        table.add_row(key.name, "enabled" if key.enabled else "disabled", _versions(key), key.source)
    screen().print(table)


def _versions(key: KeyState) -> str:
    return ", ".join(map(str, key.versions)) or "-"


def create_key(settings: Settings, name: str) -> None:
    """Raises NotInstalled, KeyringError."""
    made = _keyring(settings).create(name)
    print(f"Key {made.name} is made; its public key is {made.recipient}")
    print(f"Keep a copy of {_folder(settings)}: without it nobody can restore what it seals.")


def rotate_key(settings: Settings, name: str) -> None:
    """Raises NotInstalled, KeyringError."""
    made = _keyring(settings).rotate(name)
    print(f"Key {made.name} has version {made.version} now, for new snapshots; its public key is {made.recipient}")
    print(f"Keep a copy of {_folder(settings)}: earlier versions open what they sealed.")


def switch_key(settings: Settings, name: str, *, enable: bool) -> None:
    """Raises NotInstalled, KeyringError."""
    keyring = _keyring(settings)
    (keyring.enable if enable else keyring.disable)(name)
    if enable:
        print(f"Key {key_name(name)} is enabled.")
        return
    print(f"Key {key_name(name)} is disabled: no snapshot is made or restored with it.")
    print(f"Enable it with: {command('keys enable', settings, name)}")


def show_key(settings: Settings, name: str, *, secret: bool) -> None:
    """secret: an age identity file with all versions, as `age -d -i -` reads it. Raises NotInstalled, KeyringError, Failure."""
    keyring, name = _keyring(settings), key_name(name)
    found = {key.name: key for key in keyring.names()}.get(name)
    if found is None:
        raise Failure(f"there is no key {name}; make it with: {command('keys create', settings, name)}")
    if not secret:
        print(f"Key {name}: {'enabled' if found.enabled else 'disabled'}, versions {_versions(found)}, from a {found.source}")
        print("With --secret its secret is printed, which opens every snapshot that it has sealed.")
        return
    for version in found.versions or range(1, keyring.recipient(name).version + 1):
        print(f"# key {name}, version {version}")
        print(keyring.identity(name, version))


def _keyring(settings: Settings) -> Keyring:
    Installation(settings.data_dir).credentials()
    return Keyring(settings.data_dir / KEYS_FOLDER, settings.archive.key_commands)


def _folder(settings: Settings) -> str:
    return str(settings.data_dir / KEYS_FOLDER)
