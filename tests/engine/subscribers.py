"""Endpoints that subscribe to topics, as an HTTP server of somebody else.

The signature is verified as AWS's guide tells subscribers to do it, by nothing of ours.
"""

from __future__ import annotations

import base64
import json
import queue
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

PATIENCE_S = 60.0


class Subscriber(ThreadingHTTPServer):
    """Answers with 200, or 500 while it fails; every POST goes into `got`."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.fails = False
        self.got: queue.Queue[tuple[int, dict[str, str], bytes]] = queue.Queue()
        self.url = f"http://127.0.0.1:{self.server_port}/hook?x=1"

    def next(self, status: int = 200) -> tuple[dict[str, str], bytes]:
        """The next one that was answered with that status."""
        while True:
            answered, headers, body = self.got.get(timeout=PATIENCE_S)
            if answered == status:
                return headers, body


class Handler(BaseHTTPRequestHandler):
    server: Subscriber

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        status = 500 if self.server.fails else 200
        self.send_response(status)
        self.end_headers()
        self.server.got.put((status, {name.lower(): value for name, value in self.headers.items()}, body))

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass


@contextmanager
def listening() -> Iterator[Subscriber]:
    server = Subscriber()
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()


def verified(body: bytes) -> dict[str, Any]:
    """The message, when its signature is right: "Verifying the signatures of Amazon SNS messages"."""
    message: dict[str, Any] = json.loads(body)
    if message["Type"] == "Notification":
        keys = ["Message", "MessageId", *(["Subject"] if "Subject" in message else []), "Timestamp", "TopicArn", "Type"]
    else:
        keys = ["Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"]
    text = "".join(f"{key}\n{message[key]}\n" for key in keys)
    with urllib.request.urlopen(message["SigningCertURL"]) as reply:
        certificate = x509.load_pem_x509_certificate(reply.read())
    key = certificate.public_key()
    assert isinstance(key, rsa.RSAPublicKey)
    digest = {"1": hashes.SHA1, "2": hashes.SHA256}[message["SignatureVersion"]]()
    key.verify(base64.b64decode(message["Signature"]), text.encode(), padding.PKCS1v15(), digest)
    return message


def subscribed(sns: Any, topic: str, subscriber: Subscriber, **attributes: str) -> str:
    """Confirmed by following the link."""
    asked = sns.subscribe(
        TopicArn=topic, Protocol="http", Endpoint=subscriber.url, Attributes=attributes, ReturnSubscriptionArn=True
    )
    headers, body = subscriber.next()
    assert headers["x-amz-sns-message-type"] == "SubscriptionConfirmation"
    with urllib.request.urlopen(verified(body)["SubscribeURL"]) as reply:
        assert asked["SubscriptionArn"] in reply.read().decode()
    return str(asked["SubscriptionArn"])
