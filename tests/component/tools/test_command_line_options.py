"""What the AWS CLI adds to operations: waiters, pages of its own, queries, skeletons and input from a file."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

import cachefleet.api.operations  # noqa: F401  (registers them)
from tests.component.tools.command_line import CommandLine
from tests.component.tools.help_stage import REGION, HelpStage, help_stage, served

Setup = Callable[[HelpStage], Awaitable[Any]]
Ask = Callable[..., str]


@pytest.fixture
def ask(command_line: CommandLine, tmp_path: Path) -> Ask:
    """Runs commands one after another on what is there beforehand; what the last one printed."""

    async def last_of(setup: Setup, commands: Sequence[Sequence[str]]) -> str:
        printed = ""
        async with help_stage(tmp_path) as stage, served(stage) as url:
            await setup(stage)
            for words in commands:
                told = await command_line.run(url, REGION, words)
                assert told.code == 0, told.err
                printed = told.out
        return printed

    return lambda setup, *commands: asyncio.run(last_of(setup, commands))


async def caches(stage: HelpStage) -> None:
    await stage.replication_group("shop")
    await stage.cache_cluster("alone")


async def users(stage: HelpStage) -> None:
    for number in range(1, 26):
        named = {"UserId": f"user{number:02}", "UserName": f"user{number:02}", "Engine": "redis"}
        await stage.call("CreateUser", **named, Passwords=["mYnuUzrpAxXw2rdzx"], AccessString="on ~* +get")


def test_waiters(ask: Ask) -> None:
    """Each looks once here: what it waits for is so."""
    told = ask(
        caches,
        ("wait", "replication-group-available", "--replication-group-id", "shop"),
        ("wait", "cache-cluster-available", "--cache-cluster-id", "alone"),
        ("wait", "replication-group-deleted", "--replication-group-id", "nobody"),
        ("wait", "cache-cluster-deleted", "--cache-cluster-id", "nobody"),
    )
    assert told == ""


def test_pages(ask: Ask) -> None:
    every = json.loads(ask(users, ("describe-users", "--page-size", "20", "--query", "Users[].UserId")))
    assert every == ["default", *(f"user{number:02}" for number in range(1, 26))]


def test_a_part_and_the_next(ask: Ask) -> None:
    first = json.loads(ask(users, ("describe-users", "--max-items", "22")))
    assert len(first["Users"]) == 22
    rest = json.loads(ask(users, ("describe-users", "--max-items", "22", "--starting-token", first["NextToken"])))
    assert [user["UserId"] for user in rest["Users"]] == ["user22", "user23", "user24", "user25"]


def test_queries_and_filters(ask: Ask) -> None:
    words = ("describe-users", "--filters", "Name=user-id,Values=user03,user04", "--query", "Users[].UserName")
    assert ask(users, words) == '[\n    "user03",\n    "user04"\n]\n'


def test_input_from_a_file(ask: Ask, tmp_path: Path) -> None:
    asked = tmp_path / "asked.json"
    asked.write_text(
        json.dumps({"CacheClusterId": "filed", "Engine": "redis", "CacheNodeType": "cache.m5.large", "NumCacheNodes": 1})
    )
    made = json.loads(ask(users, ("create-cache-cluster", "--cli-input-json", asked.as_uri())))
    assert made["CacheCluster"]["CacheClusterId"] == "filed"
