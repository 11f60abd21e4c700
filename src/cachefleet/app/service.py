"""The running service: brings the concrete classes together, and ends them in order.

Nothing else constructs a store, a host, a driver or a gateway. Called by the command line (`cachefleet up`).
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack, ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import structlog
import uvloop

import cachefleet.api.operations  # noqa: F401  (registers them)
from cachefleet.api.context import Caller, Context
from cachefleet.api.notifications.unsigned import unsigned_call
from cachefleet.api.registry import dispatch, require
from cachefleet.api.reports import report
from cachefleet.app.access_reader import EngineAccessStrings
from cachefleet.app.audit_log import AuditLog, audit_file
from cachefleet.app.insight_role import insights
from cachefleet.app.installation import AlreadyRunning, FolderLost, Installation, ServiceLock
from cachefleet.app.log_delivery import log_collector, open_logs
from cachefleet.app.logs import configure_logs, log_file
from cachefleet.app.message_signing import MessageSigner
from cachefleet.app.metrics import Scrapes, open_metrics
from cachefleet.app.notifications import courier
from cachefleet.app.own_gauges import watch_parts
from cachefleet.app.parts import Folder, Parts, StartFailed, assemble, refuses_key
from cachefleet.app.readiness import ReadinessProbe
from cachefleet.app.scaling_role import scaler
from cachefleet.app.services import Membership, ServiceInfo, TooManyServices
from cachefleet.app.tasks import end
from cachefleet.app.traces import open_traces
from cachefleet.clock import Clock, Entropy, SystemClock, SystemEntropy
from cachefleet.control.controller import Controller
from cachefleet.control.leadership import LEASE
from cachefleet.costs.offerings import strange_prices
from cachefleet.engines.catalogue import InstalledEngines
from cachefleet.gateway.audit import Auditor
from cachefleet.gateway.gateway import Gateway
from cachefleet.gateway.pages import Pages
from cachefleet.gateway.server import serve
from cachefleet.hosts.local import LocalHost
from cachefleet.interfaces import HostRefused
from cachefleet.log_interfaces import LogStore
from cachefleet.metric_interfaces import Metrics
from cachefleet.metrics.instruments import Instruments
from cachefleet.settings import Settings
from cachefleet.store import StoreError, is_shared
from cachefleet.telemetry.alarm_watch import AlarmWatch
from cachefleet.telemetry.collector import Collector
from cachefleet.telemetry.exposition import Exposition
from cachefleet.telemetry.own_metrics import watch_lag
from cachefleet.telemetry.usage_ledger import COST, UsageCounter

log = structlog.get_logger()
FOLDER_LOOK_S = 2.0

__all__ = ["AlreadyRunning", "FolderLost", "Running", "StartFailed", "run_service"]


class Running(msgspec.Struct, frozen=True):
    url: str
    region: str
    data_dir: Path


def run_service(settings: Settings, announce: Callable[[Running], None]) -> int:
    """Serve until SIGINT or SIGTERM; caches go on afterwards. announce is called once, when the API answers.

    Raises AlreadyRunning, StartFailed, FolderLost.
    """
    installation = Installation(settings.data_dir)
    if "?" in str(settings.data_dir):
        raise StartFailed(f"the data folder's path must not contain a question mark: {settings.data_dir}")
    try:
        credentials = installation.prepare()
    except OSError as error:
        raise StartFailed(f"the data folder {settings.data_dir} cannot be used: {error.strerror}") from error
    with ExitStack() as stack:
        lock = stack.enter_context(ServiceLock(installation, shared=is_shared(settings.database_url)))
        sock = stack.enter_context(_listen(settings.listen))
        member = _join(settings, stack)
        configure_logs(log_file(settings.data_dir, member.number))
        running = Running(_url(sock), settings.region, settings.data_dir)

        def started() -> None:
            member.answers(running.url, running.region)
            lock.tell(ServiceInfo(os.getpid(), running.url, running.region))
            announce(running)

        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(_serve(settings, Folder(installation, credentials, lock, member), sock, started))
        except (StoreError, HostRefused) as error:
            raise StartFailed(str(error)) from error
    return 0


def _join(settings: Settings, stack: ExitStack) -> Membership:
    try:
        return stack.enter_context(Membership(settings.data_dir, SystemEntropy()))
    except (OSError, TooManyServices) as error:
        raise StartFailed(str(error)) from error


def _listen(where: str) -> socket.socket:
    host, colon, port = where.rpartition(":")
    if not colon or not host or not port.isdecimal():
        raise StartFailed(f"cannot listen on {where}: give an address and a port, such as --listen 127.0.0.1:8300")
    try:
        sock = socket.create_server((host.strip("[]"), int(port)), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except (OSError, ValueError, OverflowError) as error:
        raise StartFailed(f"cannot listen on {where}: {error}; choose another address with --listen HOST:PORT") from error
    sock.setblocking(False)
    return sock


def _url(sock: socket.socket) -> str:
    host, port = sock.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


async def _serve(settings: Settings, folder: Folder, sock: socket.socket, started: Callable[[], None]) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    clock, entropy = SystemClock(), SystemEntropy()
    async with AsyncExitStack() as stack:
        instruments = Instruments()
        trace = open_traces(settings, folder.member.holder, instruments, stack)
        parts = await assemble(settings, folder, clock, stack, instruments, trace)
        host, controller = parts.host, parts.controller
        exposition = Exposition(clock, instruments)
        metrics = await open_metrics(settings, clock, entropy, stack, instruments)
        logs = await open_logs(settings, stack)
        watch_parts(instruments, parts, settings.data_dir)
        await _adopt(host)
        audit = AuditLog(audit_file(settings.data_dir, folder.member.number), settings.audit, clock)
        stack.callback(audit.close)
        probe = ReadinessProbe(parts.store, parts.leadership, lambda: not control.done(), clock)
        auditor = Auditor(audit.write, clock, entropy, settings.account, reads=settings.audit.reads)

        contexts = _contexts(settings, parts, metrics, logs, clock, entropy)
        signer = MessageSigner(settings.data_dir, clock)
        gateway = Gateway(
            parts.keys.find,
            contexts,
            dispatch,
            clock,
            entropy,
            settings,
            _admit,
            report,
            auditor.tell,
            Pages(parts.certificates.authorities, Scrapes(settings, entropy, exposition).answer, probe.ready, signer.page),
            instruments,
            trace,
            unsigned_call,
        )
        # What exists now lives as long as the process: keep the garbage collector from walking it again and again.
        gc.collect()
        gc.freeze()
        collector = Collector(parts.sources, metrics, exposition)
        alarms = AlarmWatch(parts.store, metrics, clock, settings.api.memcached_nodes, instruments.alarms)
        delivery = log_collector(settings, parts, logs, clock)
        scaling = scaler(settings, parts, metrics, contexts, auditor, clock, entropy)
        notices = courier(settings, parts.store, signer, partial(_url, sock), clock, instruments)
        looks = insights(settings, parts, clock, entropy, stack)
        nodes = UsageCounter(parts.store, parts.store.usage, clock, LEASE, parts.leadership.token, settings)
        instruments.gauge(
            COST, "What the nodes counted last cost by the hour; 0 where the control loop does not run.", nodes.cost_per_hour
        )
        beside = collector.run, alarms.run, delivery.run, scaling.run, notices.run, looks.run, nodes.run
        control = asyncio.create_task(parts.leadership.run(partial(_lead, controller, *beside)))
        stack.push_async_callback(end, control)
        _log_start(settings, parts.catalogue)
        loop.call_soon(started)
        control.add_done_callback(lambda _: stop.set())
        for watching in (_watch(folder, clock, stop), _hand_over(control, stop), watch_lag(instruments, clock)):
            stack.push_async_callback(end, asyncio.create_task(watching))
        await serve(gateway.app, sock, stop)
        if folder.lost():
            await end(control)
            await _leave(folder.lock, host, settings.data_dir)
        log.info("service stops; caches go on")


def _contexts(
    settings: Settings, parts: Parts, metrics: Metrics, logs: LogStore, clock: Clock, entropy: Entropy
) -> Callable[[Caller], Context]:
    """What operations of a caller are given."""
    reader = EngineAccessStrings(clock)

    def context(caller: Caller) -> Context:
        return Context(
            caller=caller,
            store=parts.store,
            clock=clock,
            entropy=entropy,
            settings=settings,
            catalogue=parts.catalogue,
            refuses=parts.host.refuses,
            refuses_key=partial(refuses_key, parts.transfers),
            refuses_tokens=parts.iam_module.refuses,
            refuses_config=parts.config_module.refuses,
            network=parts.host.network,
            unguarded=lambda: parts.host.why_no_guard,
            read_access=reader.read,
            updates=parts.updates,
            shared=parts.store.shared,
            wake=parts.controller.wake,
            sealer=parts.sealer,
            metrics=metrics,
            logs=logs,
            usage=parts.store.usage,
            users_changed=parts.keys.forget,
        )

    return context


def _log_start(settings: Settings, catalogue: InstalledEngines) -> None:
    for path, why in catalogue.skipped():
        if path in settings.engines.binaries:
            log.warning("engine of the settings cannot be used", path=path, why=why)
    if strange := strange_prices(settings):
        log.warning("there are no such node types on the price list (setting prices.hourly)", node_types=strange)
    log.info(
        "service started", process=os.getpid(), engines=[f"{build.engine} {build.version}" for build in catalogue.builds()]
    )


async def _lead(controller: Controller, *beside: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """One term of leadership. beside: what runs as long, and never ends by itself."""
    tasks = [asyncio.create_task(run()) for run in beside]
    try:
        await controller.lead()
    finally:
        for task in tasks:
            await end(task)


async def _adopt(host: LocalHost) -> None:
    """Raises HostRefused. Rules that hold nobody back are said aloud."""
    await host.adopt()
    host.assume_identity()
    if host.why_no_guard:
        log.warning("security groups are recorded, not enforced", why=host.why_no_guard)


async def _watch(folder: Folder, clock: Clock, stop: asyncio.Event) -> None:
    """Until the data folder is no longer the one that was locked."""
    while not folder.lost():
        await clock.sleep(FOLDER_LOOK_S)
    stop.set()


async def _hand_over(control: asyncio.Task[None], stop: asyncio.Event) -> None:
    """As soon as we are to stop, another service may lead; requests under way are still answered."""
    await stop.wait()
    await end(control)


async def _leave(lock: ServiceLock, host: LocalHost, data_dir: Path) -> None:
    """Raises FolderLost. Caches of a moved folder go on, and are found again where it is now."""
    if not lock.erased():
        raise FolderLost(
            f"the data folder {data_dir} was moved, or its service.lock or services/ removed; the caches go on. "
            "Start the service again with --data and the folder's present place"
        )
    stopped = await host.stop_everything()
    await host.remove_rules()
    raise FolderLost(f"the data folder {data_dir} was deleted; its caches ({stopped} processes) have been stopped, too")


def _admit(service: str, operation: str) -> None:
    require(service, operation)
