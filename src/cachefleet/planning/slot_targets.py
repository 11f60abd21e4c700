"""Which shard is to own which slots when shards come, go, or are to have equal parts. Pure.

Numbers differ by one at most; no more slots move than that takes, in whole ranges where there is a choice, and the same
question has always the same answer. Moves nothing: planning.resharding does. Called by the operations that change shards.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from cachefleet.model.group import SlotRanges
from cachefleet.model.slots import count, union, without

Books = Mapping[str, SlotRanges]  # shard id -> its slots


def grown(books: Books, new_ids: Iterable[str]) -> dict[str, SlotRanges]:
    """With these shards, which own nothing yet."""
    return balanced({**books, **dict.fromkeys(new_ids, ())})


def shrunk(books: Books, leaving_ids: Collection[str]) -> dict[str, SlotRanges]:
    """These own nothing any more; they are still in the answer. At least one shard has to stay."""
    return _spread(books, [shard for shard in sorted(books) if shard not in leaving_ids])


def balanced(books: Books) -> dict[str, SlotRanges]:
    """The same shards, with equal numbers of slots."""
    return _spread(books, sorted(books))


def _spread(books: Books, staying: list[str]) -> dict[str, SlotRanges]:
    targets = {shard: union(books[shard]) for shard in sorted(books)}
    excess = _excess(targets, staying)
    while any(number > 0 for number in excess.values()):
        giver = max(excess, key=lambda shard: (excess[shard], shard))
        taker = min(
            (shard for shard in excess if excess[shard] < 0),
            key=lambda shard: (not _touch(targets[giver], targets[shard]), excess[shard], shard),
        )
        given = _part(targets[giver], min(excess[giver], -excess[taker]), targets[taker])
        targets[giver] = without(targets[giver], given)
        targets[taker] = union(targets[taker], given)
        excess[giver] -= count(given)
        excess[taker] += count(given)
    return targets


def _excess(targets: Books, staying: list[str]) -> dict[str, int]:
    """How many slots each has too many. Where the number does not divide, those that have most keep one more."""
    size, remainder = divmod(sum(map(count, targets.values())), len(staying))
    ranked = sorted(staying, key=lambda shard: (-count(targets[shard]), shard))
    shares = {shard: size + (rank < remainder) for rank, shard in enumerate(ranked)}
    return {shard: count(slots) - shares.get(shard, 0) for shard, slots in targets.items()}


def _touch(giver: SlotRanges, taker: SlotRanges) -> bool:
    firsts, lasts = {first for first, _ in taker}, {last for _, last in taker}
    return any(first - 1 in lasts or last + 1 in firsts for first, last in giver)


def _part(giver: SlotRanges, number: int, taker: SlotRanges) -> SlotRanges:
    """At most so many slots of the giver: such that lengthen a range of the taker, else a whole range, else the end of one."""
    firsts, lasts = {first for first, _ in taker}, {last for _, last in taker}
    by_size = sorted(giver, key=lambda pair: (pair[0] - pair[1], pair))
    for first, last in by_size:
        size = min(number, last - first + 1)
        if first - 1 in lasts:
            return ((first, first + size - 1),)
        if last + 1 in firsts:
            return ((last - size + 1, last),)
    for first, last in by_size:
        if last - first < number:
            return ((first, last),)
    _, last = giver[-1]
    return ((last - number + 1, last),)
