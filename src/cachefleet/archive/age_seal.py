"""Age encryption (age-encryption.org/v1, one X25519 recipient) of a stream that is pushed.

The format is simple, and OpenSSL encrypts four times as fast as the library that opens objects (age_pipe.py), which took a
seventh of all that a backup computes. The primitives are those of the cryptography package. Called by sealing.py.
"""

from __future__ import annotations

import base64
from typing import Protocol

import pyrage
from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

CHUNK_BYTES = 64 << 10
_FILE_KEY_BYTES = 16
_KEY_BYTES = 32
_COUNTER_BYTES = 11  # of the nonce of a chunk; the twelfth byte says whether it is the last one
_X25519 = b"age-encryption.org/v1/X25519"
_BECH32 = {letter: value for value, letter in enumerate("qpzry9x8gf2tvdw0s3jn54khce6mua7l")}
_CHECK_LETTERS = 6


class Sink(Protocol):
    """Where sealed bytes go."""

    def write(self, data: bytes) -> object: ...


class Encryptor:
    """All of it, and write and close, pass on what the sink raises."""

    def __init__(self, sink: Sink, recipient: str) -> None:
        """Raises ValueError for a recipient that is none."""
        chance = ChaCha20Poly1305.generate_key()
        file_key, nonce = chance[:_FILE_KEY_BYTES], chance[_FILE_KEY_BYTES:]
        header = _header(file_key, _public_key(recipient))
        self._sink = sink
        self._cipher = ChaCha20Poly1305(_derived(file_key, nonce, b"payload"))
        self._chunks = 0
        self._held = bytearray()  # up to a whole chunk: the last one is marked, and only that of no data at all is empty
        self._sink.write(header + nonce)

    def write(self, data: bytes) -> None:
        self._held += data
        while len(self._held) > CHUNK_BYTES:
            self._seal(bytes(self._held[:CHUNK_BYTES]), last=False)
            del self._held[:CHUNK_BYTES]

    def close(self) -> None:
        """Everything is in the sink."""
        self._seal(bytes(self._held), last=True)

    def _seal(self, chunk: bytes, *, last: bool) -> None:
        nonce = self._chunks.to_bytes(_COUNTER_BYTES, "big") + bytes([last])
        self._chunks += 1
        self._sink.write(self._cipher.encrypt(nonce, chunk, None))


def _header(file_key: bytes, recipient: bytes) -> bytes:
    """With the file's key, for whoever has the recipient's other half. Raises ValueError."""
    ephemeral = X25519PrivateKey.generate()
    share = ephemeral.public_key().public_bytes_raw()
    shared = ephemeral.exchange(X25519PublicKey.from_public_bytes(recipient))
    wrapped = ChaCha20Poly1305(_derived(shared, share + recipient, _X25519)).encrypt(bytes(12), file_key, None)
    head = b"age-encryption.org/v1\n-> X25519 %s\n%s\n---" % (_base64(share), _base64(wrapped))
    code = hmac.HMAC(_derived(file_key, b"", b"header"), hashes.SHA256())
    code.update(head)
    return b"%s %s\n" % (head, _base64(code.finalize()))


def _derived(key: bytes, salt: bytes, info: bytes) -> bytes:
    return HKDF(algorithm=hashes.SHA256(), length=_KEY_BYTES, salt=salt, info=info).derive(key)


def _base64(data: bytes) -> bytes:
    return base64.b64encode(data).rstrip(b"=")


def _public_key(recipient: str) -> bytes:
    """The 32 bytes that are written in Bech32 (BIP 173), five bits a letter. Raises ValueError."""
    try:
        known = str(pyrage.x25519.Recipient.from_str(recipient))  # checks all of it, and gives the usual form
    except pyrage.RecipientError:
        raise ValueError(f"{recipient!r} is no age recipient (age1...)") from None
    number = 0
    for letter in known.removeprefix("age1")[:-_CHECK_LETTERS]:
        number = number << 5 | _BECH32[letter]
    return (number >> 4).to_bytes(_KEY_BYTES, "big")  # 52 letters are 260 bits
