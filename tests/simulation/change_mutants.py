"""Narrow places in which mutants.py breaks what reshards groups and launches nodes anew."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from unittest.mock import patch

from cachefleet.engines.key_migration import KeyMigration
from cachefleet.model.group import DesiredShard, SlotMove
from cachefleet.model.plan import Stop
from cachefleet.model.slots import union
from cachefleet.planning import books, clustered, group, lifecycle, mesh, move_ends, rolling
from cachefleet.planning.draft import Draft


def books_ahead() -> list[Any]:
    """What has begun to move counts as arrived."""

    def at_once(draft: Draft, move: SlotMove, claims: books.Claims) -> None:
        if move.begun_at < draft.now:
            books._settle(draft, move, move.slots)

    return [patch.object(books, "_note_arrived", at_once)]


def claims_by_target() -> list[Any]:
    """A primary that begins anew claims what its shard is to own."""
    weave = mesh.weave

    def woven(draft: Draft, views: Any) -> None:
        asked = {shard.shard_id: union(shard.slots) for shard in draft.desired.shards}
        with patch.object(mesh, "owned", lambda memory, shard_id: asked[shard_id]):
            weave(draft, views)

    return [patch.object(clustered, "weave", woven)]


def drops_owners() -> list[Any]:
    """A shard that is to leave is dropped whatever it owns."""
    take_away = books.take_emptied_away

    def at_once(draft: Draft, views: Any) -> None:
        never: Any = lambda *given: ()  # noqa: E731
        with patch.object(books, "owned", never), patch.object(books, "_claimed", never):
            draft.memory.moves, moves = [], draft.memory.moves
            take_away(draft, views)
            draft.memory.moves = moves if draft.changed is None else []

    return [patch.object(clustered, "take_emptied_away", at_once)]


def closes_full_slots() -> list[Any]:
    """Slots are given to the target while the source still has keys of them."""

    async def nothing(self: KeyMigration, window: Sequence[int]) -> list[int]:
        return list(window)

    return [patch.object(KeyMigration, "_drain", nothing)]


def moves_in_a_roll() -> list[Any]:
    """Neither waits for the other."""
    never: Any = lambda *given: False  # noqa: E731
    nobody: Any = lambda *given: []  # noqa: E731
    hinders = rolling._why_not_on

    def hinders_but_moves(draft: Draft) -> str:
        draft.memory.moves, moves = [], draft.memory.moves
        why = hinders(draft)
        draft.memory.moves = moves
        return why

    return [
        patch.object(move_ends, "is_rolling", never),
        patch.object(move_ends, "_missing", nobody),
        patch.object(rolling, "_why_not_on", hinders_but_moves),
    ]


def rolls_all_replicas() -> list[Any]:
    roll_shard = rolling._roll_shard

    def at_once(draft: Draft, shard: DesiredShard, hand_over: rolling.HandOver) -> bool:
        for node in shard.nodes:
            if draft.is_outdated(node.name) and node.name != draft.shard_memory(shard).primary:
                draft.remembered(node.name).roll_of = draft.remembered(node.name).launches
        return roll_shard(draft, shard, hand_over)

    return [patch.object(rolling, "_roll_shard", at_once)]


def rolls_primaries() -> list[Any]:
    """They are ended as they are, without a hand-over."""

    def at_once(draft: Draft, shard: DesiredShard, hand_over: rolling.HandOver) -> bool:
        name = draft.shard_memory(shard).primary
        if draft.is_outdated(name):
            draft.remembered(name).roll_of = draft.remembered(name).launches
            draft.act(Stop(node=name, incarnation=draft.current(name), kill=False))
        return False

    return [patch.object(rolling, "_roll_shard", at_once)]


def keeps_temporaries() -> list[Any]:
    """Who stands in for a node never leaves."""
    finish = rolling._finish_shard

    def never(draft: Draft, shard: DesiredShard, memory: Any, unready: list[str], hand_over: rolling.HandOver) -> bool:
        stood_in = memory.temporary
        done = finish(draft, shard, memory, unready, hand_over)
        memory.temporary = stood_in
        return done

    return [patch.object(rolling, "_finish_shard", never)]


def encrypts_early() -> list[Any]:
    """Nodes reach each other with TLS as soon as that is asked for, whether all can or not."""

    def at_once(draft: Draft) -> None:
        draft.memory.encrypted_links = bool(draft.desired.transit)

    return [patch.object(group, "choose_links", at_once)]


def links_in_the_clear() -> list[Any]:
    """Only clients ever get TLS."""

    def never(draft: Draft) -> None:
        draft.memory.encrypted_links = False

    return [patch.object(group, "choose_links", never)]


def keeps_certificates() -> list[Any]:
    """A launch shows for ever what it began with."""
    return [patch.object(group, "certify", lambda draft: None)]


def forgets_the_departed() -> list[Any]:
    """A new node of an old name begins to count its launches anew."""
    launch = lifecycle.launch

    def anew(draft: Draft, node: str, follow: str = "") -> None:
        draft.memory.departed.clear()
        launch(draft, node, follow)

    return [patch.object(lifecycle, "launch", anew)]


def stops_anywhere() -> list[Any]:
    """Where an update was stopped every node stays as it is, whatever its primary is."""

    def stays(made: Draft, node: str) -> bool:
        asked = made.desired.update
        return asked is not None and bool(asked.stopped_at)

    return [patch.object(Draft, "_stays_behind", stays)]
