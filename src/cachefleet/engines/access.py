"""Whom an engine lets in, in its own words: ACL rules of users, and what no client may do. Pure.

Users of the engine are the caches' clients; ours are two more: one that looks and gives orders, and one as which nodes reach
each other. Knows rules, not connections. Called by valkey_config (what a node starts with) and by AccessVerbs (what it is told
later).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence, Set

from cachefleet.engines.clients_parameters import blocking_rules
from cachefleet.model.access import RESERVED, EngineUser, digest, fingerprint
from cachefleet.model.config_access import parts as config_parts

CONTROLLER = RESERVED
PEER = f"{RESERVED}-peer"
_MARK = f"{RESERVED}-has-"

# Reference 5.5, and what engines have beside it that would take a node out of our hands or give its passwords away.
_WITHHELD = (
    "bgrewriteaof",
    "bgsave",
    "config",
    "debug",
    "failover",
    "migrate",
    "module",
    "pfdebug",
    "pfselftest",
    "psync",
    "replconf",
    "replicaof",
    "save",
    "shutdown",
    "slaveof",
    "sync",
)
_WITHHELD_PARTS = {
    "acl": ("deluser", "load", "save", "setuser"),
    "cluster": (
        "addslots",
        "addslotsrange",
        "bumpepoch",
        "delslots",
        "delslotsrange",
        "failover",
        "flushslots",
        "forget",
        "links",
        "meet",
        "replicate",
        "reset",
        "saveconfig",
        "set-config-epoch",
        "setslot",
    ),
}
_MIGRATION_PARTS = ("migrateslots", "cancelslotmigrations", "syncslots")
# Before engines could take single parts of a command away: all of it, and then these are given.
_GIVEN_PARTS = {
    "acl": ("cat", "genpass", "getuser", "help", "list", "log", "users", "whoami"),
    "cluster": (
        "count-failure-reports",
        "countkeysinslot",
        "getkeysinslot",
        "help",
        "info",
        "keyslot",
        "myid",
        "nodes",
        "replicas",
        "slaves",
        "slots",
    ),
}
_THEIR_CATEGORIES = ("all", "admin", "slow", "dangerous")  # of those commands, and of CONFIG
# What CONFIG becomes where a group's clients get its harmless part (engines/config_module/module.c). Engines put commands of
# modules into no category, so that what a user gets of it is said part by part.
CONFIG_MODULE = "config-module"  # capability of a launch: it has that module
_CONFIG_COMMANDS = {"get": "cachefleet.config-get", "set": "cachefleet.config-set"}
ASK_FOR_CONFIG = ("COMMAND", "INFO", _CONFIG_COMMANDS["get"])
# A node that takes slots over runs what their keys are made of, and later every write to them, as the user of who sends it.
_PEER_RULES = ("+psync", "+replconf", "+sync")

# What clients RESTORE is read to its end before it is believed: a broken payload could end the engine, or worse. Nodes that
# move keys have them from an engine.
_DISTRUST = ("sanitize-dump-payload", "clients")
_PEER_TRUST = "skip-sanitize-payload"

Directive = tuple[str, ...]
_CONTROLLER_LINE = re.compile(rf'^user {CONTROLLER} on "?#([0-9a-f]{{64}})', re.MULTILINE)


def withheld(capabilities: Set[str], rules: Sequence[str] = ("+@all",)) -> tuple[str, ...]:
    """Rules that come after all others of a client, which are these."""
    last = tuple(f"-{command}" for command in _WITHHELD)
    if "acl-parts" not in capabilities:
        last += tuple(f"-{command}" for command in _GIVEN_PARTS)
        return last + tuple(f"+{command}|{part}" for command in _GIVEN_PARTS for part in _allowed_parts(command, rules))
    parts = {**_WITHHELD_PARTS}
    if "atomic-slot-migration" in capabilities:
        parts["cluster"] += _MIGRATION_PARTS
    return last + tuple(f"-{command}|{part}" for command in parts for part in parts[command])


def user_rules(user: EngineUser, capabilities: Set[str]) -> tuple[str, ...]:
    """What ACL SETUSER is told after the name; it begins with nothing."""
    passwords = ("nopass",) if user.no_password else tuple(f"#{one}" for one in user.sha256)
    return ("reset", "on" if user.enabled else "off", *passwords, *limited(user.rules, capabilities, user.config, user.renames))


def limited(rules: Sequence[str], capabilities: Set[str], config: str = "", renames: str = "") -> tuple[str, ...]:
    """A client's rules, and what is withheld from all; selectors give rights of their own, so each is limited by itself.

    config: what the group gives of CONFIG (model.config_access), to users whose rules would give it. renames: its parameter
    rename-commands, by which commands may be blocked for all."""
    last, none = withheld(capabilities, rules), blocking_rules(renames, capabilities)
    taken = []
    for rule in rules:
        if rule.startswith("("):
            inner = rule[1:-1].strip()
            rule = f"({' '.join((inner, *last, *_config_rules(inner.split(), capabilities, config), *none))})"
        taken.append(rule)
    return (*fresh_channels(rules), *taken, *last, *_config_rules(rules, capabilities, config), *none)


def _config_rules(rules: Sequence[str], capabilities: Set[str], config: str) -> tuple[str, ...]:
    if CONFIG_MODULE not in capabilities:
        return ()
    given = [part for part in _named_parts("config", tuple(_CONFIG_COMMANDS), rules) if part in config_parts(config)]
    return (*(f"-{command}" for command in _CONFIG_COMMANDS.values()), *(f"+{_CONFIG_COMMANDS[part]}" for part in given))


def fresh_channels(rules: Sequence[str]) -> tuple[str, ...]:
    """What comes before rules that name channels: an engine may give new users all of them, and then takes no others."""
    named = any(rule.startswith("&") for rule in rules)
    return ("resetchannels",) if named and "resetchannels" not in rules else ()


def told_of_config(reply: Sequence[object]) -> frozenset[str]:
    """Of the engine's answer to ASK_FOR_CONFIG, what that launch is capable of."""
    return frozenset({CONFIG_MODULE}) if any(reply) else frozenset()


def is_withheld(command: str) -> bool:
    """command: in lower case, a part of one as "acl|setuser". Users may have what groups may give of CONFIG."""
    whole, _, part = command.partition("|")
    if whole == "config" and part in _CONFIG_COMMANDS:
        return False
    if whole.startswith(f"{RESERVED}."):  # of our modules
        return True
    return whole in _WITHHELD or part in (*_WITHHELD_PARTS.get(whole, ()), *(_MIGRATION_PARTS if whole == "cluster" else ()))


def _allowed_parts(command: str, rules: Sequence[str]) -> tuple[str, ...]:
    """Of _GIVEN_PARTS, which these rules give, for engines that cannot take parts away."""
    return _named_parts(command, _GIVEN_PARTS[command], rules)


def _named_parts(command: str, all_parts: tuple[str, ...], rules: Sequence[str]) -> tuple[str, ...]:
    """Of these parts of the command, which the rules give."""
    parts: tuple[str, ...] = ()
    for rule in (rule.lower() for rule in rules):
        if rule in ("allcommands", f"+{command}", *(f"+@{category}" for category in _THEIR_CATEGORIES)):
            parts = all_parts
        elif rule in ("nocommands", f"-{command}", *(f"-@{category}" for category in _THEIR_CATEGORIES)):
            parts = ()
        elif rule.startswith(f"+{command}|") and rule.partition("|")[2] in all_parts:
            parts += (rule.partition("|")[2],)
        elif rule.startswith(f"-{command}|"):
            parts = tuple(part for part in parts if part != rule.partition("|")[2])
    return tuple(dict.fromkeys(parts))


def own_users(controller: str, peer: str, capabilities: Set[str]) -> Iterator[Directive]:
    """(name, rules...) of ours, by their passwords."""
    yield CONTROLLER, "on", f"#{digest(controller)}", "~*", "&*", "+@all"
    parts = ("+cluster|syncslots",) if "atomic-slot-migration" in capabilities else ()
    last = (*withheld(capabilities), *_config_rules((), capabilities, ""))
    yield PEER, "on", f"#{digest(peer)}", _PEER_TRUST, "~*", "&*", "+@all", *last, *_PEER_RULES, *parts


def mark(users: Sequence[EngineUser]) -> str:
    """The name of a user that may do nothing: it stands for these users having been set up, all of them."""
    return _MARK + fingerprint(tuple(users))


def seen_mark(names: Iterable[str]) -> str:
    """The fingerprint that a node's users say, "" for none, or for more than one (somebody was cut short)."""
    marks = [name.removeprefix(_MARK) for name in names if name.startswith(_MARK)]
    return marks[0] if len(marks) == 1 else ""


def is_ours(name: str) -> bool:
    return name in (CONTROLLER, PEER)


def known_controller(text: str) -> str:
    """SHA-256 of the password by which a configuration file (directives) knows us; "" for one that does not."""
    found = _CONTROLLER_LINE.search(text)
    return "" if found is None else found[1]


def directives(users: Sequence[EngineUser], controller: str, peer: str, capabilities: Set[str]) -> Iterator[Directive]:
    """Of a configuration file: all users, and as whom the node reaches others."""
    for own in own_users(controller, peer, capabilities):
        yield "user", *own
    for user in users:
        yield "user", user.name, *user_rules(user, capabilities)
    yield "user", mark(users), "reset"
    yield "masteruser", PEER
    yield "masterauth", peer
    yield _DISTRUST  # Redis 6.2 takes it at its start only
