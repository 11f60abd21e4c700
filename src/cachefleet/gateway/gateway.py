"""A request's life, as one list of steps: limit, identify, verify, decode, dispatch, encode, audit, log.

Decides only what a wrong request is answered; what operations mean is the api's business. The server calls `Gateway.app`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any

import msgspec
import structlog

from cachefleet.api.context import Caller, Context
from cachefleet.clock import Clock, Entropy
from cachefleet.gateway.audit import Call
from cachefleet.gateway.exchange import AsgiScope, Disconnected, Receive, Reply, Send, read_head, read_request, send_reply
from cachefleet.gateway.large_replies import LargeReplies, is_large
from cachefleet.gateway.lockout import Lockout
from cachefleet.gateway.pages import COST, INSIGHT, STATUS, Pages
from cachefleet.gateway.request_span import request_span
from cachefleet.gateway.sources import source_of
from cachefleet.interfaces import StoreError
from cachefleet.metrics.instruments import Instruments
from cachefleet.model.errors import AwsError
from cachefleet.model.span import Trace as TraceSpan
from cachefleet.model.span import untraced
from cachefleet.policies.credential import Credential
from cachefleet.protocol.authorization import Authorization, read_authorization
from cachefleet.protocol.codec import Codec, Codecs
from cachefleet.protocol.compression import inflated
from cachefleet.protocol.message import HttpRequest
from cachefleet.protocol.service import DEFAULT, clip, service
from cachefleet.protocol.sigv4 import WrongSignature, verify
from cachefleet.settings import Settings

Authenticate = Callable[[str], Awaitable[Credential | None]]  # by access key id
Report = Callable[[Context, HttpRequest], Awaitable[Any]]
Dispatch = Callable[[Context, str, str, Mapping[str, Any]], Awaitable[Mapping[str, Any]]]  # context, service, operation, input

BODY_TIMEOUT_S = 30.0

_REPORTS = {  # as the audit log calls them
    ("GET", STATUS): "GetStatus",
    ("GET", INSIGHT): "GetInsight",
    ("POST", INSIGHT): "StartInsight",
    ("GET", COST): "GetCost",
}
_CLOSE = (b"connection", b"close")

log = structlog.get_logger("cachefleet.gateway")


class _Trace(msgspec.Struct):
    """What is known of a request so far: for the form of its errors, for its log line and for the audit log, which masks the
    secrets in parameters and result; nobody else may look at these. credential: once the signature was right."""

    request_id: str
    codec: Codec
    service: str = DEFAULT
    operation: str = ""
    known: bool = False  # whether there is that operation
    access_key_id: str = ""
    region: str = ""
    code: str = ""
    message: str = ""
    source_address: str = ""
    ends: tuple[Sequence[object] | None, Sequence[object] | None] = (None, None)  # client and server
    user_agent: str = ""
    credential: Credential | None = None
    parameters: Mapping[str, Any] | None = None
    result: Mapping[str, Any] | None = None


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
        audit: Callable[[Call], None] | None = None,
        pages: Pages | None = None,
        instruments: Instruments | None = None,
        trace: TraceSpan = untraced,
        unsigned: Callable[[str, str], tuple[str, str] | None] = lambda query, account: None,
    ) -> None:
        """admit: refuses (service, operation) by raising AwsError, before anything else is said of the request's input.
        report: what /status, /insight and /cost answer, as JSON, to who signs it. audit: told of every call, as soon as it is
        known how it ends. pages: what anybody may see. instruments, trace: where requests are counted, and traced. unsigned:
        (service, region) of a GET with that query of that account that needs no signature, None when it does."""
        self._unsigned = unsigned
        self._account = settings.account
        self._instruments = instruments or Instruments()
        self._trace = trace
        self._pages = pages or Pages()
        self._audit = audit or (lambda call: None)
        self._lockout = Lockout(clock, settings.api.wrong_signatures, settings.api.lockout_s)
        self._report = report
        self._admit = admit or (lambda service_name, operation: None)
        self._authenticate = authenticate
        self._context = context
        self._dispatch = dispatch
        self._clock = clock
        self._entropy = entropy
        self._limits = settings.api
        self._codecs = Codecs()
        self._large = LargeReplies()
        service(DEFAULT)  # read the large model now, so that the first request does not wait for it

    async def app(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """ASGI; HTTP requests only."""
        if scope["type"] != "http":
            return
        started = self._clock.monotonic()
        head = read_head(scope)
        ends = scope.get("client"), scope.get("server")
        trace = _Trace(self._request_id(), self._codecs.for_errors(head), source_address=(ends[0] or ("",))[0], ends=ends)
        aside = await self._pages.answer(scope)
        try:
            reply = aside or await self._answer(scope, head, receive, trace)
        except Disconnected:
            return
        except asyncio.CancelledError:
            # The service stops before the operation has ended. Without an answer that it can read an SDK would not retry.
            refusal = _refusal(AwsError("ServiceUnavailable", "The service is stopping; try again later."), trace)
            self._audit(_call(scope, trace))
            await send_reply(send, refusal)
            raise
        took_s = self._clock.monotonic() - started
        if aside is None:
            self._audit(_call(scope, trace))
            self._count(_service_of(scope, trace), trace, head, reply.status, took_s)
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
            duration_ms=round(took_s * 1000, 2),
        )

    def _count(self, served: str, trace: _Trace, head: HttpRequest, status: int, took_s: float) -> None:
        operation = trace.operation if trace.known else "unknown"  # what is not known is the client's word
        self._instruments.requests.add(served, operation, trace.code or "OK")
        self._instruments.request_times.observe(took_s, served, operation)
        about = {
            "rpc.service": served,
            "rpc.method": operation,
            "cloud.region": trace.region,
            "aws.request_id": trace.request_id,
            "error.type": trace.code,
        }
        self._trace(request_span(about, head.headers, status, self._clock.now() - took_s, took_s))

    async def _answer(self, scope: AsgiScope, head: HttpRequest, receive: Receive, trace: _Trace) -> Reply:
        """The steps. Whatever goes wrong becomes an error reply in the request's own form."""
        try:
            most = self._limits.max_body_bytes
            request = await read_request(scope, head, receive, max_body_bytes=most, timeout_s=BODY_TIMEOUT_S)
            trace.user_agent = request.headers.get("user-agent", "")
            caller = await self._caller(request, trace)
            if (request.method, request.path) in _REPORTS:
                return await self._tell(request, caller, trace)
            served = service(trace.service)
            trace.codec = self._codecs.choose(request, served)
            _, trace.parameters = trace.codec.decode(served, inflated(request, most), partial(self._admitted, trace))
            trace.result = await self._dispatch(self._context(caller), trace.service, trace.operation, trace.parameters)
            if is_large(trace.result):
                body = await self._large.encode(request, served, trace.operation, trace.result, trace.request_id)
            else:
                body = trace.codec.encode(served, trace.operation, trace.result, trace.request_id)
            return Reply(200, trace.codec.content_type if body else "", body, trace.codec.headers)
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

    async def _tell(self, request: HttpRequest, caller: Caller, trace: _Trace) -> Reply:
        trace.operation, trace.known = _REPORTS[request.method, request.path], True
        told = await self._report(self._context(caller), request) if self._report is not None else {}
        return Reply(200, "application/json", msgspec.json.encode(told))

    async def _caller(self, request: HttpRequest, trace: _Trace) -> Caller:
        """Who signed it, or nobody for what needs no signature."""
        if request.method == "GET" and request.path == "/" and "authorization" not in request.headers:
            unsigned = self._unsigned(request.query, self._account)
            if unsigned is not None:
                await self._speak(request, trace, *unsigned)
                return _nobody(self._account, trace)
        claim = read_authorization(request)
        trace.access_key_id = clip(claim.access_key_id)
        await self._speak(request, trace, claim.service, claim.region)
        return _caller(claim, await self._verify(request, claim, trace), trace)

    async def _speak(self, request: HttpRequest, trace: _Trace, service_name: str, region: str) -> None:
        """From here on in the form of that service."""
        if service_name != DEFAULT:
            await asyncio.to_thread(service, service_name)  # a large model is read when it is first asked for
        trace.service, trace.region = service_name, region
        trace.codec = self._codecs.for_errors(request, service(service_name))

    async def _verify(self, request: HttpRequest, claim: Authorization, trace: _Trace) -> Credential:
        credential = await self._authenticate(claim.access_key_id)
        if credential is None or claim.session_token:
            raise AwsError("InvalidClientTokenId", "The security token included in the request is invalid.")
        source = source_of(*trace.ends) if self._lockout else ""  # the kernel is not asked while nobody guesses
        self._lockout.check(source, credential.access_key_id)
        try:
            verify(request, claim, credential.secret_access_key, self._clock.now(), self._limits.clock_skew_s)
        except WrongSignature:
            self._lockout.wrong(source or source_of(*trace.ends), credential.access_key_id)
            raise
        self._lockout.right(source, credential.access_key_id)
        trace.credential = credential
        return credential

    def _admitted(self, trace: _Trace, operation: str) -> None:
        trace.operation = operation
        self._admit(trace.service, operation)
        trace.known = True

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
        is_root=credential.is_root,
        user_name=credential.user_name,
        policies=credential.policies,
        source_address=trace.source_address,
        user_agent=trace.user_agent,
    )


def _nobody(account: str, trace: _Trace) -> Caller:
    """Who has no key, and so no policies."""
    return Caller(
        account=account,
        region=trace.region,
        access_key_id="",
        arn="",
        user_id="",
        request_id=trace.request_id,
        source_address=trace.source_address,
        user_agent=trace.user_agent,
    )


def _service_of(scope: AsgiScope, trace: _Trace) -> str:
    return "cachefleet" if (scope["method"], scope["path"]) in _REPORTS else trace.service


def _call(scope: AsgiScope, trace: _Trace) -> Call:
    return Call(
        request_id=trace.request_id,
        service=_service_of(scope, trace),
        operation=trace.operation,
        region=trace.region,
        source_address=trace.source_address,
        user_agent=trace.user_agent,
        access_key_id=trace.access_key_id,
        credential=trace.credential,
        parameters=trace.parameters,
        reply=trace.result if not trace.code else None,
        error_code=trace.code,
        error_message=trace.message,
    )


def _refusal(error: AwsError, trace: _Trace) -> Reply:
    trace.code, trace.message = error.code, error.message
    served, codec = service(trace.service), trace.codec
    body = codec.encode_error(served, error, trace.request_id)
    status = codec.error_status(served, error)
    hang_up = (_CLOSE,) if status in (408, 413, 503) else ()  # the rest of the request is unwanted, or the connection is
    return Reply(status, codec.content_type, body, (*codec.headers, *codec.error_headers(served, error), *hang_up))
