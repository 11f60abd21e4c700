"""What AWS clients need in their environment to talk to this installation, as lines for a POSIX shell.

Works when the service is stopped too, with the address it last had.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from cachefleet.app.installation import Installation
from cachefleet.settings import Settings


def export_lines(settings: Settings) -> Iterator[str]:
    """Raises NotInstalled when nothing was ever started on the data folder."""
    installation = Installation(settings.data_dir)
    credentials = installation.credentials()
    service = installation.service() or installation.last_service()
    values = {
        "AWS_ENDPOINT_URL": service.url if service else f"http://{settings.listen}",
        "AWS_ACCESS_KEY_ID": credentials.access_key_id,
        "AWS_SECRET_ACCESS_KEY": credentials.secret_access_key,
        "AWS_DEFAULT_REGION": service.region if service else settings.region,
    }
    for name, value in values.items():
        yield f"export {name}={shlex.quote(value)}"
