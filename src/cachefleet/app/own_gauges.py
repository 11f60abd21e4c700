"""What the parts of a service are asked for when Prometheus scrapes it. Called by service, which puts the parts together."""

from __future__ import annotations

import shutil
from pathlib import Path

from cachefleet.app.parts import Parts
from cachefleet.interfaces import Deposed
from cachefleet.metrics.instruments import Instruments


def watch_parts(instruments: Instruments, parts: Parts, data_dir: Path) -> None:
    """All are quick: they are asked in the event loop."""

    def token() -> float:
        try:
            return parts.leadership.token()
        except Deposed:
            return 0

    def free() -> float:
        try:
            return shutil.disk_usage(data_dir).free
        except OSError:  # the folder is gone; the service notices by itself
            return 0

    controller = parts.controller
    for name, about, read in (
        ("cachefleet_leader", "1 where the control loop runs: in one of several services.", lambda: float(token() > 0)),
        ("cachefleet_leader_token", "Rises with each change of the leader; 0 where the control loop does not run.", token),
        ("cachefleet_controller_queue_depth", "Groups that are due and wait for a worker.", lambda: controller.overdue()[0]),
        ("cachefleet_controller_queue_oldest_seconds", "How long the first of them waits.", lambda: controller.overdue()[1]),
        ("cachefleet_controller_acting_groups", "Groups of which actions are under way.", controller.acting),
        ("cachefleet_engine_processes", "Processes of caches that run here.", parts.host.running),
        ("cachefleet_data_free_bytes", "Room on the disk of the data folder.", free),
    ):
        instruments.gauge(name, about, read)
