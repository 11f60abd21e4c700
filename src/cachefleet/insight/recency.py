"""Keys in the order of their last use, and how many bytes were used since: reuse distances in O(log n) (Mattson and others:
Evaluation techniques for storage hierarchies, 1970; with a Fenwick tree). Pure. Called by shards.py."""

from __future__ import annotations

_LEAST_PLACES = 1024


class Recency:
    """Each key has a place, later ones for later uses; the tree holds sums of weights over places."""

    def __init__(self) -> None:
        self._place: dict[int, int] = {}
        self._weight: dict[int, float] = {}
        self._tree = [0.0] * (_LEAST_PLACES + 1)
        self._next = 1
        self.total = 0.0  # of all weights

    def __len__(self) -> int:
        return len(self._place)

    def __contains__(self, key: int) -> bool:
        return key in self._place

    def weight(self, key: int) -> float:
        """0.0 for one that is not there."""
        return self._weight.get(key, 0.0)

    def use(self, key: int, weight: float) -> float | None:
        """The weights of other keys used since its last use; None for its first."""
        place = self._place.pop(key, None)
        distance = None if place is None else max(0.0, self.total - self._sum(place))
        if place is not None:
            self._take_out(key, place)
        if self._next >= len(self._tree):
            self._close_up()
        self._place[key], self._weight[key] = self._next, weight
        self._add(self._next, weight)
        self.total += weight
        self._next += 1
        return distance

    def forget(self, key: int) -> None:
        """One that is not there is no error."""
        place = self._place.pop(key, None)
        if place is not None:
            self._take_out(key, place)

    def _take_out(self, key: int, place: int) -> None:
        weight = self._weight.pop(key)
        self._add(place, -weight)
        self.total -= weight

    def _add(self, place: int, weight: float) -> None:
        tree, size = self._tree, len(self._tree)
        while place < size:
            tree[place] += weight
            place += place & -place

    def _sum(self, place: int) -> float:
        """Of this place and all before it."""
        tree, total = self._tree, 0.0
        while place:
            total += tree[place]
            place &= place - 1
        return total

    def _close_up(self) -> None:
        """No empty places, and room for as many uses again; sums are made anew, so that rounding does not add up."""
        keys = sorted(self._place, key=self._place.__getitem__)
        self._tree = [0.0] * (max(_LEAST_PLACES, 2 * len(keys)) + 1)
        self._place = {key: place for place, key in enumerate(keys, 1)}
        self._next = len(keys) + 1
        self.total = 0.0
        for place, key in enumerate(keys, 1):
            self._add(place, self._weight[key])
            self.total += self._weight[key]
