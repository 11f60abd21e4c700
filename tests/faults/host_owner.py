"""A control plane's host in a program of its own, to be killed.

argv: data folder, how many engines, and "die" to be killed by itself between making a folder and spawning its process. stdout:
a line per started incarnation, then "ready". Ends with stdin.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from cachefleet.clock import SystemClock
from cachefleet.engine_interfaces import Rendering
from cachefleet.hosts import LocalHost, processes
from cachefleet.settings import HostSettings

ENGINE = Rendering(argv=("/bin/sh", "-c", "trap 'exit 7' TERM; sleep 600 & wait"), files={"engine.conf": b"x" * 4096})


def die(argv: Sequence[str], folder: Path, environment: Mapping[str, str]) -> tuple[int, int]:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("still here")


async def own(data_dir: Path, engines: int) -> None:
    host = LocalHost(data_dir, HostSettings(spread="never"), SystemClock())
    await host.adopt()

    async def start(number: int) -> None:
        await host.start(f"u{number % 3}.n{number}.1", ENGINE)
        print(f"u{number % 3}.n{number}.1", flush=True)

    await asyncio.gather(*(start(number) for number in range(engines)))
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    if sys.argv[3:] == ["die"]:
        processes.spawn = die
    asyncio.run(own(Path(sys.argv[1]), int(sys.argv[2])))
