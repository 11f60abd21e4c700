"""kill -9 of the control plane at random instants, while groups are created, failed over, resized, rebooted and deleted.

After each restart everything converges: what was acknowledged is there and serves, no data is lost that a living replica had,
what was deleted is gone; at the end nothing is left on the machine. TEST_KILLS=50 kills more often, TEST_SEED=n
repeats a run's choices.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from tests.faults.fleet import ALONE, MEMCACHED, REPLICATED, SHAPES, Group
from tests.faults.remains import NOTHING, claims, everything
from tests.fixtures.machine import data_folder
from tests.fixtures.service import Service, running_service, wait_for

KILLS = int(os.environ.get("TEST_KILLS", "12"))
SEED = int(os.environ.get("TEST_SEED", "0")) or random.randrange(1, 1_000_000)
AT_ONCE = 4  # groups at most
CONVERGENCE_S = 40.0


@pytest.fixture
def service() -> Iterator[Service]:
    with data_folder() as data, running_service(data) as running:
        yield running


class Unrest:
    """Groups, and what is done to them between two kills. At most one thing is done to each group in a round, so that whatever
    had a mark must keep it."""

    def __init__(self, service: Service, chance: random.Random) -> None:
        self._service = service
        self._chance = chance
        self._made = 0
        self.groups: list[Group] = []
        self.done: list[str] = []  # for the message of a failure

    def round(self) -> list[Callable[[], None]]:
        """What to do in this round, to be done concurrently."""
        chosen: list[Callable[[], None]] = []
        for group in list(self.groups):
            what = self._chance.choices(["nothing", "kill", "reboot", "resize", "delete"], [3, 4, 3, 3, 2])[0]
            if what == "kill":
                chosen.append(self._named(what, group, group.kill_one))
            elif what == "reboot" and group.shape in (REPLICATED, ALONE, MEMCACHED):
                chosen.append(self._named(what, group, group.reboot))
            elif what == "resize" and group.shape == REPLICATED:
                chosen.append(self._named(what, group, group.resize))
            elif what == "delete":
                self.groups.remove(group)
                chosen.append(self._named(what, group, lambda group=group: self._delete(group)))  # type: ignore[misc]
        while len(self.groups) + len(chosen) < AT_ONCE and self._chance.random() < 0.8:
            self._made += 1
            group = Group(self._service, self._chance.choice(SHAPES), f"g{self._made}")
            chosen.append(self._named(f"create {group.shape}", group, lambda group=group: self._create(group)))  # type: ignore[misc]
        self._chance.shuffle(chosen)
        return chosen

    def _named(self, what: str, group: Group, action: Callable[[], None]) -> Callable[[], None]:
        def run() -> None:
            try:
                action()
                self.done.append(f"{what} {group.name}")
            except (BotoCoreError, ClientError, ValueError) as error:  # the service, or the process, was gone already
                self.done.append(f"{what} {group.name}: {type(error).__name__}")

        return run

    def _create(self, group: Group) -> None:
        """An answer that never came leaves open whether it was made."""
        try:
            group.create()
        except BotoCoreError:
            self._await_answer(group)
            if group.describe() is None:
                raise
        self.groups.append(group)

    def _delete(self, group: Group) -> None:
        try:
            group.delete()
        except BotoCoreError:
            self._await_answer(group)
            found = group.describe()
            if found is not None and "deleting" not in (found.get("Status"), found.get("CacheClusterStatus")):
                self.groups.append(group)
                raise
        wait_for(f"{group.name} is gone", group.is_gone, CONVERGENCE_S)

    def _await_answer(self, group: Group) -> None:
        try:
            wait_for("the API answers again", lambda: _knows(group), CONVERGENCE_S, every_s=0.1)
        except AssertionError as error:
            raise AssertionError(f"{error}; {self.done}; {(self._service.data / 'up.log').read_text()[-3000:]}") from None

    def converge(self) -> None:
        for group in self.groups:
            last = ["was never looked at"]

            def whole(group: Group = group, last: list[str] = last) -> bool:
                last[0] = group.why_not_whole()
                return not last[0]

            try:
                wait_for(group.name, whole, CONVERGENCE_S, every_s=0.1)
            except AssertionError:
                raise AssertionError(f"{group.name} ({group.shape}) {last[0]}; done: {self.done}") from None
            assert group.kept_its_mark(), f"{group.name} lost its data; done: {self.done}"
            group.put_mark(f"round of {len(self.done)}")


def _knows(group: Group) -> bool:
    try:
        group.describe()
    except BotoCoreError:
        return False
    return True


def test_kills_at_random_instants_leave_nothing_undone_and_nothing_behind(service: Service) -> None:
    print(f"TEST_SEED={SEED} TEST_KILLS={KILLS}")
    chance = random.Random(SEED)
    unrest = Unrest(service, chance)
    pause = Event()
    with ThreadPoolExecutor(2 * AT_ONCE) as crowd:
        for number in range(KILLS):
            unrest.done.append(f"-- kill {number + 1} --")
            running = [crowd.submit(action) for action in unrest.round()]
            pause.wait(chance.uniform(0, 1.2) ** 2)
            service.kill()
            service.start()
            for each in running:
                each.result()
            unrest.converge()
        for each in [crowd.submit(group.delete) for group in unrest.groups]:
            each.result()
    for group in unrest.groups:
        wait_for(f"{group.name} is gone", group.is_gone, CONVERGENCE_S)
    wait_for(f"nothing is left of {unrest.done}", lambda: everything(service) == NOTHING, 5)
    assert len(claims(service)) == 1
    log = (service.data / "up.log").read_text(errors="replace")
    assert "Traceback" not in log, log[-3000:]
