"""The two parameters about what clients send, rename-commands and close-on-replica-write, in the engine's words. Pure.

Engines have neither. A command that is `blocked` is taken from users by rules (ACL), which all engines have; new names and
closed connections are of a module (engines/clients_module), which has them as parameters of its own. Called by
valkey_directives, valkey_parameters and access.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set

MODULE_PARAMETERS = "module-parameters"  # capability of an engine that can have the module
CLIENT_FILTERS = "client-filters"  # and of one whose modules learn who sends a command, so that they can rename it
CLIENTS_MODULE = "clients-module"  # capability of a launch: it has that module
RENAMES = "rename-commands"
_PREFIX = "cachefleet-clients."  # engines/clients_module/module.c
_BLOCKED = "blocked"  # the new name of a command that nobody shall have (reference 5.6)
_NAMES = {"close-on-replica-write": MODULE_PARAMETERS, RENAMES: CLIENT_FILTERS}  # by what they take

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
        can = [name for name, needed in _NAMES.items() if needed in capabilities]
        yield from ((f"{_PREFIX}{name}", parameters[name]) for name in can if name in parameters)


def with_clients_module(capabilities: Set[str]) -> Set[str]:
    """Of a launch of such an engine that has the module, if the engine can let it."""
    return {*capabilities, CLIENTS_MODULE} if MODULE_PARAMETERS in capabilities else capabilities


def needs_module(directive: str, value: str) -> bool:
    """Whether a node that does not know this directive lacks something: new names. It was launched without the module."""
    return parameter_of(directive) == RENAMES and any(new.lower() != _BLOCKED for _, new in _pairs(value))


def parameter_of(directive: str) -> str:
    """ElastiCache's name of such a directive; "" for any other."""
    return directive.removeprefix(_PREFIX) if directive.startswith(_PREFIX) else ""


def blocking_rules(renames: str, capabilities: Set[str]) -> tuple[str, ...]:
    """Rules that come last of all, for a value of rename-commands; none about commands that this engine does not have."""
    blocked = sorted(old.lower() for old, new in _pairs(renames) if new.lower() == _BLOCKED)
    return tuple(f"-{command}" for command in blocked if _has(command, capabilities))


def _pairs(renames: str) -> list[tuple[str, str]]:
    words = renames.split()
    return list(zip(words[::2], words[1::2], strict=True))


def _has(command: str, capabilities: Set[str]) -> bool:
    if command in _GONE:
        return _GONE[command] not in capabilities
    return command not in _SINCE or _SINCE[command] in capabilities
