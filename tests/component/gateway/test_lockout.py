"""Guessed signatures are held back by address and key together, for a while, in bounded memory; in virtual time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from cachefleet.gateway.gateway import Gateway
from cachefleet.gateway.lockout import Lockout, network_of
from cachefleet.model.errors import AwsError
from cachefleet.settings import ApiSettings, Settings
from tests.fakes.clock import ManualClock
from tests.fixtures.gateway import NOW, ask_async, make_gateway, sign

BODY = b"Action=DescribeEvents&Version=2015-02-02"


def locked(lockout: Lockout, address: str, key: str) -> bool:
    try:
        lockout.check(address, key)
    except AwsError as error:
        assert error.code == "Throttling"
        return True
    return False


def test_a_pair_is_held_for_a_while_and_no_other_pair_is() -> None:
    clock = ManualClock()
    lockout = Lockout(clock, 3, 60.0)
    for _ in range(3):
        assert not locked(lockout, "10.0.0.1", "AKIA1")
        lockout.wrong("10.0.0.1", "AKIA1")
    assert locked(lockout, "10.0.0.1", "AKIA1")
    assert not locked(lockout, "10.0.0.2", "AKIA1")  # the key is not locked out for others
    assert not locked(lockout, "10.0.0.1", "AKIA2")

    async def pass_time() -> None:
        await clock.advance(59.0)
        assert locked(lockout, "10.0.0.1", "AKIA1")
        await clock.advance(1.0)

    asyncio.run(pass_time())
    assert not locked(lockout, "10.0.0.1", "AKIA1")
    assert len(lockout) == 0


def test_a_right_signature_forgives() -> None:
    lockout = Lockout(ManualClock(), 3, 60.0)
    for _ in range(10):
        lockout.wrong("10.0.0.1", "AKIA1")
        lockout.wrong("10.0.0.1", "AKIA1")
        lockout.right("10.0.0.1", "AKIA1")
    assert not locked(lockout, "10.0.0.1", "AKIA1")


def test_memory_is_bounded_and_the_quietest_pair_goes_first() -> None:
    lockout = Lockout(ManualClock(), 1, 60.0, capacity=100)
    for number in range(1000):
        lockout.wrong("10.0.0.1", f"AKIA{number}")
    assert len(lockout) == 100
    assert locked(lockout, "10.0.0.1", "AKIA999") and not locked(lockout, "10.0.0.1", "AKIA0")


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8::ffff:2", "2001:db8::/64"),
        ("", ""),
    ],
)
def test_what_counts_as_one_source(address: str, network: str) -> None:
    assert network_of(address) == network


async def codes(gateway: Gateway, secret: str, address: str, times: int, at: float = NOW) -> list[str]:
    found = []
    for _ in range(times):
        answer = await ask_async(gateway, sign(BODY, secret=secret, at=at), client=address)
        found.append(answer.text.partition("<Code>")[2].partition("<")[0] or "ok")
    return found


def test_the_gateway_holds_who_guesses_and_nobody_else() -> None:
    clock = ManualClock(NOW)
    gateway = make_gateway(clock=clock, settings=Settings(api=ApiSettings(wrong_signatures=3, lockout_s=60.0)))
    right: dict[str, Any] = {"secret": "wJalrXUtnFEMI+bPxRfiCYEXAMPLEKEY"}

    async def scenario() -> None:
        assert await codes(gateway, "guess", "10.0.0.1", 5) == ["SignatureDoesNotMatch"] * 3 + ["Throttling"] * 2
        assert await codes(gateway, **right, address="10.0.0.1", times=1) == ["Throttling"]
        assert await codes(gateway, **right, address="10.0.0.2", times=1) == ["ok"]
        await clock.advance(61.0)
        assert await codes(gateway, **right, address="10.0.0.1", times=1, at=NOW + 61) == ["ok"]

    asyncio.run(scenario())


def test_a_wrong_clock_is_no_guess() -> None:
    gateway = make_gateway(settings=Settings(api=ApiSettings(wrong_signatures=1)))
    late = asyncio.run(codes(gateway, "wJalrXUtnFEMI+bPxRfiCYEXAMPLEKEY", "10.0.0.1", 5, at=NOW - 5000))
    assert late == ["SignatureDoesNotMatch"] * 5
