"""What the keys of a group say, in words and tables, asked of the running service. Called by `cachefleet insight`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from rich.markup import escape

from cachefleet.cli.failure import Failure
from cachefleet.cli.invocation import command
from cachefleet.cli.public_api import Refused, insight, running_service
from cachefleet.cli.table import Shown, plain_table, screen, show_report
from cachefleet.clock import Clock
from cachefleet.settings import Settings

LOOK_AGAIN_S = 0.3
PATIENCE_S = 60.0  # beside the time that was asked for
NAMES = 10  # of each kind
_IDLE_WORDS = {3600: "an hour", 86_400: "a day", 604_800: "a week"}


def show_insight(settings: Settings, group: str, seconds: int, clock: Clock, *, as_json: bool) -> None:
    """Asks, waits and prints. Raises Failure, and what the client of the API raises."""
    service, keys = running_service(settings)
    try:
        asked = insight(service, keys, "POST", group=group, seconds=str(seconds))
        if not as_json:
            print(f"Looking at {asked['group']} for {asked['seconds']} s ...", flush=True)
        wait_s = 2 * asked["seconds"] + PATIENCE_S  # a lone node is looked at twice
        found = asyncio.run(_answer(lambda: insight(service, keys, "GET", group=group), clock, wait_s))
    except Refused as error:
        raise Failure(str(error)) from None
    if found is None:
        raise Failure(
            f"nothing was found within {wait_s:g} s; is there a service that leads? See {command('status', settings)}"
        )
    if found["state"] == "failed":
        raise Failure(f"the keys of {found['group']} could not be looked at: {found['why']}")
    if as_json:
        print(json.dumps(found, indent=2))
        return
    report = found["report"]
    show_report(lines_of(report), tables_of(report))


def show_advice(settings: Settings, *, as_json: bool) -> None:
    """Raises Failure, and what the client of the API raises."""
    service, keys = running_service(settings)
    try:
        advice = insight(service, keys, "GET")["advice"]
    except Refused as error:
        raise Failure(str(error)) from None
    if as_json:
        print(json.dumps(advice, indent=2))
        return
    if not advice:
        print("No group is idle or larger than it need be, as far as it was measured (a day at least, 14 days at most).")
        return
    table = plain_table(("NAME", "FINDING", "COULD BE", "WHY"))
    for one in advice:
        table.add_row(*map(escape, (one["name"], one["finding"], one["node_type"], one["why"])))
    screen().print(table)


def lines_of(report: Mapping[str, Any]) -> Iterator[str]:
    """Pure: what was found, in sentences."""
    trace, keyspace = report["trace"], report["keyspace"]
    if trace["hit_rate"] is not None:
        yield f"{trace['hit_rate']:.1%} of {trace['reads']:,} reads in {trace['seconds']:.0f} s hit."
    elif trace["seconds"]:
        yield f"No key was read in {trace['seconds']:.0f} s."
    if trace["memory_bytes"]:
        yield f"{size(trace['used_bytes'])} of {size(trace['memory_bytes'])} for data are used."
    yield from _of_sizes(trace)
    for seconds, share in keyspace["idle"].items():
        if share >= 0.01:
            yield f"{share:.0%} of the memory is in keys not used for {_IDLE_WORDS.get(int(seconds), f'{seconds} s')}."
    if trace["why"]:
        yield f"No hit rates of other sizes: {trace['why']}."
    for why in report["missing"]:
        yield f"Not found out: {why}"


def _of_sizes(trace: Mapping[str, Any]) -> Iterator[str]:
    now = trace["hit_rate"]
    if now is None or not trace["points"]:
        return
    if not trace["evicting"]:
        yield "The memory was never full: more of it would change nothing."
    for point in trace["points"]:
        times, rate = point["times"], point["hit_rate"]
        if rate is None:
            seen = size(trace["seen_bytes"])
            yield f"{_times(times)} the memory: not known, since only {seen} were seen in use; look longer."
        elif times < 1 or (times > 1 and trace["evicting"]):
            change = "raise" if rate > now else "lower"
            told = f"{change} the hit rate from {now:.1%} to {rate:.1%}" if f"{rate:.1%}" != f"{now:.1%}" else "change nothing"
            yield f"{_times(times)} the memory would {told}."


def _times(times: float) -> str:
    words = {0.25: "A quarter of", 0.5: "Half", 0.75: "Three quarters of", 1.5: "One and a half times", 2.0: "Twice"}
    return words.get(times, f"{times:g} times")


def tables_of(report: Mapping[str, Any]) -> Iterator[Shown]:
    """Pure: (title, headings, rows) of what there is."""
    keyspace = report["keyspace"]
    hot = report["hot"][:NAMES]
    if hot:
        by_engine = hot[0]["source"] == "lfu"
        title = "Keys used most, by the engine's counters" if by_engine else "Keys used most"
        share = "OF THE HIGHEST" if by_engine else "OF ALL USES"
        yield title, ("KEY", share), [(one["name"], f"{one['share']:.1%}") for one in hot]
    if keyspace["big"]:
        rows = [(one["name"], one["type"], size(one["bytes"])) for one in keyspace["big"][:NAMES]]
        yield "Largest keys", ("KEY", "TYPE", "SIZE"), rows
    looked = f"{keyspace['looked_at']:,} of {keyspace['keys']:,} keys were looked at"
    for title, portions in (("Memory by type", keyspace["types"]), ("Memory by beginning of the name", keyspace["prefixes"])):
        if portions:
            whole = sum(one["bytes"] for one in keyspace["types"]) or 1
            shown = [
                (one["name"], f"{one['keys']:,}", size(one["bytes"]), f"{one['bytes'] / whole:.0%}") for one in portions[:NAMES]
            ]
            yield f"{title} ({looked})", ("", "KEYS", "SIZE", "SHARE"), shown


def size(count: float) -> str:
    """In the largest unit of which there is at least one."""
    for unit, one in (("GB", 1 << 30), ("MB", 1 << 20), ("KB", 1 << 10)):
        if count >= one:
            return f"{count / one:.1f} {unit}"
    return f"{count:.0f} B"


async def _answer(look: Callable[[], Any], clock: Clock, timeout_s: float) -> Any:
    """None when it was not in time."""
    give_up_at = clock.monotonic() + timeout_s
    while clock.monotonic() < give_up_at:
        found = look()
        if found["state"] in ("done", "failed"):
            return found
        await clock.sleep(LOOK_AGAIN_S)
    return None
