"""The certificate authority of encryption in transit: shown to clients, and told to issue anew. Called by `cachefleet ca`.

Works on the data folder, service or not: a running one sees a rotation within seconds. Never prints a key.
"""

from __future__ import annotations

from cachefleet.app.certificate_authority import CertificateAuthority
from cachefleet.app.installation import Installation
from cachefleet.clock import SystemClock
from cachefleet.settings import Settings


def show_authority(settings: Settings) -> None:
    """The bundle for clients, PEM. Raises NotInstalled, AuthorityUnusable."""
    print(_authority(settings).authorities(), end="")


def rotate_certificates(settings: Settings) -> None:
    """Raises NotInstalled, AuthorityUnusable, OSError."""
    _authority(settings).rotate()
    print("Every running cache with TLS gets a new certificate of the same authority within seconds;")
    print("connections go on, and clients need nothing new.")


def _authority(settings: Settings) -> CertificateAuthority:
    Installation(settings.data_dir).credentials()
    return CertificateAuthority.of(settings.data_dir, settings.transit, SystemClock())
