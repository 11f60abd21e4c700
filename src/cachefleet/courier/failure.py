"""A delivery that did not succeed. Raised by whatever brings messages, caught by the courier."""

from __future__ import annotations


class Undelivered(Exception):
    """lasting: trying again would not help. The message says why, without passwords and without the endpoint's address."""

    def __init__(self, why: str, *, lasting: bool = False) -> None:
        super().__init__(why)
        self.lasting = lasting
