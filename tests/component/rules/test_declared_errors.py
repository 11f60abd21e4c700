"""Every error that an operation declares in the model is provoked, with its code and HTTP status as on the wire, or
docs/errors.md says why it cannot occur here."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

from cachefleet.api.registry import OPERATIONS
from cachefleet.model.errors import AwsError
from tests.component.rules import errors_of_caches, errors_of_others, walks_of_updates
from tests.component.rules.stage import ELASTICACHE, RuleStage
from tests.component.rules.test_members import NOT_WALKED

_PAGE = Path(__file__).parents[3] / "docs" / "errors.md"
_CODE = re.compile(r"`([A-Za-z.]+)`")
CASES: errors_of_caches.Cases = {
    **errors_of_caches.CLUSTERS,
    **errors_of_caches.GROUPS,
    **errors_of_others.SNAPSHOTS,
    **errors_of_others.USERS,
    **errors_of_others.SUBNET_GROUPS,
    **errors_of_others.SECURITY_GROUPS,
    **errors_of_others.PARAMETER_GROUPS,
    **errors_of_others.RESERVED_NODES,
    **errors_of_others.EVENTS,
    **errors_of_others.OF_TAGS,
    **walks_of_updates.OF_UPDATES,
}
PROVOKED = [(name, code) for name, cases in CASES.items() for code in cases]
ALL = "all"


def declared() -> dict[str, dict[str, int]]:
    """Codes and HTTP statuses by operation, of those that are built."""
    found = {}
    for service, name in OPERATIONS:
        if service == "elasticache" and name not in NOT_WALKED:
            shapes = ELASTICACHE.model.operation_model(name).error_shapes
            errors = [{"code": shape.name, **shape.metadata.get("error", {})} for shape in shapes]
            found[name] = {error["code"]: int(error.get("httpStatusCode", 400)) for error in errors}
    return found


def explained() -> set[tuple[str, str]]:
    """(operation, code) of those that cannot occur, by docs/errors.md."""
    found: set[tuple[str, str]] = set()
    for line in _PAGE.read_text().splitlines():
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        if len(cells) != 3 or not cells[0].startswith("`"):
            continue
        (code,), names = _CODE.findall(cells[0]), _CODE.findall(cells[1])
        assert cells[2], line
        if cells[1] == ALL:
            names = [name for name, codes in declared().items() if code in codes]
        assert names, line
        found |= {(name, code) for name in names}
    return found


@pytest.mark.parametrize(("name", "code"), PROVOKED)
def test_a_declared_error_is_provoked(name: str, code: str) -> None:
    async def body() -> None:
        setup, request = CASES[name][code]
        stage = RuleStage()
        await setup(stage)
        reply = await stage.ask(name, request)
        assert reply.code == code, reply.message
        assert reply.status == declared()[name][code] == AwsError(code, "").http_status
        assert reply.message

    asyncio.run(body())


def test_each_is_provoked_or_explained() -> None:
    everything = {(name, code) for name, codes in declared().items() for code in codes}
    assert sorted(everything - set(PROVOKED) - explained()) == []
    assert sorted(set(PROVOKED) - everything) == []


def test_nothing_is_explained_away_that_occurs_or_is_not_declared() -> None:
    everything = {(name, code) for name, codes in declared().items() for code in codes}
    assert sorted(explained() & set(PROVOKED)) == []
    built = set(declared())
    assert sorted((name, code) for name, code in explained() - everything if name in built) == []
