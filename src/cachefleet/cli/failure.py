"""Errors as one line for a person at a terminal: what was wrong and what to do. Never a stack trace.

Used by every command through `main.run`, and by the demo for what it shows beside a running service.
"""

from __future__ import annotations

import traceback


class Failure(Exception):
    """A command cannot do what it was asked; the message is the whole line."""


def in_words(error: BaseException) -> str:
    """One line for any exception. Those of this program are raised with a message for people; what no one expected is a
    bug, and the line says where it is."""
    from botocore.exceptions import BotoCoreError, ClientError

    if type(error).__module__.startswith("cachefleet.") or isinstance(error, TimeoutError):
        return _one_line(str(error))
    if isinstance(error, ClientError):
        answer = error.response.get("Error", {})
        return _one_line(f"{error.operation_name} was refused: {answer.get('Code', '?')}: {answer.get('Message', '')}")
    if isinstance(error, BotoCoreError):
        return _one_line(str(error))
    if isinstance(error, OSError) and error.strerror:
        return _one_line(f"{error.filename}: {error.strerror}" if error.filename else error.strerror)
    frames = traceback.extract_tb(error.__traceback__)
    where = f" at {frames[-1].filename}:{frames[-1].lineno}" if frames else ""
    return _one_line(f"internal error: {type(error).__name__}: {error}{where}")


def _one_line(text: str) -> str:
    return " ".join(text.split())
