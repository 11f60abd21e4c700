"""Declare a zone lost, as a drill, and have it back. Called by `cachefleet zone out`, `back` and `list`.

Writes what is so into the data folder; a running service sees it at its next look, one that starts later at its first.
"""

from __future__ import annotations

from cachefleet.app.installation import Installation
from cachefleet.cli.failure import Failure
from cachefleet.cli.invocation import command
from cachefleet.reference.zones import ZONE_LETTERS
from cachefleet.settings import Settings


def declare_zone(settings: Settings, letter: str, *, out: bool) -> None:
    """Raises Failure for a zone that does not exist, NotInstalled."""
    if letter not in ZONE_LETTERS:
        raise Failure(f"there is no zone {letter!r}; the zones are {', '.join(ZONE_LETTERS)}")
    changed = Installation(settings.data_dir).declare_zone(letter, out=out)
    if out and changed:
        print(f"Zone {letter} is out: its nodes end, others take over.")
        print(f"Have it back with: {command('zone back', settings, letter)}")
    elif out:
        print(f"Zone {letter} was out already.")
    else:
        print(f"Zone {letter} is back: its nodes start again." if changed else f"Zone {letter} was not out.")


def show_zones(settings: Settings) -> None:
    """One line a zone. Raises NotInstalled."""
    lost = Installation(settings.data_dir).zones_out()
    for letter in ZONE_LETTERS:
        print(f"{letter}  {'out' if letter in lost else 'in service'}")
