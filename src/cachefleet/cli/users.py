"""Users of the API, their access keys and policies, through the public IAM API. Called by `cachefleet users`.

A secret key is printed once, when it is made; nobody can show it again.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
from rich.markup import escape

from cachefleet.cli.failure import Failure
from cachefleet.cli.invocation import command
from cachefleet.cli.public_api import iam_client, pages, running_service
from cachefleet.cli.table import plain_table, screen
from cachefleet.settings import Settings


def list_users(settings: Settings) -> None:
    """Raises Failure when no service runs, and what the API client raises; as all of these do."""
    client = _client(settings)
    found = list(pages(client, "list_users", "Users"))
    if not found:
        print(f"No users yet: only the root. Make one with {command('users create NAME', settings)}")
        return
    table = plain_table(("NAME", "KEYS", "POLICIES", "SINCE"))
    for user in found:
        name = user["UserName"]
        keys = [_key_words(key) for key in _keys(client, name)]
        policies = list(pages(client, "list_user_policies", "PolicyNames", UserName=name))
        since = f"{user['CreateDate']:%Y-%m-%d}"
        table.add_row(*map(escape, (name, ", ".join(keys) or "-", ", ".join(policies) or "-", since)))
    screen().print(table)


def create_user(settings: Settings, name: str) -> None:
    """A user and a key for it. Without a policy it may do nothing."""
    client = _client(settings)
    client.create_user(UserName=name)
    print(f"User {name} is made; it may do nothing before {command(f'users policy put {name} POLICY FILE', settings)}")
    _print_new_key(client, name)


def delete_user(settings: Settings, name: str) -> None:
    """The user with its keys and policies."""
    client = _client(settings)
    for key in _keys(client, name):
        client.delete_access_key(UserName=name, AccessKeyId=key["AccessKeyId"])
    for policy in list(pages(client, "list_user_policies", "PolicyNames", UserName=name)):
        client.delete_user_policy(UserName=name, PolicyName=policy)
    client.delete_user(UserName=name)
    print(f"User {name} is deleted, and with it its keys and policies.")


def list_keys(settings: Settings, name: str) -> None:
    for key in _keys(_client(settings), name):
        print(f"{key['AccessKeyId']} {key['Status']} {key['CreateDate']:%Y-%m-%dT%H:%M:%SZ}")


def create_key(settings: Settings, name: str) -> None:
    _print_new_key(_client(settings), name)


def switch_key(settings: Settings, name: str, key_id: str, *, active: bool) -> None:
    status = "Active" if active else "Inactive"
    _client(settings).update_access_key(UserName=name, AccessKeyId=key_id, Status=status)
    print(f"Key {key_id} is {status.lower()}.")


def delete_key(settings: Settings, name: str, key_id: str) -> None:
    _client(settings).delete_access_key(UserName=name, AccessKeyId=key_id)
    print(f"Key {key_id} is deleted.")


def put_policy(settings: Settings, name: str, policy: str, file: Path) -> None:
    """Raises OSError, too."""
    try:
        document = file.read_text()
    except UnicodeDecodeError:
        raise Failure(f"{file} is no text in UTF-8") from None
    _client(settings).put_user_policy(UserName=name, PolicyName=policy, PolicyDocument=document)
    print(f"Policy {policy} of user {name} is in force.")


def show_policy(settings: Settings, name: str, policy: str) -> None:
    document = _client(settings).get_user_policy(UserName=name, PolicyName=policy)["PolicyDocument"]
    print(msgspec.json.format(msgspec.json.encode(document), indent=2).decode())


def list_policies(settings: Settings, name: str) -> None:
    for policy in pages(_client(settings), "list_user_policies", "PolicyNames", UserName=name):
        print(policy)


def delete_policy(settings: Settings, name: str, policy: str) -> None:
    _client(settings).delete_user_policy(UserName=name, PolicyName=policy)
    print(f"Policy {policy} of user {name} is deleted.")


def _print_new_key(client: Any, name: str) -> None:
    made = client.create_access_key(UserName=name)["AccessKey"]
    print(f"AWS_ACCESS_KEY_ID={made['AccessKeyId']}")
    print(f"AWS_SECRET_ACCESS_KEY={made['SecretAccessKey']}")
    print("Keep the secret key: it is not shown again.")


def _keys(client: Any, name: str) -> list[dict[str, Any]]:
    return list(pages(client, "list_access_keys", "AccessKeyMetadata", UserName=name))


def _key_words(key: dict[str, Any]) -> str:
    return str(key["AccessKeyId"]) + ("" if key["Status"] == "Active" else " (inactive)")


def _client(settings: Settings) -> Any:
    service, credentials = running_service(settings)
    return iam_client(service.url, service.region, credentials)
