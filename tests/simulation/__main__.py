"""Run the simulation: `python -m tests.simulation --seeds 0:500 --jobs 2`, or `--seed N --trace` to replay one.

Prints each failing seed with its violations and the end of its trace. Ends with 1 when there is one.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time
from collections.abc import Iterator, Sequence
from functools import partial

from tests.simulation.scenario import Outcome, run

_TAIL = 25


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, help="replay this one")
    parser.add_argument("--trace", action="store_true", help="with --seed: print all that happened")
    parser.add_argument("--only", action="append", default=[], help="only this kind of fault or plot (may be repeated)")
    parser.add_argument("--seeds", default="0:500", help="FIRST:LAST, the last one not included (0:500)")
    parser.add_argument("--jobs", type=int, default=multiprocessing.cpu_count(), help="processes at once")
    parser.add_argument("--digests", action="store_true", help="print a digest of each run")
    parser.add_argument("--most-failures", type=int, default=10, help="stop after that many")
    options = parser.parse_args(arguments)
    if options.seed is not None:
        return _replay(options.seed, options.trace, options.only)
    first, _, last = options.seeds.partition(":")
    return _many(range(int(first), int(last)), options)


def _replay(seed: int, trace: bool, only: list[str]) -> int:
    outcome = run(seed, keep_trace=trace, only=only)
    if trace:
        print("\n".join(outcome.tail))
    print(_summary(outcome))
    return 1 if outcome.violations else 0


def _many(seeds: range, options: argparse.Namespace) -> int:
    began = time.monotonic()
    failed = acked = lost = promotions = done = 0
    for outcome in _outcomes(seeds, options.jobs, options.only):
        done += 1
        if options.digests:
            print(f"digest {outcome.seed} {outcome.digest}")
        acked, lost, promotions = acked + outcome.acked, lost + outcome.lost, promotions + outcome.promotions
        if outcome.violations:
            failed += 1
            print("\n".join(outcome.tail[-_TAIL:]))
            print(_summary(outcome))
            kinds = "".join(f" --only '{kind}'" for kind in options.only)
            print(f"replay: python -m tests.simulation --seed {outcome.seed} --trace{kinds}\n", flush=True)
            if failed >= options.most_failures:
                break
    print(
        f"{done} seeds in {time.monotonic() - began:.0f} s, {failed} failed; {promotions} promotions, "
        f"{acked} writes acknowledged, {lost} of them lost where that is allowed"
    )
    return 1 if failed else 0


def _outcomes(seeds: range, jobs: int, only: list[str]) -> Iterator[Outcome]:
    one = partial(run, only=only)
    if jobs == 1:
        yield from map(one, seeds)
        return
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        yield from pool.imap(one, seeds, chunksize=2)


def _summary(outcome: Outcome) -> str:
    said = [f"seed {outcome.seed}: {violation}" for violation in outcome.violations] or [f"seed {outcome.seed} holds"]
    return "\n".join([*said, f"  {outcome.virtual_s - 1000:.1f} virtual seconds, {outcome.acked} writes, {outcome.lost} lost"])


if __name__ == "__main__":
    sys.exit(main())
