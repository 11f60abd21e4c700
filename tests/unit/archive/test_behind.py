"""Calls in a thread of their own: in their order, bounded, and with the first failure heard."""

from __future__ import annotations

import threading

import pytest

from cachefleet.archive.behind import WAITING, Behind

BOUND_S = 30.0


def test_calls_are_done_in_their_order_in_one_other_thread() -> None:
    done: list[tuple[int, int]] = []
    behind = Behind("test")
    for number in range(10 * WAITING):
        behind.call(lambda given: done.append((given, threading.get_ident())), number)
    behind.finish()
    assert [number for number, _ in done] == list(range(10 * WAITING))
    assert len({thread for _, thread in done} - {threading.get_ident()}) == 1


def test_no_more_than_a_few_wait() -> None:
    go = threading.Event()
    taken: list[int] = []

    def all_of_them() -> None:
        for number in range(3 * WAITING):
            behind.call(lambda _: go.wait(BOUND_S), None)
            taken.append(number)

    behind = Behind("test")
    caller = threading.Thread(target=all_of_them)
    caller.start()
    caller.join(0.2)
    assert caller.is_alive()
    assert len(taken) <= WAITING + 1
    go.set()
    caller.join(BOUND_S)
    behind.finish()
    assert len(taken) == 3 * WAITING


def test_what_fails_is_the_last_that_is_done() -> None:
    done = []
    behind = Behind("test")
    with pytest.raises(ZeroDivisionError):
        for number in range(3, -100, -1):
            behind.call(lambda given: done.append(6 // given), number)
    with pytest.raises(ZeroDivisionError):
        behind.finish()
    assert done == [2, 3, 6]
    behind.abort()


def test_a_failure_of_the_last_call_is_heard_at_the_end() -> None:
    before = threading.active_count()
    behind = Behind("test")
    behind.call(lambda _: 1 // 0, None)
    with pytest.raises(ZeroDivisionError):
        behind.finish()
    assert threading.active_count() == before


def test_abort_leaves_out_what_waits_and_leaves_no_thread() -> None:
    before = threading.active_count()
    begun, go = threading.Event(), threading.Event()
    done: list[int] = []

    def first(_: None) -> None:
        begun.set()
        go.wait(BOUND_S)

    behind = Behind("test")
    behind.call(first, None)
    assert begun.wait(BOUND_S)
    behind.call(done.append, 1)
    threading.Timer(0.05, go.set).start()
    behind.abort()
    behind.abort()
    assert done == []
    assert threading.active_count() == before
