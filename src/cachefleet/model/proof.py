"""Proofs of snapshots: each is restored into throw-away engines once, to see that it can be. Names that several layers use.

A proof is a group's row in an account of its own, so that no user's listing, event or quota knows of it.
"""

from __future__ import annotations

from cachefleet.model.resource import GROUP_KINDS, Key

ACCOUNT = "proofs"  # no user's: those are of 12 digits

# Tags of a snapshot. The first asks for a proof and goes when it is done; of the others there is the one that tells how the
# last proof ended, which users cannot set.
ASKED = "cachefleet:verify"
PROVEN = "cachefleet:verified"
FAILED = "cachefleet:verify-failed"
RESULTS = (PROVEN, FAILED)


def is_proof(key: Key) -> bool:
    return key.account == ACCOUNT and key.kind in GROUP_KINDS
