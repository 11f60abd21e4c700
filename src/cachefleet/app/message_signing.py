"""courier.Signer: the installation's key for messages of topics, and its certificate, which the gateway shows to anybody.

Made when the first message is signed, by whichever service comes first; the key stays in the data folder (0600).
"""

from __future__ import annotations

import asyncio
import base64
import fcntl
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID

from cachefleet.clock import Clock
from cachefleet.hosts.files import replace_file

FOLDER = "sns"
KEY, CERTIFICATE = "signing.key", "signing.pem"
PATH = "/SimpleNotificationService-"
DAYS = 3650
_BITS = 2048
_FINGERPRINT = 32  # digits of it in the path, as SNS has them
_PEM = serialization.Encoding.PEM
_HASHES: dict[str, hashes.HashAlgorithm] = {
    "1": hashes.SHA1(),  # noqa: S303  (what SNS calls SignatureVersion 1, and its clients expect)
    "2": hashes.SHA256(),
}


class MessageSigner:
    """See courier.senders.Signer."""

    def __init__(self, data_dir: Path, clock: Clock) -> None:
        self._folder = data_dir / FOLDER
        self._clock = clock
        self._key: rsa.RSAPrivateKey | None = None
        self._path = ""
        self._making = asyncio.Lock()

    async def certificate_path(self) -> str:
        """Raises OSError, ValueError for a key that cannot be read."""
        async with self._making:
            if not self._path:
                self._key, pem = await asyncio.to_thread(self._prepared)
                self._path = _path_of(pem)
        return self._path

    def sign(self, text: bytes, version: str) -> str:
        if self._key is None:
            raise RuntimeError("certificate_path comes first")
        return base64.b64encode(self._key.sign(text, padding.PKCS1v15(), _HASHES[version])).decode()

    def page(self, path: str) -> bytes | None:
        """The certificate as PEM, when that is its path."""
        if not path.startswith(PATH):
            return None
        try:
            pem = (self._folder / CERTIFICATE).read_bytes()
        except OSError:
            return None
        return pem if path == _path_of(pem) else None

    def _prepared(self) -> tuple[rsa.RSAPrivateKey, bytes]:
        self._folder.mkdir(mode=0o700, exist_ok=True)
        key_file, certificate_file = self._folder / KEY, self._folder / CERTIFICATE
        descriptor = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if not key_file.exists():
                replace_file(key_file, _key_pem(rsa.generate_private_key(65537, _BITS)))
                certificate_file.unlink(missing_ok=True)
            key = serialization.load_pem_private_key(key_file.read_bytes(), None)
            if not isinstance(key, rsa.RSAPrivateKey):
                raise ValueError(f"{key_file} is no RSA key")
            if not certificate_file.exists():
                replace_file(certificate_file, _certificate(key, datetime.fromtimestamp(self._clock.now(), UTC)))
            return key, certificate_file.read_bytes()
        finally:
            os.close(descriptor)


def _path_of(pem: bytes) -> str:
    fingerprint = x509.load_pem_x509_certificate(pem).fingerprint(hashes.SHA256()).hex()
    return f"{PATH}{fingerprint[:_FINGERPRINT]}.pem"


def _key_pem(key: rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(_PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def _certificate(key: rsa.RSAPrivateKey, now: datetime) -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Cachefleet notifications")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=DAYS))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(_PEM)
