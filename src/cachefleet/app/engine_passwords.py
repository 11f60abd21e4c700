"""interfaces.Passwords, derived from the installation's key: nothing has to be kept, and all services of a data folder agree.

Each launch has another one for us; the nodes of a group share one, since each may have to follow any other.
"""

from __future__ import annotations

import hashlib
import hmac
from pathlib import Path

KEY_FILE = "installation.key"


class DerivedPasswords:
    """interfaces.Passwords."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    @classmethod
    def of(cls, data_dir: Path) -> DerivedPasswords:
        """Raises OSError."""
        return cls((data_dir / KEY_FILE).read_bytes().strip())

    def controller(self, launch: str) -> str:
        return self._derived(f"controller {launch}")

    def peer(self, launch: str) -> str:
        return self._derived(f"peer {launch.partition('.')[0]}")

    def _derived(self, purpose: str) -> str:
        return hmac.new(self._key, purpose.encode(), hashlib.sha256).hexdigest()
