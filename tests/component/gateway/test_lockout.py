"""Guessed signatures are held back by address and key together, for a while, in bounded memory; in virtual time."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from cachefleet.gateway.gateway import Gateway
from cachefleet.gateway.lockout import Lockout, network_of
from cachefleet.gateway.sources import source_of
from cachefleet.model.errors import AwsError
from cachefleet.settings import ApiSettings, Settings
from tests.component.gateway.test_server import as_sent, read_to_end, wire
from tests.fakes.clock import ManualClock
from tests.fixtures.gateway import NOW, ask_async, make_gateway, serving, sign

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


@contextmanager
def as_nobody(requests: Sequence[bytes]) -> Iterator[Callable[[int], list[bytes]]]:
    """A process of another user, which begins before there are threads. Told a port, it sends these there, each over a
    connection of its own, and tells what is answered."""
    (read_port, tell_port), (read_answers, tell_answers) = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        os.setuid(65534)
        port = int(os.read(read_port, 8))
        for request in requests:
            with socket.socket() as connection:
                connection.connect(("127.0.0.1", port))
                connection.sendall(request)
                os.write(tell_answers, read_to_end(connection) + b"\0")
        os._exit(0)
    os.close(tell_answers)

    def run(port: int) -> list[bytes]:
        os.write(tell_port, str(port).encode())
        with os.fdopen(read_answers, "rb") as answers:
            return answers.read().split(b"\0")[:-1]

    try:
        yield run
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        for descriptor in (read_port, tell_port):
            os.close(descriptor)


@pytest.mark.skipif(os.getuid() != 0, reason="takes root, to become somebody else")
def test_no_other_user_of_the_machine_locks_anybody_out() -> None:
    """By whatever local address: who guesses has to wait, and nobody else."""
    settings = Settings(api=ApiSettings(wrong_signatures=3, lockout_s=60.0))
    guess, right = (as_sent(request, "connection: close") for request in (sign(BODY, secret="guess"), sign(BODY)))
    with as_nobody([guess] * 4 + [right]) as guesses, serving(make_gateway(settings=settings)) as port:
        answers = [answer.partition(b"<Code>")[2].partition(b"<")[0] for answer in guesses(port)]
        assert answers == [b"SignatureDoesNotMatch"] * 3 + [b"Throttling"] * 2
        with wire(port) as connection:
            connection.sendall(right)
            assert read_to_end(connection).startswith(b"HTTP/1.1 200 ")


def test_who_left_before_an_answer_locks_nobody_out() -> None:
    """The kernel knows no user of a socket that nobody has open: it must not count as somebody else's, least of all root's."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        with socket.create_connection(listener.getsockname()):
            accepted, peer = listener.accept()
            here = source_of(peer, accepted.getsockname())
            assert here == f"user {os.getuid()}"
        with accepted:
            assert source_of(peer, accepted.getsockname()) == "127.0.0.1" != here
        assert source_of(peer, listener.getsockname()) == "127.0.0.1"


def test_who_is_elsewhere_or_nowhere_is_its_address() -> None:
    assert source_of(("10.0.0.1", 4000), ("10.0.0.2", 8300)) == "10.0.0.1"
    assert source_of(("127.0.0.1", 4000), None) == "127.0.0.1"
    assert source_of(None, None) == ""
