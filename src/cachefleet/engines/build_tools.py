"""What it takes to compile on this machine, looked for before anything is compiled. Called by building.py and iam_module.py."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess

_COMPILE_TIMEOUT_S = 60.0
_PACKAGES = {  # what is missing -> Debian and Ubuntu; Fedora and its kin
    "make": ("make", "make"),
    "a C compiler": ("gcc", "gcc"),
    "the headers of the C library": ("libc6-dev", "glibc-devel"),
    "the headers of OpenSSL": ("libssl-dev", "openssl-devel"),
}


class ToolsMissing(Exception):
    """What is missing on this machine; the message names the packages that have it."""


def compiler_name() -> str:
    """The C compiler's command: $CC, cc or gcc; "" when there is none."""
    named = os.environ.get("CC", "")
    if named and shlex.split(named) and shutil.which(shlex.split(named)[0]):
        return named
    return next((name for name in ("cc", "gcc", "clang") if shutil.which(name)), "")


def require_tools() -> str:
    """For an engine. Returns the compiler's command. Raises ToolsMissing."""
    missing = [] if shutil.which("make") else ["make"]
    compiler = compiler_name()
    if not compiler:
        missing += ["a C compiler", "the headers of the C library"]
        if not os.path.exists("/usr/include/openssl/ssl.h"):  # noqa: PTH110
            missing.append("the headers of OpenSSL")
    elif not _compiles(compiler, "#include <stdio.h>\nint main(void) { return 0; }\n"):
        missing += ["the headers of the C library"]
    elif not _compiles(
        compiler, "#include <openssl/ssl.h>\nint main(void) { return SSL_library_init(); }\n", "-lssl", "-lcrypto"
    ):
        missing.append("the headers of OpenSSL")
    if missing:
        raise ToolsMissing(told_missing("an engine cannot be built here", missing))
    return compiler


def told_missing(what: str, missing: list[str]) -> str:
    debian = " ".join(_PACKAGES[name][0] for name in missing)
    fedora = " ".join(_PACKAGES[name][1] for name in missing)
    return f"{what}: {', '.join(missing)} missing. As root: apt-get install {debian} (Fedora: dnf install {fedora})"


def _compiles(compiler: str, program: str, *options: str) -> bool:
    """A whole program, linked and thrown away."""
    command = [*shlex.split(compiler), "-x", "c", "-", "-o", "/dev/null", *options]
    try:
        done = subprocess.run(command, input=program.encode(), capture_output=True, timeout=_COMPILE_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
