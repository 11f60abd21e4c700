"""The AWS CLI in a process of its own that takes one command after another: most of a command's time would be the start."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from tests.fixtures.gateway import KEY

PROGRAM = Path(__file__).with_name("command_line_process.py")


class Printed(msgspec.Struct, frozen=True):
    """What came of a command. code: its exit code."""

    code: int
    out: str
    err: str


class CommandLine:
    """With the key of the tests' gateway and no configuration. Close it."""

    def __init__(self, folder: Path) -> None:
        nowhere = str(folder / "nowhere")
        environment = {
            "PATH": "/usr/bin:/bin",
            "HOME": str(folder),
            "AWS_ACCESS_KEY_ID": KEY.access_key_id,
            "AWS_SECRET_ACCESS_KEY": KEY.secret_access_key,
            "AWS_CONFIG_FILE": nowhere,
            "AWS_SHARED_CREDENTIALS_FILE": nowhere,
            "AWS_MAX_ATTEMPTS": "1",
        }
        self._process = subprocess.Popen(
            [sys.executable, str(PROGRAM)], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    async def run(self, url: str, region: str, words: Sequence[str]) -> Printed:
        """aws elasticache WORDS, asked of the service at this URL."""
        options = ["--endpoint-url", url, "--region", region, "--output", "json"]
        return await asyncio.to_thread(self._run, ["elasticache", *words, *options])

    def _run(self, words: Sequence[str]) -> Printed:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(words) + "\n")
        self._process.stdin.flush()
        return msgspec.json.decode(self._process.stdout.readline(), type=Printed)

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()
