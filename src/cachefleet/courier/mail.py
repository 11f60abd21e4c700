"""One mail through the relay of the settings. In a thread of its own, since smtplib waits; two at a time at most.

The thread ends with the process: a relay that hangs does not keep the service from stopping.
"""

from __future__ import annotations

import asyncio
import contextlib
import smtplib
import socket
import threading
from collections.abc import Callable
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formataddr, formatdate

from cachefleet.courier.failure import Undelivered
from cachefleet.settings import NotificationSettings

AT_ONCE = 2


class MailRelay:
    """send() raises Undelivered."""

    def __init__(self, settings: NotificationSettings) -> None:
        self._settings = settings
        self._gate = asyncio.Semaphore(AT_ONCE)

    async def send(self, to: str, name: str, subject: str, text: str, message_id: str, at: float) -> None:
        """name: whom it is from, beside the address of the settings. at: epoch seconds."""
        if not self._settings.smtp_host:
            raise Undelivered("the setting notifications.smtp_host names no relay", lasting=True)
        mail = letter(self._settings.smtp_from, to, name, subject, text, message_id, at)
        async with self._gate:
            await _in_thread(lambda: self._hand_over(mail, to))

    def _hand_over(self, mail: EmailMessage, to: str) -> None:
        settings = self._settings
        try:
            with smtplib.SMTP(
                settings.smtp_host, settings.smtp_port, socket.gethostname(), timeout=settings.attempt_timeout_s
            ) as relay:
                relay.send_message(mail, settings.smtp_from, [to])
        except smtplib.SMTPRecipientsRefused as error:
            code = next((code for code, _ in error.recipients.values()), 0)
            raise Undelivered(f"the relay refuses the address (status {code})", lasting=code >= 500) from None
        except smtplib.SMTPResponseException as error:
            raise Undelivered(f"the relay answers with status {error.smtp_code}", lasting=error.smtp_code >= 500) from None
        except (OSError, smtplib.SMTPException) as error:
            raise Undelivered(f"the relay cannot be used: {getattr(error, 'strerror', '') or type(error).__name__}") from None


def letter(sender: str, to: str, name: str, subject: str, text: str, message_id: str, at: float) -> EmailMessage:
    """Header fields are one line each, whatever comes in: EmailMessage refuses line breaks, so there are none left."""
    mail = EmailMessage(policy=SMTP)
    mail["Subject"] = _line(subject)
    mail["From"] = formataddr((_line(name), sender))
    mail["To"] = _line(to)
    mail["Date"] = formatdate(at)
    mail["Message-ID"] = f"<{_line(message_id)}@{sender.rpartition('@')[2]}>"
    mail.set_content(text.encode(errors="replace").decode())
    return mail


def _line(text: str) -> str:
    printable = "".join(character if character.isprintable() else " " for character in text)
    return " ".join(printable.split())


async def _in_thread(work: Callable[[], None]) -> None:
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()

    def settle(error: Exception | None) -> None:
        if done.done():
            return
        if error is None:
            done.set_result(None)
        else:
            done.set_exception(error)

    def run() -> None:
        error: Exception | None = None
        try:
            work()
        except Exception as caught:
            error = caught
        with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(settle, error)

    threading.Thread(target=run, name="mail", daemon=True).start()
    await done
