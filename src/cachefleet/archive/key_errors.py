"""What can be wrong with a key. No message ever holds a secret; each says what to do."""

from __future__ import annotations


class KeyringError(Exception):
    """A key cannot be used."""


class KeyMissing(KeyringError):
    """There is no such key, or no such version of it."""


class KeyDisabled(KeyringError):
    """The key is there, but may not be used at present."""


class KeyDamaged(KeyringError):
    """What is kept as this key is none."""


class KeyUnavailable(KeyringError):
    """The key's file or command did not answer; it may later."""
