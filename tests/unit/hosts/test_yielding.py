"""When work that gives way has been given too little."""

from __future__ import annotations

import resource

import pytest

from cachefleet.hosts.yielding import Spent, may_return, parse_spent, starves


def test_what_the_kernel_tells_of_a_thread() -> None:
    assert parse_spent("7230157 120045 99\n") == Spent(ran_ns=7_230_157, waited_ns=120_045)
    for other in ("", "1 2", "ran waited slices"):
        with pytest.raises(ValueError):
            parse_spent(other)


@pytest.mark.parametrize(
    ("ran", "waited", "starving"),
    [(0, 0, False), (100, 0, False), (100, 300, False), (100, 301, True), (0, 1, True)],
    ids=["sleeps", "never waits", "a quarter", "less", "nothing"],
)
def test_it_starves_when_it_mostly_waits(ran: int, waited: int, starving: bool) -> None:
    before = {1: Spent(50, 7), 2: Spent(1000, 1000)}
    now = {1: Spent(50 + ran, 7), 2: Spent(1000, 1000 + waited)}
    assert starves(before, now) == starving


def test_threads_that_have_ended_or_just_begun_do_not_count() -> None:
    assert not starves({1: Spent(5, 5), 2: Spent(0, 0)}, {1: Spent(6, 5), 3: Spent(0, 1_000_000)})


@pytest.mark.parametrize(
    ("capabilities", "limit", "may"),
    [
        ("000001ffffffffff", 0, True),
        ("0000000000800000", 0, True),
        ("00000000a80425fb", 0, False),
        ("0000000000000000", 19, False),
        ("0000000000000000", 20, True),
        ("0000000000000000", resource.RLIM_INFINITY, True),
    ],
    ids=["root", "the one capability", "root in a container", "a user", "a user with the limit", "a user without limits"],
)
def test_who_may_return(capabilities: str, limit: int, may: bool) -> None:
    assert may_return(f"Name:\tpython\nCapPrm:\t000001ffffffffff\nCapEff:\t{capabilities}\n", limit) == may
