"""Users with policies over a store in memory: who is root, who is whom, what they may call."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import msgspec

import cachefleet.api.operations  # noqa: F401  (registers them)
from cachefleet.api.context import Caller, Context
from cachefleet.model.errors import AwsError
from cachefleet.policies.document import read_policy
from tests.fakes.api import ACCOUNT, REGION, call, make_context

ROOT = f"arn:aws:iam::{ACCOUNT}:root"


def arn(type_word: str, name: str) -> str:
    return f"arn:aws:elasticache:{REGION}:{ACCOUNT}:{type_word}:{name}"


def statement(effect: str, action: Any, resource: Any = "*", **condition: Any) -> dict[str, Any]:
    made = {"Effect": effect, "Action": action, "Resource": resource}
    return {**made, "Condition": condition} if condition else made


def allow(action: Any, resource: Any = "*", **condition: Any) -> dict[str, Any]:
    return statement("Allow", action, resource, **condition)


def deny(action: Any, resource: Any = "*", **condition: Any) -> dict[str, Any]:
    return statement("Deny", action, resource, **condition)


def policy(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def user(name: str, *statements: dict[str, Any], address: str = "127.0.0.1") -> Caller:
    return Caller(
        ACCOUNT,
        REGION,
        "AKIAUSER",
        f"arn:aws:iam::{ACCOUNT}:user/{name}",
        "AIDAUSER",
        user_name=name,
        policies=(read_policy(policy(*statements)),) if statements else (),
        source_address=address,
    )


class Stage:
    """One store; callers come and go."""

    def __init__(self, **options: Any) -> None:
        self.root = make_context(**options)

    def as_user(self, *statements: dict[str, Any], name: str = "ann", address: str = "127.0.0.1") -> Context:
        return msgspec.structs.replace(self.root, caller=user(name, *statements, address=address))

    def iam(self, name: str, context: Context | None = None, /, **request: Any) -> Mapping[str, Any]:
        return asyncio.run(call(context or self.root, name, "iam", **request))

    def cache(self, name: str, context: Context | None = None, /, **request: Any) -> Mapping[str, Any]:
        return asyncio.run(call(context or self.root, name, **request))


def code_of(error: AwsError) -> tuple[str, int]:
    return error.code, error.http_status
