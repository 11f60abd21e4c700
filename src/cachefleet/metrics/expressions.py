"""Metric math: what an expression comes to. Pure; functions are in metrics.expression_functions.

The semantics follow CloudWatch's metric math. Every error names what is wrong; whose expression it is, the caller says.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from graphlib import CycleError, TopologicalSorter

from cachefleet.metrics.expression_functions import FUNCTIONS, Scene, Search, search_of
from cachefleet.metrics.expression_syntax import (
    Call,
    ExpressionError,
    Items,
    Name,
    Negative,
    Node,
    Number,
    Text,
    calls,
    names,
)
from cachefleet.metrics.lines import Array, Combine, Line, Value, each

_WORDS = frozenset(("REPEAT", "LINEAR", "ASC", "DESC", "AVG", "MIN", "MAX", "SUM"))  # arguments that stand for themselves


def check(node: Node, ids: Mapping[str, bool]) -> None:
    """What can be told before there are any values. Raises ExpressionError."""
    for name in sorted(names(node) - set(ids) - _WORDS):
        raise ExpressionError(f"There is no query with the id {name!r}")
    for call in calls(node):
        function = FUNCTIONS.get(call.function)
        if function is None:
            raise ExpressionError(f"There is no function {call.function}() here; there are {', '.join(sorted(FUNCTIONS))}")
        if not function.fewest <= len(call.arguments) <= function.most:
            takes = str(function.fewest) if function.fewest == function.most else f"{function.fewest} to {function.most}"
            raise ExpressionError(f"{call.function}() takes {takes} arguments, not {len(call.arguments)}")
    searches(node)


def needed(node: Node, ids: Mapping[str, bool]) -> set[str]:
    """The queries that it is computed from. ids: of all queries, and whether each is a metric's and no expression."""
    found = names(node) & set(ids)
    for call in calls(node, "METRICS"):
        wanted = call.arguments[0].value if call.arguments and isinstance(call.arguments[0], Text) else ""
        found |= {name for name, is_metric in ids.items() if is_metric and wanted in name}
    return found


def order(needs: Mapping[str, Set[str]]) -> list[str]:
    """The ids so that each comes after those that it is computed from. Raises ExpressionError for a circle."""
    try:
        return list(TopologicalSorter(needs).static_order())
    except CycleError as error:
        circle = " -> ".join(reversed(error.args[1]))
        raise ExpressionError(f"Expressions refer to each other in a circle: {circle[:500]}") from None


def searches(node: Node) -> list[Search]:
    """Raises ExpressionError."""
    return [
        search_of([part.value if isinstance(part, Text | Number) else None for part in call.arguments])
        for call in calls(node, "SEARCH")
    ]


def result(node: Node, scene: Scene) -> Line | Array:
    """Raises ExpressionError, also for what comes to a single number or a text."""
    value = evaluated(node, scene)
    if isinstance(value, Line | tuple):
        return value
    raise ExpressionError("It comes to a single value, and must come to a time series; TIME_SERIES() makes one of a number")


def evaluated(node: Node, scene: Scene) -> Value:
    """Raises ExpressionError."""
    if isinstance(node, Number | Text):
        return node.value
    if isinstance(node, Name):
        return scene.values.get(node.value, node.value)
    if isinstance(node, Negative):
        return each(lambda number: -number, [evaluated(node.operand, scene)], scene.work)
    if isinstance(node, Items):
        return _array(node, scene)
    if isinstance(node, Call):
        return FUNCTIONS[node.function].run(scene, [evaluated(argument, scene) for argument in node.arguments])
    made = evaluated(node.first, scene)
    for sign, operand in node.rest:
        made = each(_OPERATORS[sign], [made, evaluated(operand, scene)], scene.work)
    return made


def _array(node: Items, scene: Scene) -> Array:
    lines: list[Line] = []
    for item in node.items:
        value = evaluated(item, scene)
        if isinstance(value, Line):
            lines.append(value)
        elif isinstance(value, tuple):
            lines += value
        else:
            raise ExpressionError("An array holds time series; TIME_SERIES() makes one of a number")
    return tuple(lines)


def _power(base: float, exponent: float) -> float | None:
    try:
        made = base**exponent
    except (OverflowError, ZeroDivisionError):
        return None
    return made if isinstance(made, float) else None  # of a negative base it may be complex


_OPERATORS: Mapping[str, Combine] = {
    "+": lambda one, other: one + other,
    "-": lambda one, other: one - other,
    "*": lambda one, other: one * other,
    "/": lambda one, other: one / other if other else None,
    "^": _power,
    "<": lambda one, other: float(one < other),
    ">": lambda one, other: float(one > other),
    "<=": lambda one, other: float(one <= other),
    ">=": lambda one, other: float(one >= other),
    "==": lambda one, other: float(one == other),
    "!=": lambda one, other: float(one != other),
    "AND": lambda one, other: float(bool(one) and bool(other)),
    "OR": lambda one, other: float(bool(one) or bool(other)),
}
