"""The control plane dies exactly between saving and acting, amid acting, and between acting and looking again.

Each change of each shape of group, at each kind of point (see doomed_service): the next control plane finishes what was begun.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError

from tests.faults.fleet import ALONE, CLUSTERED, MEMCACHED, REPLICATED, Group
from tests.faults.remains import NOTHING, everything, spreads
from tests.fixtures.machine import data_folder
from tests.fixtures.service import Service, running_service, wait_for

PROGRAM = (sys.executable, str(Path(__file__).with_name("doomed_service.py")))
CONVERGENCE_S = 30.0

# shape, then the points at which its creation and its deletion are cut off
LIVES = [
    (REPLICATED, "before Launch", "before Stop"),
    (REPLICATED, "amid Launch", "amid Stop"),
    (REPLICATED, "before Promote", "after Erase"),
    (REPLICATED, "before Spread", "before Spread"),
    (CLUSTERED, "amid Launch", "amid Erase"),
    (CLUSTERED, "amid OwnSlots", "after Stop"),
    (CLUSTERED, "amid Meet", "after Row"),
    (MEMCACHED, "after Launch", "amid Stop"),
    (MEMCACHED, "before PublishNodes", "before Row"),
]
FAILOVERS = [
    (REPLICATED, "before Promote"),
    (REPLICATED, "after Promote"),
    (REPLICATED, "amid Follow"),
    (REPLICATED, "before Launch"),
    (CLUSTERED, "before TakeOver"),
    (CLUSTERED, "after TakeOver"),
    (CLUSTERED, "before Forget"),
    (CLUSTERED, "before Replicate"),
    (ALONE, "before Promote"),
    (MEMCACHED, "before PublishNodes"),
]
REBOOTS = [
    (REPLICATED, "before Switch"),
    (REPLICATED, "after Switch"),
    (REPLICATED, "before Stop"),
    (ALONE, "before Stop"),
    (MEMCACHED, "after Stop"),
]
HANDOVERS = [
    (REPLICATED, "before Switch"),
    (REPLICATED, "after Switch"),
    (CLUSTERED, "before TakeOver"),
]
FREEZES = [(REPLICATED, "before Stop"), (REPLICATED, "amid Stop")]
RESIZES = ["before Launch", "before Stop", "after Launch", "amid Erase"]  # one more and one less, twice


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with data_folder() as data, running_service(data, program=PROGRAM) as running:
        yield running


def dies_at(service: Service, point: str, change: Callable[[], None]) -> None:
    """Ask for the change, see the control plane die on the way (before the answer, it may be), start the next one."""
    (service.data / "doom").write_text(point)
    with suppress(ConnectionClosedError):
        change()
    assert service.process is not None
    assert service.process.wait(CONVERGENCE_S) == -signal.SIGKILL
    assert not (service.data / "doom").exists()
    service.process = None
    service.start()


def handed_over(group: Group) -> None:
    """Refused until the control plane has seen that the group is whole."""

    def accepted() -> bool:
        try:
            group.hand_over()
        except ClientError:
            return False
        return True

    wait_for("the hand-over is accepted", accepted)


def become_whole(group: Group) -> None:
    last = [""]

    def whole() -> bool:
        last[0] = group.why_not_whole()
        return not last[0]

    try:
        wait_for(group.name, whole, CONVERGENCE_S)
    except AssertionError:
        raise AssertionError(f"{group.name} {last[0]}") from None


@pytest.mark.parametrize(("shape", "creation", "deletion"), LIVES)
def test_creation_and_deletion_are_finished(service: Service, shape: str, creation: str, deletion: str) -> None:
    group = Group(service, shape, "life")
    dies_at(service, creation, group.create)
    become_whole(group)
    if "Spread" in deletion:
        wait_for("there is a rule to remove", lambda: spreads(service))
    dies_at(service, deletion, group.delete)
    wait_for("it is gone", group.is_gone, CONVERGENCE_S)
    wait_for("nothing is left of it", lambda: everything(service) == NOTHING)


@pytest.mark.parametrize("shape", [REPLICATED, CLUSTERED])
def test_hand_overs_and_the_ends_of_frozen_primaries_are_finished_and_lose_nothing(service: Service, shape: str) -> None:
    group = Group(service, shape, f"{shape}-role")
    group.create()
    become_whole(group)
    for point in [point for its, point in FREEZES if its == shape]:
        group.put_mark(f"freeze {point}")
        before, done, processes = group.foremost(), group.failovers(), service.engine_pids()
        dies_at(service, point, group.freeze_one)
        wait_for(f"{point}: it is succeeded", lambda: group.failovers() > done, CONVERGENCE_S)  # noqa: B023
        become_whole(group)
        assert group.kept_its_mark(), point
        assert group.foremost() != before, point
        assert len(set(processes) - set(service.engine_pids())) == 1, f"{point}: the frozen process was to be ended"
    for point in [point for its, point in HANDOVERS if its == shape]:
        group.put_mark(f"hand-over {point}")
        before, done, processes = group.foremost(), group.failovers(), service.engine_pids()
        dies_at(service, point, lambda: handed_over(group))
        wait_for(f"{point}: the role has moved", lambda: group.failovers() > done, CONVERGENCE_S)  # noqa: B023
        become_whole(group)
        assert (group.foremost() != before, group.failovers()) == (True, done + 1), (
            f"{point}: one change of the role was asked for"
        )
        assert group.kept_its_mark(), point
        assert service.engine_pids() == processes, f"{point}: no process was to be ended"
    group.delete()
    wait_for("it is gone", group.is_gone, CONVERGENCE_S)
    wait_for("nothing is left of it", lambda: everything(service) == NOTHING)


@pytest.mark.parametrize("shape", [REPLICATED, CLUSTERED, ALONE, MEMCACHED])
def test_failovers_reboots_and_resizes_are_finished_and_lose_nothing(service: Service, shape: str) -> None:
    group = Group(service, shape, f"{shape}-life")
    group.create()
    become_whole(group)
    for point in [point for its, point in FAILOVERS if its == shape]:
        group.put_mark(f"failover {point}")
        dies_at(service, point, group.kill_one)
        become_whole(group)
        assert group.kept_its_mark(), point
    for point in [point for its, point in REBOOTS if its == shape]:
        group.put_mark(f"reboot {point}")
        before = service.engine_pids()
        home = group.foremost() if shape == REPLICATED else ""
        dies_at(service, point, group.reboot)
        become_whole(group)
        if home:  # a hand-over of its own, at which the control plane would die before it is asked for the next reboot
            wait_for("the role is back", lambda: group.foremost() == home, CONVERGENCE_S)  # noqa: B023
        assert group.kept_its_mark(), point
        assert len(set(before) - set(service.engine_pids())) == 1, f"{point}: one process was to be ended"
    for point in RESIZES if shape == REPLICATED else []:
        group.put_mark(f"resize {point}")
        count = len(service.engine_pids())
        dies_at(service, point, group.resize)
        become_whole(group)
        assert group.kept_its_mark(), point
        wait_for("there is one process more or less", lambda: len(service.engine_pids()) in (count - 1, count + 1))  # noqa: B023
    group.delete()
    wait_for("it is gone", group.is_gone, CONVERGENCE_S)
    wait_for("nothing is left of it", lambda: everything(service) == NOTHING)
