"""Seeds that failed once, with what they showed. A seed means another run as soon as anything draws chance differently: what it
showed has a test of its own where that was possible, and the kinds of faults that brought it out are named for the hunt."""

from __future__ import annotations

import msgspec


class Regression(msgspec.Struct, frozen=True):
    seed: int
    only: tuple[str, ...] = ()


REGRESSIONS = (
    # A replica that got its data while no control plane watched counted as empty: its primary started empty, and wiped it.
    *(Regression(seed) for seed in (27, 29, 179, 195)),
    # A primary that ended while no control plane watched had no heir: the replica's link seemed to have broken long before.
    Regression(86),
    *(Regression(seed, ("crash a primary, and the plane",)) for seed in range(1000, 1010)),
    # The primary tried to bind an address again and again that a busy replica still held.
    Regression(116),
    # The heir of a hand-over was promoted although the old primary, frozen and only paused for a moment, would write again.
    Regression(254),
    *(Regression(seed, ("freeze a primary", "lost replies", "plane killed at an effect")) for seed in range(1000, 1010)),
    # A Memcached node moved to another address, and clients were not told.
    Regression(333),
    # A take-over that had found no majority was never ordered.
    Regression(372),
    # A new cluster node claimed slots with the epoch of a dead one, and others never believed it.
    *(Regression(seed) for seed in (18, 151)),
    *(Regression(seed, ("crash many", "freeze")) for seed in range(1000, 1010)),
    # A replica that only we could not see for a moment counted as lagging for ever after.
    Regression(233),
    # A replica that had been cut off silently, its link still up, was promoted without what it had missed.
    Regression(39, ("cut off, then crash",)),
    *(Regression(seed, ("cut off, then crash",)) for seed in range(1000, 1010)),
    # The heir of a primary whose zone was out had nothing to take over with, and was a replica: it never began.
    *(Regression(seed) for seed in (3222, 4399)),
    *(Regression(seed, ("zone", "crash many")) for seed in range(1000, 1010)),
    # A source of keys came back with another identity, and its target never heard who owns the slots.
    Regression(368),
    Regression(112, ("move slots, then lose an end",)),
    # A node that joined under the name of one that had left was launched under an id of that one.
    *(Regression(seed, ("replicas", "one_replica", "crash")) for seed in range(5)),
    # A failed move waited for a hand-over that waited for it.
    Regression(12, ("more_shards", "fewer_shards", "other_slots", "crash", "plane killed at an effect")),
    # A replica had data, and said in the middle of a full synchronisation, which was broken off, that it had none.
    Regression(107),
    *(Regression(seed, ("move slots, then lose an end",)) for seed in range(1000, 1010)),
    *(Regression(seed, ("roll, then lose a node",)) for seed in range(1000, 1010)),
    # A node was rebooted in a step with TLS, and its successor froze before it could be asked whom it feeds.
    Regression(235),
    *(Regression(seed, ("step with TLS, then lose a node", "transit", "rotate")) for seed in range(1000, 1010)),
    # A lone node died in its new form while another shard rolled: it got a temporary replica, which left while it was greeted.
    *(Regression(seed) for seed in (771, 938, 1080)),
    # A lone node died while its temporary replica was cut off: nobody could promote that one, which is not shown.
    Regression(847),
    # The engines' elected primary ended before anybody saw it, and the frozen one woke up to follow it.
    Regression(741),
)
