"""metric_interfaces.MetricStore on a file that may get lost (store.spare_file)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from cachefleet.model.metric import Block, ListedSeries, Series
from cachefleet.model.resource import Scope
from cachefleet.store.metric_store import SqlMetricStore, open_metric_store
from cachefleet.store.spare_file import SpareFile


class MetricFile(SpareFile[SqlMetricStore]):
    """See metric_interfaces.MetricStore."""

    def __init__(self, path: Path) -> None:
        """Opens nothing yet."""
        super().__init__(path, open_metric_store, "metrics")

    async def put(self, blocks: Sequence[Block], last_at: Mapping[Series, float]) -> None:
        await self._with(lambda store: store.put(blocks, last_at))

    async def blocks(self, series: Sequence[Series], resolution_s: int, begin: int, end: int) -> list[Block]:
        return await self._with(lambda store: store.blocks(series, resolution_s, begin, end))

    async def listed(
        self, scope: Scope, namespace: str = "", since: float = 0.0, after: Series | None = None, limit: int | None = None
    ) -> list[ListedSeries]:
        return await self._with(lambda store: store.listed(scope, namespace, since, after, limit))

    async def forget(self, resolution_s: int, before: float) -> int:
        return await self._with(lambda store: store.forget(resolution_s, before))

    async def forget_series(self, before: float) -> int:
        return await self._with(lambda store: store.forget_series(before))
