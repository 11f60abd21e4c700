"""Opens object stores by URL and options: which options each kind has, and that nothing is taken from the environment instead.

Asks the store nothing. Called by places.py.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import os
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from obstore.exceptions import BaseError
from obstore.store import AzureStore, GCSStore, MemoryStore, S3Store

from cachefleet.archive.streams import ArchiveError

if TYPE_CHECKING:
    from obstore.store import (
        AzureAccessKey,
        AzureConfig,
        AzureSASToken,
        ClientConfig,
        GCSConfig,
        ObjectStore,
        RetryConfig,
        S3Credential,
    )

_REQUEST_S = 60.0  # one request, of at most one part
_RETRIES = 4
_COMMON = frozenset({"endpoint", "allow_http", "root_certificate", "timeout_s", "retries", "instance_role"})
_OPTIONS = {
    "s3": _COMMON | {"region", "access_key_id", "secret_access_key", "session_token", "virtual_hosted_style"},
    "gs": _COMMON | {"service_account_file"},
    "az": _COMMON | {"account_name", "account_key", "sas_token"},
    "memory": frozenset[str](),
}
_GOOGLE_KEY = "GOOGLE_SERVICE_ACCOUNT_KEY"
SCHEMES = frozenset(_OPTIONS)


def open_bucket(url: str, options: Mapping[str, str]) -> ObjectStore:
    """Options of all: endpoint (URL of the service, if not the cloud's own), allow_http (true: no TLS), root_certificate (file
    of a CA of one's own), timeout_s (of one request), retries, instance_role (true: credentials of the machine that we run on).
    s3: region, access_key_id, secret_access_key, session_token, virtual_hosted_style. gs: service_account_file.
    az: account_name, account_key or sas_token.

    Raises ArchiveError (permanent).
    """
    parts = urlsplit(url)
    known = _OPTIONS[parts.scheme]
    if unknown := sorted(set(options) - known):
        raise ArchiveError(f"{url} has no option {unknown[0]}; it has {', '.join(sorted(known)) or 'none'}", permanent=True)
    if parts.query or parts.fragment or "@" in parts.netloc:
        raise ArchiveError(f"{parts.scheme}://{parts.hostname}: only bucket and prefix belong into the URL", permanent=True)
    if parts.scheme == "memory":
        return MemoryStore()
    if not parts.netloc:
        raise ArchiveError(f"{url} names no bucket: it is {parts.scheme}://bucket/prefix", permanent=True)
    openers: dict[str, Callable[[str, str | None, _Options], ObjectStore]] = {"s3": _s3, "gs": _gs, "az": _az}
    try:
        return openers[parts.scheme](parts.netloc, parts.path.strip("/") or None, _Options(url, options))
    except (BaseError, ValueError, OSError) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ArchiveError(f"{url} cannot be used with these options: {first}", permanent=True) from None


class _Options:
    """Text options by their meaning. Its methods raise ArchiveError."""

    def __init__(self, url: str, options: Mapping[str, str]) -> None:
        self._url = url
        self._options = options

    def __str__(self) -> str:
        return self._url

    def get(self, name: str) -> str:
        return self._options.get(name, "")

    def need(self, name: str) -> str:
        if not self.get(name):
            raise ArchiveError(f"{self._url} needs the option {name}", permanent=True)
        return self.get(name)

    def flag(self, name: str) -> bool:
        text = self.get(name).lower()
        if text not in ("", "true", "false"):
            raise ArchiveError(f"{self._url}: {name} is {text!r}; it is true or false", permanent=True)
        return text == "true"

    def seconds(self, name: str, default: float) -> float:
        text = self.get(name)
        with contextlib.suppress(ValueError):
            value = float(text) if text else default
            if 0 < value <= 86_400:
                return value
        raise ArchiveError(f"{self._url}: {name} is {text!r}; it is a number above 0", permanent=True)

    def count(self, name: str, default: int) -> int:
        text = self.get(name)
        if text and not (text.isascii() and text.isdigit() and len(text) <= 3):
            raise ArchiveError(f"{self._url}: {name} is {text!r}; it is a number from 0 to 999", permanent=True)
        return int(text) if text else default

    def client(self) -> ClientConfig:
        config: ClientConfig = {
            "connect_timeout": timedelta(seconds=5),
            "timeout": timedelta(seconds=self.seconds("timeout_s", _REQUEST_S)),
            "allow_http": self.flag("allow_http"),
        }
        if file := self.get("root_certificate"):
            config["root_certificate"] = Path(file).read_bytes()
        return config

    def retry(self) -> RetryConfig:
        return {
            "max_retries": self.count("retries", _RETRIES),
            "retry_timeout": timedelta(seconds=self.seconds("timeout_s", _REQUEST_S)),
            "backoff": {"init_backoff": timedelta(milliseconds=200), "max_backoff": timedelta(seconds=5), "base": 2},
        }


def _s3(bucket: str, prefix: str | None, options: _Options) -> S3Store:
    region = options.get("region") or "us-east-1"
    credential: S3Credential | None = None
    if not options.flag("instance_role"):
        credential = {
            "access_key_id": options.need("access_key_id"),
            "secret_access_key": options.need("secret_access_key"),
            "token": options.get("session_token") or None,
            "expires_at": None,
        }
    # Everything that the library would otherwise look for in AWS_* variables is said here; for that reason, too, the
    # credentials come by a function.
    return S3Store(
        bucket,
        prefix=prefix,
        region=region,
        endpoint=options.get("endpoint") or f"https://s3.{region}.amazonaws.com",
        virtual_hosted_style_request=options.flag("virtual_hosted_style"),
        skip_signature=False,
        client_options=options.client(),
        retry_config=options.retry(),
        credential_provider=(lambda: credential) if credential else None,
    )


def _gs(bucket: str, prefix: str | None, options: _Options) -> GCSStore:
    config: GCSConfig = {"skip_signature": False}  # said here, so that no variable GOOGLE_SKIP_SIGNATURE counts
    if options.get("endpoint"):
        config["base_url"] = options.get("endpoint")
    if not options.flag("instance_role"):
        config["service_account"] = options.need("service_account_file")
        if _GOOGLE_KEY in os.environ:  # nothing that is said here can overrule it
            raise ArchiveError(f"{options} cannot be used while the variable {_GOOGLE_KEY} is set: unset it", permanent=True)
    return GCSStore(bucket, prefix=prefix, config=config, client_options=options.client(), retry_config=options.retry())


def _az(container: str, prefix: str | None, options: _Options) -> AzureStore:
    config: AzureConfig = {"account_name": options.need("account_name"), "skip_signature": False, "use_emulator": False}
    if options.get("endpoint"):
        config["endpoint"] = options.get("endpoint")
    credential = _az_credential(options)  # by a function, since a token in a variable would win over a key in the configuration
    return AzureStore(
        container,
        prefix=prefix,
        config=config,
        client_options=options.client(),
        retry_config=options.retry(),
        credential_provider=(lambda: credential) if credential else None,
    )


def _az_credential(options: _Options) -> AzureAccessKey | AzureSASToken | None:
    if options.get("sas_token"):
        return {"sas_token": options.get("sas_token"), "expires_at": None}
    if options.flag("instance_role"):
        return None
    key = options.need("account_key")
    try:
        base64.b64decode(key, validate=True)
    except binascii.Error:
        raise ArchiveError(
            f"{options}: account_key is not in base64, as keys of Azure are; copy it anew", permanent=True
        ) from None
    return {"access_key": key, "expires_at": None}
