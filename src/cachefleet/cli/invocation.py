"""How the user would type another of our commands: by the way this one was called, with the same data folder."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path

from cachefleet.settings import Settings


def command(name: str, settings: Settings, *arguments: str) -> str:
    """`cachefleet NAME ARGUMENTS` as it works in this shell and folder, with --data unless the folder is the default one. A
    name may be of two words."""
    words = [_program(), *name.split(), *arguments]
    if settings.data_dir != Settings().data_dir:
        words += ["--data", str(settings.data_dir)]
    return shlex.join(words)


def _program() -> str:
    called = Path(sys.argv[0]).absolute()
    found = shutil.which("cachefleet")
    if found and Path(found).absolute() == called:
        return "cachefleet"
    if called.name != "cachefleet":
        return "cachefleet"
    relative = os.path.relpath(called)
    return str(called) if relative.startswith("..") else relative
