"""Backups, copies, restores, proofs and deletions without a plan, and kill -9 of whoever takes part in them.

Whom it strikes is there at that instant, and everything could bear the loss: of a source's nodes never two, since data that no
node has any more nobody can save; of a restored group only what is not available yet.
"""

from __future__ import annotations

import itertools
import os
import random
import signal
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from threading import Event

from botocore.exceptions import BotoCoreError, ClientError

from cachefleet.model.proof import ASKED, FAILED
from tests.engine.groups import await_healthy, describe, describe_cluster
from tests.engine.snapshots import describe_snapshot, remove, why_of
from tests.faults.backup_sources import CONVERGENCE_S, KEYS, keys_in, slow_down, workers
from tests.fixtures.service import Service, wait_for

ENDS = ("available", "failed")
WHOLE = ("available", "snapshotting")
LOOK_S = 2.0  # for so long somebody is looked for who can be struck


class Unrest:
    """What is asked for in the rounds between two kills, and what of it is there in the end."""

    def __init__(self, service: Service, chance: random.Random, sources: Sequence[str]) -> None:
        self._service = service
        self._client = service.client(read_timeout=10, connect_timeout=2)
        self._chance = chance
        self._sources = sources
        self._numbers = itertools.count(1)
        self._pause = Event()
        self.done: list[str] = []
        self.struck: Counter[str] = Counter()
        self.proven: set[str] = set()  # snapshots that were restored, with every key
        self.restores = 0  # groups of the unrest itself that had every key

    # --- what is asked for ---

    def round(self) -> None:
        """Everything is only asked for; what becomes of it shows after the kill."""
        wanted: list[Callable[[], None]] = [self._take, self._take, self._copy, self._delete, self._restore, self._restore]
        for what in self._chance.choices([*wanted, self._drop, self._verify], k=3):
            self._ask(what)

    def _ask(self, what: Callable[[], None]) -> None:
        try:
            what()
        except (ClientError, BotoCoreError) as error:
            self.done.append(f"{what.__name__}: {type(error).__name__}")

    def available(self) -> list[str]:
        found = self._client.describe_snapshots()["Snapshots"]
        return [each["SnapshotName"] for each in found if each["SnapshotStatus"] == "available"]

    def _restored(self, *statuses: str) -> list[str]:
        found = self._client.describe_replication_groups()["ReplicationGroups"]
        mine = [group for group in found if group["ReplicationGroupId"].startswith("r-")]
        return [group["ReplicationGroupId"] for group in mine if not statuses or group["Status"] in statuses]

    def _take(self) -> None:
        name, of = f"s-{next(self._numbers)}", self._chance.choice(self._sources)
        self.done.append(f"{name} of {of}")
        self._client.create_snapshot(SnapshotName=name, ReplicationGroupId=of)

    def _copy(self) -> None:
        for name in self.available()[:1]:
            self.done.append(f"copy of {name}")
            self._client.copy_snapshot(SourceSnapshotName=name, TargetSnapshotName=f"s-{next(self._numbers)}")

    def _delete(self) -> None:
        """Only what was proven: whatever was available once must have been whole."""
        for name in [name for name in self.available() if name in self.proven][2:]:
            self.done.append(f"delete {name}")
            self._client.delete_snapshot(SnapshotName=name)

    def _restore(self) -> None:
        names = self.available()
        if names and len(self._restored()) < 2:
            name, of = f"r-{next(self._numbers)}", self._chance.choice(names)
            self.done.append(f"{name} from {of}")
            self._client.create_replication_group(
                ReplicationGroupId=name, ReplicationGroupDescription="restored", SnapshotName=of
            )

    def _drop(self) -> None:
        for name in self._restored("available")[:1]:
            self.done.append(f"drop {name}")
            self._client.delete_replication_group(ReplicationGroupId=name)

    def _verify(self) -> None:
        for name in self.available()[-1:]:
            self.done.append(f"verify {name}")
            found = describe_snapshot(self._client, name)
            if found is not None:
                tag = {"Key": ASKED, "Value": str(next(self._numbers))}
                self._client.add_tags_to_resource(ResourceName=found["ARN"], Tags=[tag])

    # --- who is struck ---

    def strike(self) -> None:
        """At a random instant; the control plane when nobody else is there in time."""
        self._pause.wait(self._chance.uniform(0, 1.3) ** 2)
        victims: list[Callable[[], bool]] = [self._kill_worker, self._kill_source, self._kill_restored]
        chosen = self._chance.choice([*victims, None])
        if chosen is not None:
            with suppress(AssertionError):
                wait_for("somebody can be struck", chosen, LOOK_S, 0.002)
                return
        self._service.kill()
        self._service.start()
        self._note("control plane")

    def _note(self, who: str, name: str = "") -> None:
        self.struck[who] += 1
        self.done.append(f"killed: {who} {name}")

    def _kill(self, pid: int, who: str, name: str = "") -> bool:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            self._note(who, name)
            return True
        return False

    def _kill_worker(self) -> bool:
        found = workers(self._service)
        return bool(found) and self._kill(self._chance.choice(found).pid, "worker")

    def _kill_source(self) -> bool:
        group = describe(self._client, self._chance.choice(self._sources))
        assert group is not None
        clusters = [describe_cluster(self._client, member) for member in group["MemberClusters"]]
        if group["Status"] not in WHOLE or any(each is None or each["CacheClusterStatus"] not in WHOLE for each in clusters):
            return False
        return self._kill_node(self._chance.choice(group["MemberClusters"]), "source node")

    def _kill_restored(self) -> bool:
        creating = self._restored("creating")
        names = [each.split(".")[1] for each in self._service.engine_pids().values()]
        loading = [name for name in names if name.rpartition("-")[0] in creating or name.rsplit("-", 2)[0] in creating]
        return bool(loading) and self._kill_node(self._chance.choice(loading), "restored node")

    def _kill_node(self, name: str, who: str) -> bool:
        found = [pid for pid, incarnation in self._service.engine_pids().items() if f".{name}." in incarnation]
        return bool(found) and self._kill(found[0], who, name)

    # --- how it ends ---

    def settle(self) -> None:
        """Everything comes to an end by itself. What was restored has every key; what is available can be restored; what has
        failed goes."""
        try:
            wait_for("everything has settled", self._quiet, 2 * CONVERGENCE_S, 0.1)
        except AssertionError as error:
            raise AssertionError(f"{error}: {self._service.told()}; {self.done}") from None
        for name in self._restored():
            assert keys_in(await_healthy(self._client, name)) == KEYS, f"{name}; {self.done}"
            self.restores += 1
        for found in self._client.describe_snapshots()["Snapshots"]:
            name = found["SnapshotName"]
            if found["SnapshotStatus"] == "failed":
                self.done.append(f"{name} has failed: {why_of(self._client, found)}")
                remove(self._client, name)
                continue
            tags = {
                tag["Key"]: tag["Value"] for tag in self._client.list_tags_for_resource(ResourceName=found["ARN"])["TagList"]
            }
            assert FAILED not in tags, f"{name}: {tags[FAILED]}; {self.done}"
        self._prove([name for name in self.available() if name not in self.proven])
        for name in self._sources:
            slow_down(self._client, await_healthy(self._client, name))

    def _prove(self, names: Sequence[str]) -> None:
        """All at once."""
        groups = {name: f"proof-{number}" for number, name in enumerate(names)}
        for name, group in groups.items():
            self._client.create_replication_group(
                ReplicationGroupId=group, ReplicationGroupDescription="proof", SnapshotName=name
            )
        for name, group in groups.items():
            assert keys_in(await_healthy(self._client, group, CONVERGENCE_S)) == KEYS, f"{name}; {self.done}"
            self._client.delete_replication_group(ReplicationGroupId=group)
            self.proven.add(name)

    def _quiet(self) -> bool:
        snapshots = {each["SnapshotStatus"] for each in self._client.describe_snapshots()["Snapshots"]}
        found = self._client.describe_replication_groups()["ReplicationGroups"]
        return snapshots <= set(ENDS) and {group["Status"] for group in found} == {"available"}
