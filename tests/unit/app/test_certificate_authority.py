"""The certificate authority of an installation: what it issues, when another series begins, which authorities are refused."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from cachefleet.app.certificate_authority import AuthorityUnusable, CertificateAuthority
from cachefleet.settings import SettingsError, TransitSettings, load
from tests.fakes.clock import ManualClock

DAY_S = 86_400.0
ADDRESSES = ("127.41.0.1", "127.41.64.7")


def authority(data: Path, **settings: object) -> CertificateAuthority:
    return CertificateAuthority.of(data, TransitSettings(**settings), ManualClock())  # type: ignore[arg-type]


def own(folder: Path, *, ca: bool = True, days: float = 100, bits: int = 0) -> dict[str, str]:
    """Settings that name an authority of the user's."""
    key = rsa.generate_private_key(65537, bits) if bits else ec.generate_private_key(ec.SECP384R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "ours")])
    now = datetime.datetime.fromtimestamp(ManualClock().now(), datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(now - datetime.timedelta(days=400))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    form = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (folder / "own.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "own.key").write_bytes(key.private_bytes(serialization.Encoding.PEM, *form))
    return {"ca_certificate": str(folder / "own.pem"), "ca_key": str(folder / "own.key")}


@pytest.mark.parametrize("bits", [0, 2048])
def test_a_certificate_names_addresses_and_names_and_is_signed(tmp_path: Path, bits: int) -> None:
    issuer = authority(tmp_path, **own(tmp_path, bits=bits)) if bits else authority(tmp_path)
    issued = issuer.issue("demo-001", ("demo.example",), ADDRESSES)
    leaf = x509.load_pem_x509_certificate(issued.certificate)
    (root,) = x509.load_pem_x509_certificates(issuer.authorities().encode())
    leaf.verify_directly_issued_by(root)
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert tuple(map(str, names.get_values_for_type(x509.IPAddress))) == ADDRESSES
    assert names.get_values_for_type(x509.DNSName) == ["demo.example"]
    assert not leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert leaf.not_valid_after_utc.timestamp() == issuer.until == ManualClock().now() + 90 * DAY_S
    assert issued.authorities == issuer.authorities().encode()
    assert b"PRIVATE KEY" in issued.key
    assert b"PRIVATE KEY" not in issued.certificate + issued.authorities


def test_it_is_made_once_and_its_key_is_the_owners(tmp_path: Path) -> None:
    first, second = authority(tmp_path), authority(tmp_path)
    assert first.authorities() == second.authorities()
    assert (tmp_path / "ca").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "ca" / "ca.key").stat().st_mode & 0o777 == 0o600


def test_another_series_begins_with_a_rotation_another_authority_and_other_names(tmp_path: Path) -> None:
    issuer = authority(tmp_path)
    before = issuer.series
    assert before == authority(tmp_path).series
    authority(tmp_path).rotate()
    after = issuer.series
    found = {before, after, authority(tmp_path, names=("{node}.example",)).series, authority(tmp_path, **own(tmp_path)).series}
    assert len(found) == 4


def test_names_follow_the_settings(tmp_path: Path) -> None:
    issuer = authority(tmp_path, names=("{group}.caches.example", "{node}.caches.example"))
    assert issuer.names("demo", "demo-001") == ("demo.caches.example", "demo-001.caches.example")


def test_nothing_outlives_its_authority(tmp_path: Path) -> None:
    issuer = authority(tmp_path, **own(tmp_path, days=10))
    assert issuer.until == ManualClock().now() + 10 * DAY_S


def test_an_authority_that_cannot_be_used_is_refused_by_name(tmp_path: Path) -> None:
    good = own(tmp_path)
    folders = [tmp_path / name for name in ("other", "leaf", "late")]
    for folder in folders:
        folder.mkdir()
    for settings, why in (
        ({**good, "ca_key": own(folders[0])["ca_key"]}, "is not the key of"),
        ({**good, "ca_key": good["ca_certificate"]}, "holds no private key"),
        ({**good, "ca_certificate": good["ca_key"]}, "holds no certificate"),
        ({**good, "ca_key": str(tmp_path / "none")}, "No such file"),
        (own(folders[1], ca=False), "CA:TRUE"),
        (own(folders[2], days=-1), "ended at"),
    ):
        with pytest.raises(AuthorityUnusable, match=why):
            authority(tmp_path, **settings)


def test_settings_are_checked() -> None:
    for name, value in (("CERTIFICATE_DAYS", "0"), ("CA_KEY", "/only/one"), ("NAMES", "not a name")):
        with pytest.raises(SettingsError):
            load({f"CACHEFLEET_TRANSIT_{name}": value})
