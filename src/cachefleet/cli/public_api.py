"""A client of the public API of one installation, made as any user of an AWS SDK makes one.

botocore itself, with the endpoint, region and keys given explicitly: whatever AWS settings this machine has are not used.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping
from typing import Any

import botocore.credentials
import botocore.session
import msgspec
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.httpsession import URLLib3Session

from cachefleet.app.installation import Credentials, Installation
from cachefleet.app.services import ServiceInfo
from cachefleet.cli.failure import Failure
from cachefleet.cli.invocation import command
from cachefleet.settings import Settings


def running_service(settings: Settings) -> tuple[ServiceInfo, Credentials]:
    """On the data folder, and the installation's own keys. Raises Failure when none runs."""
    installation = Installation(settings.data_dir)
    service = installation.service()
    if service is None:
        raise Failure(f"no service runs on the data folder {settings.data_dir}; start it: {command('up', settings)}")
    return service, installation.credentials()


def elasticache_client(url: str, region: str, credentials: Credentials) -> Any:
    """A botocore ElastiCache client. Its calls raise ClientError (refused) and BotoCoreError (not reached)."""
    return _client("elasticache", url, region, credentials)


def iam_client(url: str, region: str, credentials: Credentials) -> Any:
    """The same for IAM."""
    return _client("iam", url, region, credentials)


def logs_client(url: str, region: str, credentials: Credentials) -> Any:
    """The same for CloudWatch Logs."""
    return _client("logs", url, region, credentials)


def _client(name: str, url: str, region: str, credentials: Credentials) -> Any:
    session = botocore.session.Session()
    session.set_config_variable("config_file", "/dev/null")
    session.set_config_variable("credentials_file", "/dev/null")
    return session.create_client(
        name,
        region_name=region,
        endpoint_url=url,
        aws_access_key_id=credentials.access_key_id,
        aws_secret_access_key=credentials.secret_access_key,
        config=Config(
            connect_timeout=5,
            read_timeout=15,
            retries={"total_max_attempts": 3},
            proxies={},
            ignore_configured_endpoint_urls=True,
        ),
    )


def reasons(service: ServiceInfo, credentials: Credentials) -> dict[str, dict[str, str]]:
    """Kind -> name -> why it is not available (GET /status). Empty of a service that is older than that. Raises
    BotoCoreError."""
    answer = _signed(service, credentials, "GET", "/status", {})
    return msgspec.json.decode(answer.content, type=dict[str, dict[str, str]]) if answer.status_code == 200 else {}


class Refused(Exception):
    """What the service says to that; its words."""


def insight(service: ServiceInfo, credentials: Credentials, method: str, **parameters: str) -> Any:
    """GET or POST /insight. Raises Refused, BotoCoreError."""
    return _told(_signed(service, credentials, method, "/insight", parameters))


def cost(service: ServiceInfo, credentials: Credentials, parameters: Mapping[str, str]) -> Any:
    """GET /cost. Raises Refused, BotoCoreError."""
    return _told(_signed(service, credentials, "GET", "/cost", parameters))


def _told(answer: Any) -> Any:
    """Raises Refused."""
    if answer.status_code == 200:
        return msgspec.json.decode(answer.content)
    found = re.search(r"<Message>(.*?)</Message>", answer.content.decode("utf-8", "replace"), re.DOTALL)
    raise Refused(html.unescape(found[1]) if found else f"the service answered with HTTP status {answer.status_code}")


def _signed(service: ServiceInfo, credentials: Credentials, method: str, path: str, parameters: Mapping[str, str]) -> Any:
    request = AWSRequest(method, f"{service.url}{path}", params=dict(parameters))
    keys = botocore.credentials.Credentials(credentials.access_key_id, credentials.secret_access_key)
    SigV4Auth(keys, "elasticache", service.region).add_auth(request)
    return URLLib3Session(timeout=60).send(request.prepare())


def client_of(service: ServiceInfo, credentials: Credentials) -> Any:
    return elasticache_client(service.url, service.region, credentials)


def pages(client: Any, operation: str, result_key: str, **request: Any) -> Iterator[Any]:
    """Every item of a paginated operation, such as describe_replication_groups and ReplicationGroups."""
    for page in client.get_paginator(operation).paginate(**request):
        yield from page[result_key]
