"""Builds an engine from source, with a display of how far it is. Called by `cachefleet engines build`."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType

from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from cachefleet.app.installation import Installation
from cachefleet.cli.failure import Failure
from cachefleet.cli.table import screen
from cachefleet.engines.building import Built, build_valkey
from cachefleet.engines.catalogue import BUILT_FOLDER
from cachefleet.model.group import Engine
from cachefleet.settings import Settings


def build_engine(settings: Settings, engine: str, version: str, *, source: str, sha256: str, jobs: int) -> None:
    """Raises Failure, BuildFailed, NoSource, ToolsMissing; KeyboardInterrupt when it was cancelled, which leaves nothing."""
    if engine != Engine.VALKEY.value:
        raise Failure(
            f"{engine} cannot be built here; valkey can. Debian's packages redis-server and memcached can do TLS as they are"
        )
    if jobs < 1:
        raise Failure(f"--jobs is {jobs}; it is a number of compilers at a time, 1 or more")
    signal.signal(signal.SIGTERM, _cancel)
    with _Display() as display:
        built = build_valkey(
            settings.data_dir / BUILT_FOLDER, version, source=source, sha256=sha256, jobs=jobs, progress=display.show
        )
    _tell(built, settings)


def default_jobs() -> int:
    """A compiler for each core that we may use."""
    return len(os.sched_getaffinity(0))


def _tell(built: Built, settings: Settings) -> None:
    done = "is built" if built.fresh else "is there already"
    print(f"Valkey {built.version} with TLS and jemalloc {done}: {built.binary}")
    if Installation(settings.data_dir).services() and built.fresh:
        print("The service that runs here finds it when it is started again; the caches go on meanwhile.")


def _cancel(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


class _Display:
    """A bar on a terminal; else a line for each step."""

    def __init__(self) -> None:
        self._step = ""
        self._bar: Progress | None = None
        if sys.stdout.isatty():
            self._bar = Progress(
                TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn(), console=screen()
            )

    def __enter__(self) -> _Display:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def show(self, step: str, done: float) -> None:
        """done: 0.0 to 1.0 of that step."""
        if step != self._step:
            self._step = step
            if self._bar is not None:
                for task in self._bar.task_ids:
                    self._bar.update(task, completed=1.0)
                self._bar.add_task(step, total=1.0)
            else:
                print(f"{step} ...", flush=True)
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[-1], completed=done)
