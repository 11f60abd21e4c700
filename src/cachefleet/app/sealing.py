"""access_interfaces.Sealer: AES-256-GCM under a key derived from the installation's."""

from __future__ import annotations

import base64
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from cachefleet.access_interfaces import Unsealable
from cachefleet.app.engine_passwords import KEY_FILE
from cachefleet.clock import Entropy

_INFO = b"cachefleet sealed secrets 1"
_NONCE_BYTES = 12
_KEY_BYTES = 32


class KeySealer:
    """access_interfaces.Sealer. The sealed form is Base64 of a nonce and the ciphertext with its tag."""

    def __init__(self, key: bytes, entropy: Entropy) -> None:
        self._cipher = AESGCM(HKDF(SHA256(), _KEY_BYTES, salt=None, info=_INFO).derive(key))
        self._entropy = entropy

    @classmethod
    def of(cls, data_dir: Path, entropy: Entropy) -> KeySealer:
        """Raises OSError."""
        return cls((data_dir / KEY_FILE).read_bytes().strip(), entropy)

    def seal(self, text: str, purpose: str) -> str:
        nonce = bytes.fromhex(self._entropy.hex(_NONCE_BYTES))
        return base64.b64encode(nonce + self._cipher.encrypt(nonce, text.encode(), purpose.encode())).decode()

    def open(self, sealed: str, purpose: str) -> str:
        try:
            held = base64.b64decode(sealed, validate=True)
            return self._cipher.decrypt(held[:_NONCE_BYTES], held[_NONCE_BYTES:], purpose.encode()).decode()
        except (InvalidTag, ValueError):
            raise Unsealable(f"{purpose} cannot be opened: {KEY_FILE} is another one, or the store was changed") from None
