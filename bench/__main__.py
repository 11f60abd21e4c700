"""python -m bench [NAME...] [--write]: measure all parts, or those named, print the table, and write docs/performance.md.

Every part runs its own service in a folder of its own; whatever was started is ended with it, also on Ctrl-C or a kill.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

from bench import api, creation, failover, idle, throughput
from bench.machine import busy_share, description
from bench.row import Row, shown
from bench.table import page, print_table

PAGE = Path(__file__).resolve().parent.parent / "docs" / "performance.md"
PARTS: dict[str, tuple[Callable[[Path], Iterator[Row]], str | None]] = {
    "creation": (creation.measure, creation.NOTE),
    "failover": (failover.measure, failover.NOTE),
    "throughput": (throughput.measure, throughput.NOTE),
    "api": (api.measure, api.NOTE),
    "idle": (idle.measure, idle.NOTE),
}


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="bench", description="Measure the product; see docs/performance.md.")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; none: all")
    parser.add_argument("--write", action="store_true", help="write docs/performance.md")
    chosen = parser.parse_args(arguments)
    unknown = set(chosen.parts) - set(PARTS)
    if unknown:
        parser.error(f"there is no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    signal.signal(signal.SIGTERM, _stop)
    machine = description()
    before = busy_share()
    results = {name: _run(name) for name in PARTS if name in chosen.parts or not chosen.parts}
    machine.append(("load before and after", f"{before:.1f} and {busy_share():.1f} processes per core"))
    for what, value in machine:
        print(f"{what}: {value}")
    print_table(results)
    if chosen.write:
        PAGE.write_text(page(machine, results, {name: note or "" for name, (_, note) in PARTS.items()}))
        print(f"written: {PAGE}")
    return 0


def _run(name: str) -> list[Row]:
    measure, _ = PARTS[name]
    rows = []
    with tempfile.TemporaryDirectory(prefix=f"cachefleet-bench-{name}-", ignore_cleanup_errors=True) as folder:
        for row in measure(Path(folder) / "data"):
            values = ", ".join(shown(value, row.unit) for value in row.values)
            print(f"{name}: {row.figure}: {values}", file=sys.stderr, flush=True)
            rows.append(row)
    return rows


def _stop(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
