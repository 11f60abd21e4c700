"""access_interfaces.Certificates: an authority of the installation's own, made at its first start, or the user's.

Its key stays in the data folder (0600) or where the user keeps it. Nodes get a key and a certificate per launch, for their
address, the endpoints that may lead to them and the names of the settings. What is issued belongs to a series; another one
begins when somebody asks for that, or when the authority or the names change. Called by app.service and `cachefleet ca`.
"""

from __future__ import annotations

import fcntl
import hashlib
import ipaddress
import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from cachefleet.clock import Clock
from cachefleet.hosts.files import replace_file
from cachefleet.model.transit import NodeCertificate
from cachefleet.settings import TransitSettings

FOLDER = "ca"
OWN_CERTIFICATE, OWN_KEY, ROTATIONS = "ca.pem", "ca.key", "rotations"
OWN_DAYS = 3650
DAY_S = 86_400.0
_BACKDATED = timedelta(hours=1)  # clocks of clients may be behind
_LONGEST_COMMON_NAME = 64
_PEM = serialization.Encoding.PEM

AuthorityKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey


class AuthorityUnusable(Exception):
    """There is no certificate authority to be used; the message names the file and says what is wrong with it."""


class CertificateAuthority:
    """Made by `of`. chain: the authority itself first, then those above it."""

    def __init__(
        self, folder: Path, settings: TransitSettings, clock: Clock, chain: Sequence[x509.Certificate], key: AuthorityKey
    ) -> None:
        self._folder = folder
        self._settings = settings
        self._clock = clock
        self._chain = chain
        self._key = key
        self._series = ((-1, -1), "")  # of which state of the file, and what follows from it

    @classmethod
    def of(cls, data_dir: Path, settings: TransitSettings, clock: Clock) -> CertificateAuthority:
        """Makes an own one where there is none and settings name none. Raises AuthorityUnusable."""
        folder = data_dir / FOLDER
        certificate, secret = folder / OWN_CERTIFICATE, folder / OWN_KEY
        if settings.ca_certificate:
            certificate, secret = (Path(path).expanduser() for path in (settings.ca_certificate, settings.ca_key))
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
            if not settings.ca_certificate:
                _make(folder, clock)
            chain, key = _chain(certificate), _authority_key(secret)
        except OSError as error:
            raise AuthorityUnusable(f"{error.filename or folder}: {error.strerror}") from None
        _check(chain, key, certificate, secret, clock.now())
        return cls(folder, settings, clock, chain, key)

    @property
    def series(self) -> str:
        file = self._folder / ROTATIONS
        try:
            found = file.stat()
            state = found.st_mtime_ns, found.st_ino
        except OSError:
            state = 0, 0
        if state != self._series[0]:
            fingerprint = self._chain[0].fingerprint(hashes.SHA256()).hex()
            words = (fingerprint, str(_rotations(file)), *self._settings.names)
            self._series = state, hashlib.sha256("\n".join(words).encode()).hexdigest()[:16]
        return self._series[1]

    @property
    def lead_s(self) -> float:
        return self._settings.certificate_days * DAY_S / 3

    @property
    def until(self) -> float:
        """When what is issued now ends; never after the authority itself."""
        return min(self._clock.now() + self._settings.certificate_days * DAY_S, _end_of(self._chain[0]))

    def names(self, group: str, node: str) -> tuple[str, ...]:
        return tuple(name.replace("{group}", group).replace("{node}", node) for name in self._settings.names)

    def issue(self, node: str, names: Sequence[str], addresses: Sequence[str]) -> NodeCertificate:
        key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.fromtimestamp(self._clock.now(), UTC)
        subject = _name(node[:_LONGEST_COMMON_NAME], self.series)
        valid_for: list[x509.GeneralName] = [x509.IPAddress(ipaddress.ip_address(address)) for address in addresses]
        valid_for += [x509.DNSName(name) for name in names]
        uses = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)  # nodes call each other, too
        certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._chain[0].subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _BACKDATED)
            .not_valid_after(datetime.fromtimestamp(self.until, UTC))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(uses), critical=False)
            .add_extension(x509.SubjectAlternativeName(valid_for), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
            .sign(self._key, _digest(self._key))
        )
        between = b"".join(above.public_bytes(_PEM) for above in self._chain if above.subject != above.issuer)
        return NodeCertificate(certificate.public_bytes(_PEM) + between, _key_pem(key), self.authorities().encode())

    def authorities(self) -> str:
        return "".join(certificate.public_bytes(_PEM).decode() for certificate in self._chain)

    def rotate(self) -> None:
        """Begin another series. Raises OSError."""
        descriptor = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            file = self._folder / ROTATIONS
            replace_file(file, f"{_rotations(file) + 1}\n".encode())
        finally:
            os.close(descriptor)


def _rotations(file: Path) -> int:
    try:
        text = file.read_text().strip()
    except OSError:
        return 0
    return int(text) if text.isdecimal() else 0


# --- an authority of our own ---------------------------------------------------------------------------------------


def _make(folder: Path, clock: Clock) -> None:
    """Unless it is there. The key is written last but one thing: a certificate without its key is made anew. Several services
    may do so at once. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if (folder / OWN_CERTIFICATE).exists():
            return
        key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.fromtimestamp(clock.now(), UTC)
        name = _name("Cachefleet certificate authority", "")
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _BACKDATED)
            .not_valid_after(now + timedelta(days=OWN_DAYS))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA256())
        )
        replace_file(folder / OWN_KEY, _key_pem(key))
        replace_file(folder / OWN_CERTIFICATE, certificate.public_bytes(_PEM))
    finally:
        os.close(descriptor)


def _name(common: str, unit: str) -> x509.Name:
    words = [(NameOID.ORGANIZATION_NAME, "Cachefleet"), (NameOID.ORGANIZATIONAL_UNIT_NAME, unit), (NameOID.COMMON_NAME, common)]
    return x509.Name([x509.NameAttribute(kind, word) for kind, word in words if word])


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(_PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def _digest(key: AuthorityKey) -> hashes.SHA256 | None:
    """Some keys bring their own."""
    return None if isinstance(key, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey) else hashes.SHA256()


# --- what was found ------------------------------------------------------------------------------------------------


def _chain(file: Path) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(file.read_bytes())
    except ValueError as error:
        raise AuthorityUnusable(f"{file} holds no certificate in PEM form: {error}") from None


def _authority_key(file: Path) -> AuthorityKey:
    try:
        key = serialization.load_pem_private_key(file.read_bytes(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise AuthorityUnusable(f"{file} holds no private key in PEM form without a password: {error}") from None
    if not isinstance(key, AuthorityKey):
        raise AuthorityUnusable(f"{file} holds a key of a kind that cannot sign certificates; use RSA, EC or Ed25519")
    return key


def _check(chain: Sequence[x509.Certificate], key: AuthorityKey, file: Path, secret: Path, now: float) -> None:
    first = chain[0]
    form = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    if first.public_key().public_bytes(*form) != key.public_key().public_bytes(*form):
        raise AuthorityUnusable(f"{secret} is not the key of the first certificate in {file}")
    try:
        is_authority = first.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        is_authority = False
    if not is_authority:
        raise AuthorityUnusable(f"{file}: its first certificate is none of an authority (CA:TRUE is missing)")
    if _end_of(first) <= now:
        raise AuthorityUnusable(f"{file}: the authority's certificate ended at {first.not_valid_after_utc:%Y-%m-%d %H:%M} UTC")


def _end_of(certificate: x509.Certificate) -> float:
    return certificate.not_valid_after_utc.timestamp()
