"""What a Valkey or Redis node ought to say of its parameters, and how what it says differs. Pure: a NodeSpec and answers in.

Only what a parameter group may say is compared; all else is decided at the launch, or by other parts of the control loop:
memory and the limits of buffers for replicas, which follow from it, addresses, roles. In cluster mode there is one database.
Called by ValkeyDriver.
"""

from __future__ import annotations

from collections.abc import Mapping, Set

from cachefleet.engine_interfaces import NodeSpec
from cachefleet.engines.clients_parameters import needs_module, with_clients_module
from cachefleet.engines.valkey_directives import BUFFER_LIMIT, buffer_limits, directives, parameters_of
from cachefleet.model.observed import ParameterDifference, ParameterView
from cachefleet.reference.parameters import FAMILIES

_MODIFIABLE = frozenset(
    name for family in FAMILIES.values() for name, parameter in family.parameters.items() if parameter.modifiable
)
_AT_LAUNCH = frozenset({"databases", "cluster-databases"})
_EVENTS = "notify-keyspace-events"
_ALL_EVENTS = frozenset("g$lshzxetd")  # what its letter A stands for

Limits = dict[str, tuple[int, ...]]  # class of clients -> hard limit, soft limit, seconds


def wanted(spec: NodeSpec, capabilities: Set[str]) -> dict[str, str]:
    """Directive -> value, in the words of CONFIG SET."""
    found = {}
    for name, *words in directives(spec.parameters, with_clients_module(capabilities)):
        if _MODIFIABLE.intersection(parameters_of(name)) and not (name == "databases" and spec.clustered):
            found[name] = " ".join(words)
    limits = (words[1:] for words in buffer_limits(spec.parameters, spec.maxmemory_bytes) if words[1] != "replica")
    found[BUFFER_LIMIT] = " ".join(word for words in limits for word in words)
    return found


def compared(wanted: Mapping[str, str], told: Mapping[str, str]) -> ParameterView:
    """told: what the node has. A directive that it does not have at all is none of it."""
    differing: list[ParameterDifference] = []
    at_launch: list[str] = []
    for name, value in wanted.items():
        if name not in told and needs_module(name, value):
            at_launch += parameters_of(name)
        if name not in told or _is_same(name, value, told[name]):
            continue
        if name in _AT_LAUNCH:
            at_launch += parameters_of(name)
        else:
            set_to = _missing_limits(value, told[name]) if name == BUFFER_LIMIT else value
            differing.append(ParameterDifference(name, set_to, parameters_of(name)))
    return ParameterView(tuple(differing), tuple(at_launch))


def _is_same(name: str, wanted: str, told: str) -> bool:
    if name == BUFFER_LIMIT:
        return not _missing_limits(wanted, told)
    if name == _EVENTS:
        return _events(wanted) == _events(told)
    return _plain(wanted) == _plain(told)


def _plain(value: str) -> str:
    word = value.strip().lower()
    return str(int(word)) if word.lstrip("-").isdecimal() else word


def _events(letters: str) -> frozenset[str]:
    """Engines tell them in an order of their own, and put A for all of its letters."""
    found = frozenset(letters)
    return (found - {"A"}) | _ALL_EVENTS if "A" in found else found


def _limits(value: str) -> Limits:
    """Four words for each class of clients."""
    words = value.split()
    return {words[place]: tuple(map(int, words[place + 1 : place + 4])) for place in range(0, len(words), 4)}


def _missing_limits(wanted: str, told: str) -> str:
    """Of the classes that have others, as CONFIG SET takes them: classes that are not named keep theirs."""
    have = _limits(told)
    wrong = [(kind, *map(str, limits)) for kind, limits in _limits(wanted).items() if have.get(kind) != limits]
    return " ".join(word for words in wrong for word in words)
