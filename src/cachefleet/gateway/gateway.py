"""A request's life, as one list of steps: limit, identify, verify, decode, dispatch, encode, log.

Decides only what a wrong request is answered; what operations mean is the api's business. The server calls `Gateway.app`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

import msgspec
import structlog

from cachefleet.api.context import Caller, Context
from cachefleet.clock import Clock, Entropy
from cachefleet.gateway.credential import Credential
from cachefleet.gateway.exchange import AsgiScope, Disconnected, Receive, Reply, Send, read_request, send_reply
from cachefleet.interfaces import StoreError
from cachefleet.model.errors import AwsError
from cachefleet.protocol.authorization import Authorization, read_authorization
from cachefleet.protocol.codec import Codec, Codecs
from cachefleet.protocol.message import HttpRequest
from cachefleet.protocol.service import DEFAULT, clip, service
from cachefleet.protocol.sigv4 import verify
from cachefleet.settings import Settings

Authenticate = Callable[[str], Credential | None]  # by access key id
Report = Callable[[Context], Awaitable[Any]]
Dispatch = Callable[[Context, str, str, Mapping[str, Any]], Awaitable[Mapping[str, Any]]]  # context, service, operation, input

BODY_TIMEOUT_S = 30.0

_REPORT = "/status"
_METHODS = {"/": ("POST", "GET"), "/healthz": ("GET", "HEAD"), _REPORT: ("GET",)}
_TEXT = "text/plain; charset=utf-8"
_CLOSE = (b"connection", b"close")

log = structlog.get_logger("cachefleet.gateway")


class _Trace(msgspec.Struct):
    """What is known of a request so far: for the form of its errors and for its log line. Never a secret, never a body."""

    request_id: str
    codec: Codec
    service: str = DEFAULT
    operation: str = ""
    access_key_id: str = ""
    region: str = ""
    code: str = ""


class Gateway:
    """The API over HTTP. `app` is the ASGI application."""

    def __init__(
        self,
        authenticate: Authenticate,
        context: Callable[[Caller], Context],
        dispatch: Dispatch,
        clock: Clock,
        entropy: Entropy,
        settings: Settings,
        admit: Callable[[str, str], None] | None = None,
        report: Report | None = None,
    ) -> None:
        """admit: refuses (service, operation) by raising AwsError, before anything else is said of the request's input.
        report: what GET /status answers, as JSON, to who signs it."""
        self._report = report
        self._admit = admit or (lambda service_name, operation: None)
        self._authenticate = authenticate
        self._context = context
        self._dispatch = dispatch
        self._clock = clock
        self._entropy = entropy
        self._limits = settings.api
        self._codecs = Codecs()
        service(DEFAULT)  # read the large model now, so that the first request does not wait for it

    async def app(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """ASGI; HTTP requests only."""
        if scope["type"] != "http":
            return
        started = self._clock.monotonic()
        trace = _Trace(self._request_id(), self._codecs.query)
        try:
            reply = _aside(scope) or await self._answer(scope, receive, trace)
        except Disconnected:
            return
        except asyncio.CancelledError:
            # The service stops before the operation has ended. Without an answer that it can read an SDK would not retry.
            await send_reply(send, _refusal(AwsError("ServiceUnavailable", "The service is stopping; try again later."), trace))
            raise
        identified = (b"x-amzn-requestid", trace.request_id.encode())
        await send_reply(send, msgspec.structs.replace(reply, headers=(identified, *reply.headers)))
        log.info(
            "request answered",
            request_id=trace.request_id,
            method=scope["method"],
            path=clip(scope["path"]),
            service=trace.service,
            operation=trace.operation,
            access_key_id=trace.access_key_id,
            region=trace.region,
            status=reply.status,
            code=trace.code,
            reply_bytes=len(reply.body),
            duration_ms=round((self._clock.monotonic() - started) * 1000, 2),
        )

    async def _answer(self, scope: AsgiScope, receive: Receive, trace: _Trace) -> Reply:
        """The steps. Whatever goes wrong becomes an error reply in the request's own form."""
        try:
            request = await read_request(scope, receive, max_body_bytes=self._limits.max_body_bytes, timeout_s=BODY_TIMEOUT_S)
            claim = self._identify(request, trace)
            if claim.service != DEFAULT:
                await asyncio.to_thread(service, claim.service)  # a large model is read when it is first asked for
            credential = self._verify(request, claim, trace)
            if request.path == _REPORT:
                return await self._tell(claim, credential, trace)
            trace.codec = self._codecs.choose(request, claim.service)
            trace.operation, parameters = trace.codec.decode(
                service(claim.service), request, partial(self._admit, claim.service)
            )
            caller = _caller(claim, credential, trace)
            result = await self._dispatch(self._context(caller), claim.service, trace.operation, parameters)
            body = trace.codec.encode(service(claim.service), trace.operation, result, trace.request_id)
            return Reply(200, trace.codec.content_type, body)
        except AwsError as error:
            return _refusal(error, trace)
        except StoreError as error:
            log.warning("store failed", request_id=trace.request_id, operation=trace.operation, why=str(error))
            return _refusal(AwsError("ServiceUnavailable", "The database cannot be used at present; try again."), trace)
        except Disconnected:
            raise
        except Exception:
            log.exception("request failed", request_id=trace.request_id, service=trace.service, operation=trace.operation)
            why = f"An internal error happened; the service's log says more under request id {trace.request_id}."
            return _refusal(AwsError("InternalFailure", why), trace)

    async def _tell(self, claim: Authorization, credential: Credential, trace: _Trace) -> Reply:
        told = await self._report(self._context(_caller(claim, credential, trace))) if self._report is not None else {}
        return Reply(200, "application/json", msgspec.json.encode(told))

    def _identify(self, request: HttpRequest, trace: _Trace) -> Authorization:
        claim = read_authorization(request)
        trace.service, trace.region, trace.access_key_id = claim.service, claim.region, clip(claim.access_key_id)
        trace.codec = self._codecs.of_service(claim.service)
        return claim

    def _verify(self, request: HttpRequest, claim: Authorization, trace: _Trace) -> Credential:
        credential = self._authenticate(claim.access_key_id)
        if credential is None or claim.session_token:
            raise AwsError("InvalidClientTokenId", "The security token included in the request is invalid.")
        verify(request, claim, credential.secret_access_key, self._clock.now(), self._limits.clock_skew_s)
        return credential

    def _request_id(self) -> str:
        digits = self._entropy.hex(16)
        return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def _caller(claim: Authorization, credential: Credential, trace: _Trace) -> Caller:
    return Caller(
        account=credential.account,
        region=claim.region,
        access_key_id=credential.access_key_id,
        arn=credential.arn,
        user_id=credential.user_id,
        request_id=trace.request_id,
    )


def _aside(scope: AsgiScope) -> Reply | None:
    """The answer to what is no API request: the health check, other paths, other methods."""
    methods = _METHODS.get(scope["path"])
    if methods is None:
        return Reply(404, _TEXT, b"Not found. The API answers POST /, GET /status and the health check GET /healthz.\n")
    if scope["method"] not in methods:
        allowed = ", ".join(methods).encode()
        return Reply(405, _TEXT, b"Method not allowed; use " + allowed + b".\n", ((b"allow", allowed),))
    return Reply(200, _TEXT, b"ok") if scope["path"] == "/healthz" else None


def _refusal(error: AwsError, trace: _Trace) -> Reply:
    trace.code = error.code
    body = trace.codec.encode_error(service(trace.service), error, trace.request_id)
    hang_up = error.http_status in (408, 413, 503)  # the rest of the request is unwanted, or the connection is
    return Reply(error.http_status, trace.codec.content_type, body, (_CLOSE,) if hang_up else ())
