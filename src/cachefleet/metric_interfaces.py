"""The seams of metrics: where blocks of values are kept, and who records and reads them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from cachefleet.metrics.values import Value
from cachefleet.model.metric import Block, ListedSeries, MetricName, Resolution, Series
from cachefleet.model.observed import Usage
from cachefleet.model.resource import Scope

Points = Mapping[int, Value]  # epoch seconds, at which the time begins that a value is for


class Machine(Protocol):
    """The place where processes run, and what they use of it."""

    def usage(self, incarnation: str) -> Usage | None:
        """None for one that does not run here. Cheap."""

    def free_bytes(self) -> int:
        """Memory of the place that could be had without swapping, 0 not known."""


class MetricStore(Protocol):
    """Blocks of values. Every method raises interfaces.StoreError when the database cannot be used."""

    async def put(self, blocks: Sequence[Block], last_at: Mapping[Series, float]) -> None:
        """Each replaces what its writer had for that series, resolution and begin. last_at: of the series' youngest values."""

    async def blocks(self, series: Sequence[Series], resolution_s: int, begin: int, end: int) -> list[Block]:
        """Those with begin <= begins_at < end, of all writers."""

    async def listed(
        self, scope: Scope, namespace: str = "", since: float = 0.0, after: Series | None = None, limit: int | None = None
    ) -> list[ListedSeries]:
        """In their order. namespace "": all."""

    async def forget(self, resolution_s: int, before: float) -> int:
        """Blocks that begin before; returns how many."""

    async def forget_series(self, before: float) -> int:
        """Whose youngest value is older; returns how many."""

    async def close(self) -> None: ...


class Metrics(Protocol):
    """What the API records and reads."""

    def record(self, series: Series, at: float, values: Mapping[MetricName, Value], *, fine: bool = False) -> None:
        """at: epoch seconds. fine: kept by the second for a while, else by the minute. Stored within seconds."""

    def is_full(self) -> bool:
        """Whether so much waits to be stored that values of more series may be lost."""

    async def points(
        self, series: Sequence[Series], names: Sequence[MetricName], resolution: Resolution, start: float, end: float
    ) -> dict[tuple[Series, MetricName], Points]:
        """start <= time < end. Raises StoreError."""

    async def listed(
        self, scope: Scope, namespace: str = "", since: float = 0.0, after: Series | None = None, limit: int | None = None
    ) -> list[ListedSeries]:
        """See MetricStore. Raises StoreError."""


class NoMetrics:
    """Metrics where nothing is measured."""

    def record(self, series: Series, at: float, values: Mapping[MetricName, Value], *, fine: bool = False) -> None:
        """Forgets it."""

    def is_full(self) -> bool:
        return False

    async def points(
        self, series: Sequence[Series], names: Sequence[MetricName], resolution: Resolution, start: float, end: float
    ) -> dict[tuple[Series, MetricName], Points]:
        return {}

    async def listed(
        self, scope: Scope, namespace: str = "", since: float = 0.0, after: Series | None = None, limit: int | None = None
    ) -> list[ListedSeries]:
        return []
