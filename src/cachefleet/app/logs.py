"""Structured logs: JSON lines in the data folder, a file for each service, rotated; warnings also on standard error."""

from __future__ import annotations

import logging
import logging.handlers
import os
import sys
from pathlib import Path

import structlog

LOG_BYTES = 16 * 1024 * 1024
LOG_FILES = 3


class _PrivateFile(logging.handlers.RotatingFileHandler):
    """A disk that is full costs lines of the log, not a stack trace on the screen for each of them."""

    _told = False

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        error = sys.exception()
        if not isinstance(error, OSError):
            super().handleError(record)
        elif not self._told:
            self._told = True
            print(f"{self.baseFilename} cannot be written: {error.strerror}", file=sys.stderr)

    def _open(self):  # type: ignore[no-untyped-def]
        return os.fdopen(os.open(self.baseFilename, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "a", encoding="utf-8")


def log_file(data_dir: Path, number: int) -> Path:
    """Of the service with that number: two processes that rotate one file lose lines."""
    return data_dir / ("service.log" if number == 1 else f"service-{number}.log")


def warn_on_screen() -> None:
    """For commands that do the service's work themselves: warnings go to standard error, and nothing to what they answer."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def configure_logs(path: Path) -> None:
    """Everything from INFO on goes to that file; warnings also to standard error."""
    file = _PrivateFile(path, maxBytes=LOG_BYTES, backupCount=LOG_FILES, delay=False)
    screen = logging.StreamHandler(sys.stderr)
    screen.setLevel(logging.WARNING)
    logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=[file, screen], force=True)
    for noisy in ("uvicorn", "uvicorn.error", "asyncio", "sqlalchemy", "botocore"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
