"""Caches with IAM users on a real service, people with access keys who connect to them, and the tokens that they show."""

from __future__ import annotations

import time
import urllib.request
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import redis
from botocore.credentials import Credentials
from botocore.exceptions import ClientError
from botocore.model import ServiceId
from botocore.session import Session
from botocore.signers import RequestSigner

from tests.component.iam.stage import allow, arn, policy
from tests.engine.groups import address, describe_cluster
from tests.engine.test_access_control import gets_in
from tests.fixtures.iam_tokens import token
from tests.fixtures.service import Service, wait_for

REGION = "local-1"
ENGINE = {"Engine": "valkey", "EngineVersion": "8.0", "TransitEncryptionEnabled": True}
LIMIT_S = 60.0  # within which every node knows of a change of keys, policies and tags
IAM = {"Type": "iam"}
Where = tuple[str, int]


class People:
    """Users of IAM, as the root makes them. end() takes them away."""

    def __init__(self, service: Service) -> None:
        self.iam = service.client("iam")
        self._keys: dict[str, str] = {}
        self._names: set[str] = set()

    def add(self, name: str, *statements: dict[str, Any]) -> Credentials:
        self.iam.create_user(UserName=name)
        self._names.add(name)
        if statements:
            self.say(name, *statements)
        made = self.iam.create_access_key(UserName=name)["AccessKey"]
        self._keys[name] = made["AccessKeyId"]
        return Credentials(made["AccessKeyId"], made["SecretAccessKey"])

    def say(self, name: str, *statements: dict[str, Any]) -> None:
        self.iam.put_user_policy(UserName=name, PolicyName="own", PolicyDocument=policy(*statements))

    def keep_silent(self, name: str) -> None:
        self.iam.delete_user_policy(UserName=name, PolicyName="own")

    def switch(self, name: str, status: str) -> None:
        self.iam.update_access_key(UserName=name, AccessKeyId=self._keys[name], Status=status)

    def take_key(self, name: str) -> None:
        self.iam.delete_access_key(UserName=name, AccessKeyId=self._keys.pop(name))

    def remove(self, name: str) -> None:
        self._names.discard(name)
        with suppress(ClientError):
            self.keep_silent(name)
        if name in self._keys:
            self.take_key(name)
        with suppress(ClientError):
            self.iam.delete_user(UserName=name)

    def end(self) -> None:
        for name in sorted(self._names):
            self.remove(name)


def connecting(cache: str, *users: str, **condition: Any) -> dict[str, Any]:
    """What a policy says of who may connect to this cache as these users."""
    return allow("elasticache:Connect", [arn("replicationgroup", cache), *(arn("user", user) for user in users)], **condition)


def shown(cache: str, user: str, who: Credentials, *, later_s: float = 0.0, **more: Any) -> str:
    """A token made now, or so much later."""
    made = datetime.now(UTC).replace(tzinfo=None) + timedelta(seconds=later_s)
    return token(cache, user, who, made, **{"region": REGION, **more})


def create_iam_user(elasticache: Any, user_id: str, access: str = "on ~* &* +@all", **more: Any) -> None:
    elasticache.create_user(
        UserId=user_id, UserName=user_id, Engine="valkey", AccessString=access, AuthenticationMode=IAM, **more
    )


def nodes_of(elasticache: Any, group: dict[str, Any]) -> list[Where]:
    """Of all shards."""
    clusters = [describe_cluster(elasticache, member) for member in group["MemberClusters"]]
    return [address(node["Endpoint"]) for cluster in clusters if cluster is not None for node in cluster["CacheNodes"]]


def let_in(places: Sequence[Where], cache: str, user: str, who: Credentials) -> list[bool]:
    password = shown(cache, user, who)
    return [gets_in(where, password, user) for where in places]


def measured(what: str, probe: Callable[[], bool], limit_s: float = LIMIT_S) -> float:
    """How long it took until that was so."""
    began = time.monotonic()
    wait_for(what, probe, limit_s, every_s=0.2)
    return time.monotonic() - began


def await_in(places: Sequence[Where], cache: str, user: str, who: Credentials) -> float:
    return measured(f"{user} gets into {cache} everywhere", lambda: all(let_in(places, cache, user, who)))


def await_out(places: Sequence[Where], cache: str, user: str, who: Credentials) -> float:
    return measured(f"{user} gets into no node of {cache}", lambda: not any(let_in(places, cache, user, who)))


def authorities(service: Service) -> bytes:
    with urllib.request.urlopen(f"{service.url}/ca.pem", timeout=10) as answer:
        return bytes(answer.read())


class _Shown:
    """What redis-py is told of a new token."""

    def __init__(self, user: str, password: str) -> None:
        self._user, self._password = user, password

    def try_get(self, name: str) -> str:
        return {"oid": self._user}[name]

    def get_value(self) -> str:
        return self._password


class Provider(redis.credentials.StreamingCredentialProvider):
    """As AWS shows it for redis-py: a presigned address by botocore's RequestSigner. renew() has what is connected show another
    one, as a timer does that runs before 12 h are over."""

    def __init__(self, user: str, cache: str, who: Credentials) -> None:
        self._user, self._cache = user, cache
        self._events = Session().get_component("event_emitter")  # a signer does not keep it
        self._signer = RequestSigner(ServiceId("elasticache"), REGION, "elasticache", "v4", who, self._events)
        self._tell: Callable[[Any], None] | None = None

    def get_credentials(self) -> tuple[str] | tuple[str, str]:
        url = f"https://{self._cache}/?Action=connect&User={self._user}"
        request = {"method": "GET", "url": url, "body": {}, "headers": {}, "context": {}}
        signed = self._signer.generate_presigned_url(request, operation_name="connect", expires_in=900, region_name=REGION)
        return self._user, signed.removeprefix("https://")

    def on_next(self, callback: Callable[[Any], None]) -> None:
        self._tell = callback

    def on_error(self, callback: Callable[[Exception], None]) -> None:
        pass

    def is_streaming(self) -> bool:
        return True

    def renew(self) -> None:
        assert self._tell is not None
        self._tell(_Shown(*self.get_credentials()))
