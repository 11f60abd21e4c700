"""A simulated process: it runs a program, and can be frozen, kept busy, or ended. Its sockets are the kernel's: they take
connections and bytes also while it does nothing, and it finds those when it goes on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from cachefleet.model.observed import Activity
from tests.simulation.network import End, Network


class Program(Protocol):
    """What runs in a process."""

    def start(self) -> None: ...

    def received(self, end: End | None, payload: Any) -> None: ...

    def lost(self, end: End) -> None: ...


class Process:
    """party: its own address. on_end(process, how): told once."""

    def __init__(self, network: Network, incarnation: str, pid: int, host: str, on_end: Callable[[Process, str], None]) -> None:
        self.network = network
        self.incarnation = incarnation
        self.pid = pid
        self.party = host
        self.port = 0  # that of its group
        self.ports: dict[int, bool] = {}  # on which it listens, and whether with TLS; without any on that of its group
        self.running = True
        self.frozen = False
        self.busy = False
        self.loads = False  # it reads its data, and does nothing else
        self.ended_s = 0.0
        self.still_since_s = 0.0  # when it began to do nothing, if it does
        self.last_still_s = -1e9  # when that was over last
        self.cpu_s = 0.0
        self.listens: list[str] = []
        self.ends: list[End] = []
        self.program: Program
        self._inbox: list[tuple[Callable[..., None], tuple[Any, ...]]] = []
        self._on_end = on_end

    # --- time ---

    @property
    def still(self) -> bool:
        """It does nothing for others at present."""
        return self.frozen or self.busy or self.loads

    def after(self, delay_s: float, callback: Callable[..., None], *args: Any) -> None:
        """In this process: later when it is still, never when it has ended."""
        self.network.loop.after(delay_s, self.do, callback, *args)

    def do(self, callback: Callable[..., None], *args: Any) -> None:
        if not self.running:
            return
        if self.still:
            self._inbox.append((callback, args))
        else:
            callback(*args)

    def every(self, interval_s: float, callback: Callable[[], None]) -> None:
        def again() -> None:
            callback()
            self.after(interval_s, again)

        self.after(interval_s, again)

    def hold(self, *, frozen: bool) -> None:
        if not self.still:
            self.still_since_s = self.network.now()
        self.frozen, self.busy = frozen or self.frozen, not frozen or self.busy

    def release(self) -> None:
        """It goes on, with what came meanwhile."""
        if not self.running:
            return
        self.frozen = self.busy = False
        self._go_on()

    def end_load(self) -> None:
        """It has its data; what came meanwhile comes now."""
        self.loads = False
        self._go_on()

    def _go_on(self) -> None:
        self.last_still_s = self.network.now()
        while self._inbox and not self.still and self.running:
            callback, args = self._inbox.pop(0)
            callback(*args)

    def activity(self) -> Activity | None:
        if not self.running:
            return None
        if self.busy and not self.frozen:
            self.cpu_s = self.network.now()
        return Activity(stopped=self.frozen, busy=self.busy and not self.frozen, cpu_s=self.cpu_s)

    def end(self, how: str, *, losing: bool = False) -> None:
        """losing: what it had written to other nodes' sockets last has not left it."""
        if not self.running:
            return
        self.running = False
        self.ended_s = self.network.now()
        for host in list(self.listens):
            self.deafen(host)
        self.network.silence(self)
        for end in self.ends:
            if losing and end.peer.owner.party != "clients":
                end.forget()
            end.close()
        self._inbox.clear()
        self._on_end(self, how)

    # --- sockets ---

    @property
    def _open_ports(self) -> dict[int, bool]:
        return self.ports or {self.port: False}

    def listen(self, host: str) -> bool:
        """On all its ports, or on none."""
        heard = [self.network.listen(self, host, port, encrypted=encrypted) for port, encrypted in self._open_ports.items()]
        if not all(heard):
            for port in self._open_ports:
                self.network.deafen(self, host, port)
            return False
        if host not in self.listens:
            self.listens.append(host)
        return True

    def deafen(self, host: str) -> None:
        self.listens.remove(host)
        for port in self._open_ports:
            self.network.deafen(self, host, port)

    def is_free(self, host: str) -> bool:
        """Nobody else listens there."""
        holders = [self.network.listener(host, port) for port in self._open_ports]
        return all(holder is None or holder is self for holder in holders)

    def accepted(self, end: End) -> None:
        self.ends = [known for known in self.ends if known.open]
        self.ends.append(end)

    def received(self, end: End | None, payload: Any) -> None:
        self.do(self.program.received, end, payload)

    def lost(self, end: End) -> None:
        self.do(self.program.lost, end)
