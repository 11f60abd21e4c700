"""Nodes that were started while their module could not be made: parameters that need it wait for a reboot, and get it then."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from tests.engine.groups import await_healthy, replication_group
from tests.engine.test_parameters_applied import make, modify, states
from tests.engine.test_reboots import reboot
from tests.engine.test_renamed_commands import OPEN, REFUSED, UNKNOWN, WORKS, names
from tests.fixtures.iam_tokens import require_compiler
from tests.fixtures.machine import data_folder
from tests.fixtures.service import Service, running_service, wait_for


@pytest.fixture
def service() -> Iterator[Service]:
    """On a machine without a C compiler."""
    require_compiler()
    with data_folder() as data, running_service(data, start=False) as made:
        nothing = data / "nothing"
        nothing.mkdir()
        made.start(environment={"PATH": str(nothing), "CC": ""})
        yield made


def test_new_names_wait_for_a_reboot_after_the_compiler_has_come(service: Service) -> None:
    api = service.client()
    make(api, "names", "valkey9", rename__commands="KEYS blocked")
    request = {"NumCacheClusters": 2, "AutomaticFailoverEnabled": True, "CacheParameterGroupName": "names"}
    with replication_group(api, "late", EngineVersion="9.1", **request) as group:
        assert names(api, "late") == [REFUSED, UNKNOWN, OPEN], "rules need no module"
        wait_for("it is in sync", lambda: states(api, "late") == {("in-sync", "in-sync")})
        modify(api, "names", rename__commands="KEYS listKeys TYPE blocked")
        waiting = {("pending-reboot", "pending-reboot")}
        wait_for("all but new names works", lambda: names(api, "late") == [WORKS, UNKNOWN, REFUSED])
        wait_for("new names wait", lambda: states(api, "late") == waiting, 60)

        service.kill(signal.SIGTERM)
        service.start()
        wait_for("they wait, with a compiler, too", lambda: states(api, "late") == waiting, 60)
        assert names(api, "late") == [WORKS, UNKNOWN, REFUSED]
        for member in reversed(group["MemberClusters"]):
            reboot(api, service, member)
            await_healthy(api, "late")
        wait_for("all have it", lambda: names(api, "late") == [UNKNOWN, WORKS, REFUSED])
        wait_for("it is said", lambda: states(api, "late") == {("in-sync", "in-sync")}, 60)
