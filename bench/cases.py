"""A way to lose a primary, a client that meets it, and the rows that tell what became of it. Cases take turns, so that whatever
else the machine does meets all of them, and each group's nodes have run for a while when one is struck again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from functools import partial

import msgspec

from bench.caches import Cache
from bench.clients import Where
from bench.faults import Aim, Freeze, Kill
from bench.row import Row
from bench.trial import Outcome, trial
from tests.traffic.writer import Write

Client = Callable[[Where], AbstractContextManager[Write]]


class Case(msgspec.Struct, frozen=True, kw_only=True):
    what: str
    cache: Cache
    client: Client
    aim: Aim
    target_ms: float
    rounds: int
    lossless: bool = False  # no acknowledged write may be gone, whatever a replica had
    remark: str = ""

    @property
    def watched(self) -> bool:
        return self.cache.direct and self.aim is Kill

    def round(self) -> Outcome:
        return trial(self.cache, partial(self.client, self.cache.endpoint), self.aim, watched=self.watched)

    def gaps(self, done: Sequence[Outcome]) -> Row:
        gaps_ms = [1000 * one.gap_s for one in done]
        return Row(
            figure=f"{self.what}: gap in writes", unit="ms", values=gaps_ms, target=self.target_ms, reference=self.remark
        )

    def rows(self, done: Sequence[Outcome]) -> Iterator[Row]:
        yield self.gaps(done)
        if self.watched:
            serving_ms = [1000 * one.serving_s for one in done]
            yield Row(figure=f"{self.what}: of it, until the new primary takes writes", unit="ms", values=serving_ms)
        lost = f"{self.what}: acknowledged writes lost"
        if self.lossless:
            yield _none(lost, [one.losses.total for one in done])
        else:
            yield Row(figure=f"{lost}, not yet at a replica", unit="", values=[one.losses.unreplicated for one in done])
            yield _none(f"{lost} though replicated", [one.losses.after_kept for one in done])
        if self.aim is Freeze:
            yield _none(f"{self.what}: acknowledged by the resumed one", [one.resumed for one in done])


def in_turn(cases: Sequence[Case]) -> list[list[Outcome]]:
    """Every case's outcomes."""
    done: list[list[Outcome]] = [[] for _ in cases]
    for number in range(max(case.rounds for case in cases)):
        for case, outcomes in zip(cases, done, strict=True):
            if number < case.rounds:
                outcomes.append(case.round())
    return done


def _none(figure: str, counts: Sequence[int]) -> Row:
    return Row(figure=figure, unit="", values=counts, target=0, each=True)
