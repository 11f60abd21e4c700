"""One coder for each shape of a service model, by the shape's kind: what all forms of the API have in common."""

from __future__ import annotations

from typing import Generic, TypeVar

from botocore.model import ListShape, MapShape, Shape, StructureShape

C = TypeVar("C")  # what codes a value of a shape


class ByKind(Generic[C]):
    def any(self, shape: Shape) -> C:
        if isinstance(shape, StructureShape):
            return self.structure(shape)
        if isinstance(shape, ListShape):
            return self._list(shape)
        if isinstance(shape, MapShape):
            return self._map(shape)
        return self._scalar(shape)

    def structure(self, shape: StructureShape) -> C:
        raise NotImplementedError

    def _list(self, shape: ListShape) -> C:
        raise NotImplementedError

    def _map(self, shape: MapShape) -> C:
        raise NotImplementedError

    def _scalar(self, shape: Shape) -> C:
        raise NotImplementedError
