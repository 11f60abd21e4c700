"""python -m tests.traffic KIND HOST PORT FILE PREFIX KEYS RATE: write and read until standard input ends.

Writes and reads take turns, and so do the keys PREFIX:0, PREFIX:1, ... Every attempt to write has a value of its own. What
failed is tried once more, at once. RATE: operations a second that are due, whether or not earlier ones took their time; what is
late is done without a pause. FILE gets a record for every operation; what went wrong is told to standard error.
"""

from __future__ import annotations

import itertools
import os
import sys
import threading
import time

from tests.traffic.clients import KINDS, Commands
from tests.traffic.operation import Operation, Outcome


class Client:
    """One after the other."""

    def __init__(self, commands: Commands, prefix: str, keys: int) -> None:
        self._commands = commands
        self._names = [f"{prefix}:{number}" for number in range(keys)]
        self._allowed: list[set[int | None]] = [{None} for _ in range(keys)]  # what a read of each key may show

    def operate(self, serial: int, due_s: float) -> Operation:
        """A write of one key; a read of one that was written half a round ago."""
        write, turn = serial % 2 == 0, serial // 2
        key = (turn if write else turn + len(self._names) // 2) % len(self._names)
        outcome, tries, value = Outcome.FAILED, 0, 0
        while outcome is Outcome.FAILED and tries < 2:
            value = 2 * turn + tries
            tries += 1
            try:
                outcome = self._push(key, value) if write else self._look(key)
            except Exception as error:
                print(
                    f"{time.perf_counter():.4f} {self._names[key]} try {tries}: {type(error).__name__}: {error}",
                    file=sys.stderr,
                )
        return Operation(due_s, time.perf_counter(), key, value, write, tries, outcome)

    def _push(self, key: int, value: int) -> Outcome:
        self._allowed[key].add(value)  # should it fail, it may be there all the same
        self._commands.push(self._names[key], value)
        self._allowed[key] = {value}
        return Outcome.DONE

    def _look(self, key: int) -> Outcome:
        found = self._commands.last(self._names[key])
        if found in self._allowed[key]:
            return Outcome.DONE
        print(f"{time.perf_counter():.4f} {self._names[key]}: {found} instead of {self._allowed[key]}", file=sys.stderr)
        return Outcome.WRONG


def _await_end(ended: threading.Event) -> None:
    sys.stdin.read()
    ended.set()


def main(kind: str, host: str, port: str, path: str, prefix: str, keys: str, rate: str) -> None:
    ended = threading.Event()
    threading.Thread(target=_await_end, args=(ended,), daemon=True).start()
    record = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with KINDS[kind]((host, int(port))) as commands:
        client = Client(commands, prefix, int(keys))
        begun_s = time.perf_counter()
        for serial in itertools.count():
            due_s = begun_s + serial / float(rate)
            while (early_s := due_s - time.perf_counter()) > 0 and not ended.is_set():
                time.sleep(min(early_s, 0.05))
            if ended.is_set():
                break
            os.write(record, client.operate(serial, due_s).packed())
    os.close(record)


if __name__ == "__main__":
    main(*sys.argv[1:])
