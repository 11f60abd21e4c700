"""The two parameters about what clients send, rename-commands and close-on-replica-write, in the engine's words. Pure.

Engines have neither. A command that is `blocked` is taken from users by rules (ACL), which all engines have; new names, and closed
connections, are of a module (engines/clients_module), which has them as parameters of its own. Called by valkey_directives and
access.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set

CLIENT_FILTERS = "client-filters"  # capability of an engine: modules learn who sends a command
CLIENTS_MODULE = "clients-module"  # capability of a launch: it has that module
RENAMES = "rename-commands"
_PREFIX = "cachefleet-clients."  # engines/clients_module/module.c
_BLOCKED = "blocked"  # the new name of a command that nobody shall have (reference 5.6)
_NAMES = ("close-on-replica-write", RENAMES)

# Of the commands that can be renamed: which are not in every version, by the capability of those that have them.
_COMMANDS = {
    "functions": "blmpop bzmpop expiretime lcs lmpop pexpiretime sintercard sort_ro zintercard zmpop",
    "hash-field-expiration": (
        "hexpire hexpireat hexpiretime hgetex hpersist hpexpire hpexpireat hpexpiretime hpttl hsetex httl"
    ),
}
_SINCE = {command: capability for capability, commands in _COMMANDS.items() for command in commands.split()}
_GONE = {"stralgo": "functions"}  # with which capability they went


def client_directives(parameters: Mapping[str, str], capabilities: Set[str]) -> Iterator[tuple[str, str]]:
    """Of a launch that has the module."""
    if CLIENTS_MODULE in capabilities:
        yield from ((f"{_PREFIX}{name}", parameters[name]) for name in _NAMES if name in parameters)


def parameter_of(directive: str) -> str:
    """ElastiCache's name of such a directive; "" for any other."""
    return directive.removeprefix(_PREFIX) if directive.startswith(_PREFIX) else ""


def blocking_rules(renames: str, capabilities: Set[str]) -> tuple[str, ...]:
    """Rules that come last of all, for a value of rename-commands. An engine takes none about a command that it does not have."""
    words = renames.lower().split()
    blocked = sorted(old for old, new in zip(words[::2], words[1::2], strict=True) if new == _BLOCKED)
    return tuple(f"-{command}" for command in blocked if _has(command, capabilities))


def _has(command: str, capabilities: Set[str]) -> bool:
    if command in _GONE:
        return _GONE[command] not in capabilities
    return command not in _SINCE or _SINCE[command] in capabilities
