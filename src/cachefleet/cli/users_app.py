"""The commands `cachefleet users ...`: options in, calls of cli.users out. Joined to the others by cli.main."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from cachefleet.settings import Settings, load

users_app = typer.Typer(help="Users of the API, their keys and policies.", no_args_is_help=True, rich_markup_mode=None)
keys_app = typer.Typer(help="Access keys of a user.", no_args_is_help=True, rich_markup_mode=None)
policy_app = typer.Typer(help="Policies: what a user may do.", no_args_is_help=True, rich_markup_mode=None)
users_app.add_typer(keys_app, name="keys")
users_app.add_typer(policy_app, name="policy")

Data = Annotated[Path | None, typer.Option("--data", metavar="DIR", help="The data folder (default: in the XDG state folder).")]
User = Annotated[str, typer.Argument(metavar="USER", help="The user's name.")]
Key = Annotated[str, typer.Argument(metavar="KEY_ID", help="The access key's id.")]
Policy = Annotated[str, typer.Argument(metavar="POLICY", help="The policy's name.")]


def _settings(data: Path | None) -> Settings:
    return load(os.environ, {"data": str(data) if data is not None else None})


@users_app.command("list")
def users_list(data: Data = None) -> None:
    """Show the users, their keys and policies."""
    from cachefleet.cli.users import list_users

    list_users(_settings(data))


@users_app.command("create")
def users_create(user: User, data: Data = None) -> None:
    """Make a user and an access key, whose secret is printed once."""
    from cachefleet.cli.users import create_user

    create_user(_settings(data), user)


@users_app.command("delete")
def users_delete(user: User, data: Data = None) -> None:
    """Delete a user with its keys and policies."""
    from cachefleet.cli.users import delete_user

    delete_user(_settings(data), user)


@keys_app.command("list")
def keys_list(user: User, data: Data = None) -> None:
    """Show a user's access keys, never their secrets."""
    from cachefleet.cli.users import list_keys

    list_keys(_settings(data), user)


@keys_app.command("create")
def keys_create(user: User, data: Data = None) -> None:
    """Make another access key, whose secret is printed once; a user has two at most."""
    from cachefleet.cli.users import create_key

    create_key(_settings(data), user)


@keys_app.command("disable")
def keys_disable(user: User, key: Key, data: Data = None) -> None:
    """Refuse a key from now on, until it is enabled again."""
    from cachefleet.cli.users import switch_key

    switch_key(_settings(data), user, key, active=False)


@keys_app.command("enable")
def keys_enable(user: User, key: Key, data: Data = None) -> None:
    """Take a disabled key again."""
    from cachefleet.cli.users import switch_key

    switch_key(_settings(data), user, key, active=True)


@keys_app.command("delete")
def keys_delete(user: User, key: Key, data: Data = None) -> None:
    """Refuse a key for ever."""
    from cachefleet.cli.users import delete_key

    delete_key(_settings(data), user, key)


@policy_app.command("list")
def policy_list(user: User, data: Data = None) -> None:
    """Show the names of a user's policies."""
    from cachefleet.cli.users import list_policies

    list_policies(_settings(data), user)


@policy_app.command("put")
def policy_put(
    user: User,
    policy: Policy,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The policy document, JSON.")],
    data: Data = None,
) -> None:
    """Put a policy in force, in the place of the one of that name."""
    from cachefleet.cli.users import put_policy

    put_policy(_settings(data), user, policy, file)


@policy_app.command("show")
def policy_show(user: User, policy: Policy, data: Data = None) -> None:
    """Print a policy document."""
    from cachefleet.cli.users import show_policy

    show_policy(_settings(data), user, policy)


@policy_app.command("delete")
def policy_delete(user: User, policy: Policy, data: Data = None) -> None:
    """Take a policy away."""
    from cachefleet.cli.users import delete_policy

    delete_policy(_settings(data), user, policy)
