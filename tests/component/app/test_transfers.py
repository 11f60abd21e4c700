"""What snapshots need of others (keys of a command, an archive) may take long: nothing else waits for it."""

from __future__ import annotations

import asyncio
from pathlib import Path

from cachefleet.app.transfers import WorkerTransfers
from cachefleet.archive.age_pipe import new_identity, recipient_of
from cachefleet.clock import SystemClock
from cachefleet.settings import ArchiveSettings

AT_ONCE = 20  # more than the event loop has threads of its own on a small machine
SOON_S = 15.0  # less than a command has to answer


def test_a_key_command_that_is_slow_keeps_nobody_else_waiting(tmp_path: Path) -> None:
    """Engines are started in the threads of the event loop: a failover must not wait for somebody's key management."""
    identity = new_identity()
    (tmp_path / "key").write_text(identity)
    slow = f"while [ ! -e {tmp_path}/go ]; do sleep 0.1; done; cat {tmp_path}/key"

    async def scenario() -> None:
        settings = ArchiveSettings(key_commands={"slow": ("sh", "-c", slow)})
        transfers = WorkerTransfers(tmp_path / "data", settings, SystemClock())
        asked = [asyncio.create_task(transfers.newest_key("slow")) for _ in range(AT_ONCE)]
        try:
            async with asyncio.timeout(SOON_S):
                assert await asyncio.to_thread(lambda: "a new engine") == "a new engine"
                assert (await transfers.newest_key("default")).version == 1
                await transfers.put("a/manifest.json", b"{}")
                assert await transfers.folders("") == ["a/"]
            assert not any(task.done() for task in asked)
        finally:
            (tmp_path / "go").touch()
            found = await asyncio.gather(*asked)
        assert {key.recipient for key in found} == {recipient_of(identity)}
        await transfers.close()

    asyncio.run(scenario())
