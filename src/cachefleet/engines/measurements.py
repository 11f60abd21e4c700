"""What an engine says of itself, as numbers: every field of INFO or of stats. Pure; knows no metric.

`name:value` becomes name; `name:a=1,b=2` becomes name.a and name.b. What is no number is left out, but for two words.
"""

from __future__ import annotations

from collections.abc import Mapping

_WORDS = {("role", "master"): ("primary", 1.0), ("role", "slave"): ("primary", 0.0)}
_LINK = "master_link_status"
_IAM = ("iam_connections", "iam_let_in", "iam_refused", "iam_ended")  # behind the fingerprint of the rules


def readings(info: str) -> dict[str, float]:
    """From INFO everything."""
    found: dict[str, float] = {}
    for line in info.splitlines():
        name, colon, value = line.partition(":")
        if not colon or name.startswith("#"):
            continue
        if (name, value) in _WORDS:
            word, number = _WORDS[name, value]
            found[word] = number
        elif name == _LINK:
            found[_LINK] = float(value == "up")
        elif "=" in value:
            found |= _parts(name, value)
        else:
            _put(found, name, value)
    return found


def iam_readings(state: object = None) -> dict[str, float]:
    """From CACHEFLEET.IAM STATE, where the engine has that module."""
    if not isinstance(state, list) or len(state) != 1 + len(_IAM):
        return {}
    return {name: float(number) for name, number in zip(_IAM, state[1:], strict=True)}


def numbers(stats: Mapping[str, str]) -> dict[str, float]:
    """From Memcached's stats."""
    found: dict[str, float] = {}
    for name, value in stats.items():
        _put(found, name, value)
    return found


def _parts(name: str, value: str) -> dict[str, float]:
    found: dict[str, float] = {}
    for part in value.split(","):
        key, _, number = part.partition("=")
        _put(found, f"{name}.{key}", number)
    return found


def _put(found: dict[str, float], name: str, value: str) -> None:
    try:
        number = float(value)
    except ValueError:
        return
    if number - number == 0:  # neither infinite nor no number
        found[name] = number
