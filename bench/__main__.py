"""python -m bench [PART...] [--rounds N] [--write]: measure all parts, or those named, print the table, write
docs/performance.md.

Every part runs its own service in a folder of its own; whatever was started is ended with it, also on Ctrl-C or a kill.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import FrameType

from bench import api, backup, changes, collection, creation, failover, idle, insight, load_balance, resharding, throughput
from bench.machine import busy_share, description, today
from bench.row import Row, shown
from bench.table import page, print_table, section, sections_of

PAGE = Path(__file__).resolve().parent.parent / "docs" / "performance.md"
Measure = Callable[[Path], Iterator[Row]]
PARTS: dict[str, tuple[Measure, str | None]] = {
    "creation": (creation.measure, creation.NOTE),
    "failover": (failover.measure, failover.NOTE),
    "changes": (changes.measure, changes.NOTE),
    "resharding": (resharding.measure, resharding.NOTE),
    "balance": (load_balance.measure, load_balance.NOTE),
    "backup": (backup.measure, backup.NOTE),
    "throughput": (throughput.measure, throughput.NOTE),
    "api": (api.measure, api.NOTE),
    "idle": (idle.measure, idle.NOTE),
    "collection": (collection.measure, collection.NOTE),
    "insight": (insight.measure, insight.NOTE),
}


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="bench", description="Measure the product; see docs/performance.md.")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; none: all")
    parser.add_argument("--rounds", type=int, default=failover.ROUNDS, help="failover: of each fault (%(default)s)")
    parser.add_argument(
        "--keys", type=int, default=resharding.KEYS, help="resharding, backup: how many are moved, or restored (%(default)s)"
    )
    parser.add_argument("--megabytes", type=int, default=backup.MEGABYTES, help="backup: how much data (%(default)s)")
    parser.add_argument("--write", action="store_true", help="write docs/performance.md")
    chosen = parser.parse_args(arguments)
    unknown = set(chosen.parts) - set(PARTS)
    if unknown:
        parser.error(f"there is no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    if chosen.rounds < 1:
        parser.error(f"--rounds is {chosen.rounds}; it is 1 or more")
    names = [name for name in PARTS if name in chosen.parts or not chosen.parts]
    machine = description()
    kept = sections_of(PAGE.read_text(), machine) if PAGE.exists() else {}
    if chosen.write and kept is None and set(names) != set(PARTS):
        parser.error(f"{PAGE.name} has figures of another machine: measure all parts, so that it has none of both")
    signal.signal(signal.SIGTERM, _stop)
    parts: dict[str, tuple[Measure, str | None]] = {
        **PARTS,
        "failover": (partial(failover.measure, rounds=chosen.rounds), failover.NOTE),
        "resharding": (partial(resharding.measure, keys=chosen.keys), resharding.NOTE),
        "backup": (partial(backup.measure, megabytes=chosen.megabytes, restored_keys=chosen.keys), backup.NOTE),
    }
    results, sections = {}, {} if kept is None else kept
    for name in names:
        measure, note = parts[name]
        before = busy_share()
        results[name] = _run(name, measure)
        load = f"load before and after: {before:.1f} and {busy_share():.1f} processes per core"
        sections[name] = section(name, note or "", f"Measured on {today()}; {load}.", results[name])
        print(f"{name}: {load}", file=sys.stderr)
    for what, value in machine:
        print(f"{what}: {value}")
    print_table(results)
    if chosen.write:
        PAGE.write_text(page(machine, {name: sections[name] for name in PARTS if name in sections}))
        print(f"written: {PAGE}")
    return 0


def _run(name: str, measure: Measure) -> list[Row]:
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
