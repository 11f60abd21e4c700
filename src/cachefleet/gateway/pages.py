"""What is answered to requests that are none of the API: pages for anybody, paths that there are not, wrong methods.

Called by the gateway before it looks for a signature.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from cachefleet.gateway.exchange import AsgiScope, Reply
from cachefleet.gateway.health import Ready, always_ready, readiness_reply
from cachefleet.protocol.rpc_cbor import is_operation_path

STATUS, INSIGHT, COST = "/status", "/insight", "/cost"  # of the API: signed
_AUTHORITIES = "/ca.pem"
_METRICS = "/metrics"
_READY = "/readyz"
_METHODS = {
    "/": ("POST", "GET"),
    "/healthz": ("GET", "HEAD"),
    _READY: ("GET", "HEAD"),
    _AUTHORITIES: ("GET", "HEAD"),
    STATUS: ("GET",),
    INSIGHT: ("GET", "POST"),
    COST: ("GET",),
    _METRICS: ("GET",),
}
_OPERATION_METHODS = ("POST",)  # where the path names an operation
_TEXT = "text/plain; charset=utf-8"
_PEM = "application/x-pem-file"
_EXPOSITION = "text/plain; version=0.0.4; charset=utf-8"  # of Prometheus


class Pages(msgspec.Struct, frozen=True):
    """authorities: by whom clients know caches with TLS (PEM). metrics: what they are to who shows this Authorization header,
    None when it is not the right one. ready: whether the service can do its work. certificate: the one (PEM) at this path,
    None for other paths."""

    authorities: Callable[[], str] = str
    metrics: Callable[[str], bytes | None] = lambda authorization: None
    ready: Ready = always_ready
    certificate: Callable[[str], bytes | None] = lambda path: None

    async def answer(self, scope: AsgiScope) -> Reply | None:
        """None for a request of the API."""
        path, method = scope["path"], scope["method"]
        methods = _OPERATION_METHODS if _names_an_operation(scope) else _METHODS.get(path)
        if methods is None:
            return self._elsewhere(path, method)
        if method not in methods:
            allowed = ", ".join(methods).encode()
            return Reply(405, _TEXT, b"Method not allowed; use " + allowed + b".\n", ((b"allow", allowed),))
        if path == _AUTHORITIES:
            return Reply(200, _PEM, self.authorities().encode())
        if path == _METRICS:
            return self._exposed(dict(scope["headers"]).get(b"authorization", b"").decode("latin-1"))
        if path == _READY:
            return readiness_reply(await self.ready())
        return Reply(200, _TEXT, b"ok") if path == "/healthz" else None

    def _elsewhere(self, path: str, method: str) -> Reply:
        found = self.certificate(path)
        if found is not None and method in ("GET", "HEAD"):
            return Reply(200, _PEM, found)
        return Reply(
            404,
            _TEXT,
            b"Not found. The API answers POST / and /service/NAME/operation/NAME; "
            b"GET /status, /insight, /cost, /ca.pem, /metrics, /healthz, /readyz.\n",
        )

    def _exposed(self, authorization: str) -> Reply:
        text = self.metrics(authorization)
        if text is not None:
            return Reply(200, _EXPOSITION, text)
        why = b"Show the token of the data folder's file metrics.token: Authorization: Bearer TOKEN.\n"
        return Reply(401, _TEXT, why, ((b"www-authenticate", b"Bearer"),))


def _names_an_operation(scope: AsgiScope) -> bool:
    """Not when anything of the path is percent-encoded: that is signed otherwise than it reads here."""
    return is_operation_path(scope["path"]) and b"%" not in scope.get("raw_path", b"")
