"""Several services on one PostgreSQL and one data folder, and who of them leads, found without asking any of them."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from cachefleet.app.logs import log_file
from cachefleet.app.services import leader_of, running_services
from tests.fixtures.machine import data_folder
from tests.fixtures.service import CACHEFLEET, Service, running_service, wait_for

DOOMED = (sys.executable, str(Path(__file__).with_name("doomed_service.py")))
TAKEOVER_S = 5.0  # what the lease's time and a standby's looks must stay within


class Crew:
    def __init__(self, data: Path, services: list[Service]) -> None:
        self.data, self.services = data, services

    def leader(self) -> Service | None:
        """The one with the newest token among those that have not ended; a frozen one counts until another has taken over."""
        found = leader_of(running_services(self.data))
        return next((service for service in self.services if found and self.pid(service) == found.pid), None)

    def await_leader(self, *, but: Service | None = None, timeout_s: float = TAKEOVER_S) -> tuple[Service, float]:
        """Who leads, when that is another than `but`; and the seconds that it took."""
        begun = time.monotonic()
        found: list[Service] = []

        def seen() -> bool:
            leader = self.leader()
            if leader is None or leader is but:
                return False
            found.append(leader)
            return True

        wait_for("another service leads" if but else "a service leads", seen, timeout_s, every_s=0.005)
        return found[0], time.monotonic() - begun

    def standby(self, but: Service | None = None) -> Service:
        """One that runs and does not lead."""
        leader = self.leader()
        return next(each for each in self.services if each is not leader and each is not but and each.process is not None)

    def pid(self, service: Service) -> int:
        return service.process.pid if service.process is not None else 0

    def token(self, service: Service) -> int:
        """That it believes to hold."""
        return next((info.token for info in running_services(self.data) if info.pid == self.pid(service)), 0)

    def freeze(self, service: Service) -> None:
        os.kill(self.pid(service), signal.SIGSTOP)
        self.await_frozen(service)

    def await_frozen(self, service: Service) -> None:
        wait_for("it is frozen", lambda: state_of(self.pid(service)) == "T")

    def thaw(self, service: Service) -> None:
        """Returns when it knows that it was deposed."""
        os.kill(self.pid(service), signal.SIGCONT)
        wait_for("it knows that it does not lead", lambda: self.token(service) == 0, 5)

    def log_of(self, service: Service) -> str:
        numbers = range(1, len(self.services) + 1)
        logs = [log_file(self.data, number).read_text() for number in numbers if log_file(self.data, number).exists()]
        return next(log for log in logs if f'"process": {self.pid(service)}' in log)


def state_of(pid: int) -> str:
    """ "T" when it is stopped by a signal."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


@contextmanager
def crew(url: str, count: int, *, program: Sequence[str] = (CACHEFLEET,)) -> Iterator[Crew]:
    """All of them answer, and one leads."""
    options = ("--database-url", url)
    with data_folder() as data, running_service(data, *options, program=program) as first:
        made = Crew(data, [first])
        try:
            for _ in range(count - 1):
                made.services.append(Service(data, *options, program=program))
                made.services[-1].start()
            made.await_leader(timeout_s=20)
            yield made
        finally:
            for service in made.services:
                if service.process is not None:
                    os.kill(service.process.pid, signal.SIGCONT)
            for service in made.services[1:]:
                if service.process is not None:
                    service.process.kill()
                    service.process.wait(15)
                    service.process = None
