"""What every shape of group shares: processes that must go, nodes that must start, creations that are given up.

Called by planning.group; which node may start in which role is the shape's business (`may_launch`).
"""

from __future__ import annotations

from collections.abc import Callable

from cachefleet.model.event import NoticeName
from cachefleet.model.group import NodeMemory, incarnation
from cachefleet.model.observed import ProcessView
from cachefleet.model.plan import Erase, Launch, Stop
from cachefleet.planning.draft import Draft
from cachefleet.planning.guarding import why_not_protected
from cachefleet.planning.restoring import broken_feed, forget_feeds, is_fed, why_not_launched

BACKOFF_FIRST_S = 0.5
BACKOFF_CAP_S = 60.0
STEADY_S = 1.0  # a node that ends sooner after it became ready has failed to start; so a crash loop is one at any speed
ACCIDENTS = 4  # such ends in a row that cost no time: others than the node itself may be at fault
ADDRESS_ATTEMPTS = 3  # failed starts in a row before a node tries another address: a stranger may sit on its own
EPSILON_S = 1e-6  # a failure that costs no wait is counted all the same, once
UNSEEN_S = 1.0  # a launch that the host knows nothing of by then was not made

# Every point in time that memory holds; 0 is none.
GROUP_TIMES = ("strangers_since", "scaled_at", "slots_held_since", "strays_since", "proof_at")
NODE_STARTS = ("launched_at", "feed_at", "fed_at", "ready_at")
NODE_TIMES = (*NODE_STARTS, "ended_at", "retry_at", "lagging_since", "left_at", "met_again_at")
SHARD_TIMES = ("decided_at", "balanced_at")
MOVE_TIMES = ("begun_at", "progressed_at")
BALANCING_TIMES = ("begun_at",)
UPDATE_TIMES = ("asked_at", "ended_at", "stopped_at", "failed_at")
NODE_UPDATE_TIMES = ("begun_at", "ended_at")
_FUTURE = ("retry_at",)


def follow_clock(draft: Draft) -> None:
    """When the machine's clock was set back, move everything remembered along with it: waits keep their length."""
    memory = draft.memory
    things: list[tuple[object, tuple[str, ...]]] = [(memory, GROUP_TIMES)]
    things += [(node, NODE_TIMES) for node in memory.nodes.values()]
    things += [(shard, SHARD_TIMES) for shard in memory.shards.values()]
    things += [(move, MOVE_TIMES) for move in memory.moves]
    things += [(course, UPDATE_TIMES) for course in memory.updates]
    things += [(node, NODE_UPDATE_TIMES) for course in memory.updates for node in course.nodes.values()]
    things += [(memory.balancing, BALANCING_TIMES)] if memory.balancing is not None else []
    times = [(thing, name) for thing, names in things for name in names if getattr(thing, name)]
    ahead_s = max((getattr(thing, name) for thing, name in times if name not in _FUTURE), default=0.0) - draft.now
    if ahead_s <= 0:
        return
    for thing, name in times:
        setattr(thing, name, getattr(thing, name) - ahead_s)


def clear_all(draft: Draft) -> bool:
    """Stop and erase everything of the group; what is fed is so no more. True when nothing is left."""
    forget_feeds(draft)
    for process in draft.observed.processes.values():
        name = process.incarnation
        draft.act(Stop(node=name, incarnation=name) if process.running else Erase(node=name, incarnation=name))
    return not draft.observed.processes


def clear_stale(draft: Draft) -> None:
    """Stop incarnations that are no node's current one; erase the ended ones. A node's own ended one stays as evidence
    until the next launch."""
    current = {draft.current(node) for node in draft.memory.nodes}
    for process in draft.observed.processes.values():
        name = process.incarnation
        if name in current:
            continue
        draft.act(Stop(node=name, incarnation=name) if process.running else Erase(node=name, incarnation=name))


def note_ends(draft: Draft, nodes: list[str]) -> None:
    """Remember since when a node has no process; that may be long ago, when nothing could be saved since."""
    for node in nodes:
        memory, process = draft.remembered(node), draft.process(node)
        if draft.running(node) or not memory.launches:
            memory.ended_at = 0.0
        elif not memory.ended_at:
            ended_s = process.ended_s if process is not None else 0.0
            memory.ended_at = draft.now - ended_s
            memory.end_unseen = process is None or not process.exit or draft.observed.watched_s < ended_s + UNSEEN_S


def begin_reboot(draft: Draft, node: str, reboots: int) -> None:
    """End the current incarnation on request; a later pass finds the node ended and launches it anew. Which launch has to end
    is saved with this plan, so that a reboot is never forgotten when we die before it is done."""
    memory = draft.remembered(node)
    memory.reboots = reboots
    memory.reboot_of = memory.launches
    memory.became_ready = memory.ready = False
    draft.tell_node(node, f"Cache node {draft.node_id(node)} shutdown")
    draft.act(Stop(node=node, incarnation=draft.current(node), kill=False))


def continue_reboots(draft: Draft, nodes: list[str]) -> None:
    """End incarnations whose reboot was begun in an earlier pass and that run nevertheless."""
    for node in nodes:
        memory = draft.remembered(node)
        if memory.reboot_of == memory.launches and memory.launches and draft.running(node):
            draft.act(Stop(node=node, incarnation=draft.current(node), kill=False))


def _is_going(draft: Draft, node: str) -> bool:
    """On purpose: for a reboot, or because it is launched anew in another form."""
    memory = draft.remembered(node)
    return bool(memory.launches) and memory.launches in (memory.reboot_of, memory.roll_of)


def launch(draft: Draft, node: str, follow: str = "") -> None:
    """Start the node's next incarnation. The number is saved before the launch, so that no id is ever used twice."""
    memory = draft.remembered(node)
    if not memory.launches:
        memory.launches = memory.launches_before = draft.memory.departed.pop(node, 0)
    memory.launches += 1
    memory.launched_at = draft.now
    memory.ended_at = 0.0
    memory.engine_id = ""
    memory.ready = memory.became_ready = memory.held_data = False
    memory.ready_at = memory.lagging_since = 0.0
    memory.given_up = memory.buffer_percent = 0
    memory.met_again_at = memory.left_at = 0.0
    memory.counts_load = memory.checks_no_tokens = memory.lacks_parameters = False
    memory.form = draft.form
    memory.seeded = node in draft.filling
    memory.feed_at = memory.fed_at = 0.0
    name = incarnation(draft.desired.uid, node, memory.launches)
    draft.act(
        Launch(
            node=node,
            incarnation=name,
            follow=follow,
            seeded=memory.seeded,
            users=draft.observed.users,
            addresses=draft.reached_at(node),
        )
    )


def is_first_launch(memory: NodeMemory) -> bool:
    return memory.launches == memory.launches_before + 1


def note_failures(draft: Draft, nodes: list[str]) -> None:
    """Count launches that ended, or never answered in time, and set when to try again."""
    for node in nodes:
        memory = draft.remembered(node)
        counted = memory.retry_at > memory.launched_at
        if not memory.launches or counted or _is_going(draft, node) or draft.is_doomed(node) or is_fed(draft, node):
            continue
        process = draft.process(node)
        late_s = draft.now - max(memory.launched_at, memory.fed_at)
        broken = broken_feed(draft, node)
        if broken:
            _count_broken_feed(draft, node, broken)
            continue
        if memory.became_ready:
            if process is not None and not process.running and memory.ended_at - memory.ready_at < STEADY_S:
                _count_crash(draft, node, f"ended soon after its start: {_last_words(process)}")
        elif process is not None and process.running:
            view = draft.observed.views.get(node)
            late_s = min(late_s, draft.observed.watched_s)  # a clock that was set forward makes nobody late
            if late_s > draft.rules.launch_timeout_s and view is not None and not view.reachable:
                draft.act(Stop(node=node, incarnation=draft.current(node)))
                _count_failure(draft, node, f"did not answer within {draft.rules.launch_timeout_s:g} s after its start")
        elif process is not None:
            _count_failure(draft, node, f"ended at its start: {_last_words(process)}")
            _leave_address(draft, node)
        elif late_s > UNSEEN_S:
            # We died before the start, or the host refused it (then the log says why): no proof that it cannot succeed.
            _back_off(draft, node, "could not be started; the service's log says why")


def _count_broken_feed(draft: Draft, node: str, why: str) -> None:
    """The engine still waits for its first byte, or ends with its feed by itself."""
    process = draft.process(node)
    if process is not None and process.running:
        draft.act(Stop(node=node, incarnation=draft.current(node)))
    _count_failure(draft, node, f"could not be restored: {why}")
    draft.memory.unrestorable = bool(draft.memory.failure)


def _last_words(process: ProcessView) -> str:
    log = process.log_tail.strip().splitlines()
    return (process.exit or "nobody saw how") + (f": {log[-1]}" if log else "")


def _leave_address(draft: Draft, node: str) -> None:
    """A replacement may have another address (reference 2.5): what keeps the node from starting may sit on its own."""
    memory = draft.remembered(node)
    if draft.memory.provisioned and draft.is_desired(node) and memory.failures % ADDRESS_ATTEMPTS == 0:
        memory.address = ""


def _back_off(draft: Draft, node: str, why: str) -> None:
    memory = draft.remembered(node)
    memory.failures += 1
    doublings = memory.failures - 1 - (ACCIDENTS if memory.became_ready else 0)
    memory.retry_at = draft.now + min(BACKOFF_CAP_S, BACKOFF_FIRST_S * 2 ** max(0, min(doublings, 20)))
    memory.failure = why


def _count_crash(draft: Draft, node: str, why: str) -> None:
    """Of a node that was ready. One that was promoted since has shown that it can run."""
    memory = draft.remembered(node)
    promoted = any(shard.primary == node and shard.decided_at > memory.ready_at for shard in draft.memory.shards.values())
    if promoted or memory.failures < ACCIDENTS:
        memory.failures += not promoted
        memory.failure = why
        memory.retry_at = memory.launched_at + EPSILON_S
    else:
        _count_failure(draft, node, why)


def _count_failure(draft: Draft, node: str, why: str) -> None:
    memory = draft.remembered(node)
    _back_off(draft, node, why)
    draft.tell_node(node, f"Cache node {draft.node_id(node)} failed to start: {why}")
    if not draft.memory.provisioned and memory.failures >= draft.rules.create_attempts:
        draft.memory.failure = f"{node} {why}"


def launch_missing(draft: Draft, nodes: list[str], may_launch: Callable[[str], str | None]) -> None:
    """Start nodes that have no process. may_launch(node) gives the host to follow, "" for none, None for not now."""
    for node in nodes:
        memory = draft.remembered(node)
        if draft.running(node) or not memory.address:
            continue
        if memory.launches and draft.process(node) is None and draft.now - memory.launched_at < UNSEEN_S:
            draft.waiting = True  # launched a moment ago; a launch is not repeated before it can be seen
            continue
        if draft.is_out(node):
            draft.waiting = True
            draft.why[node] = f"waits for zone {memory.zone}, which is out"
            continue
        if draft.now < memory.retry_at:
            draft.waiting = True
            draft.why.setdefault(node, f"{memory.failure} (is started again after {memory.failures} failed starts)")
            continue
        why = why_not_launched(draft, node) or why_not_protected(draft, node)
        if why:
            draft.waiting = True
            draft.why.setdefault(node, why)
            continue
        follow = may_launch(node)
        if follow is None:
            draft.waiting = True
            continue
        if memory.became_ready:
            draft.tell_recovering(node)
        launch(draft, node, follow)


def _introduce(draft: Draft, node: str, zone: str) -> None:
    """A node that is ready for the first time, after the group's creation, which tells of its nodes itself."""
    draft.tell_node(node, f"Added cache node {draft.node_id(node)} in availability zone {zone}")
    if draft.replication_group:
        draft.tell_node(node, "Cache cluster created", NoticeName.CACHE_CLUSTER_PROVISIONING_COMPLETE)


def note_ready(draft: Draft, nodes: list[str]) -> None:
    """Carry readiness into memory, with the events that belong to it."""
    for node in nodes:
        memory = draft.remembered(node)
        if _is_going(draft, node):
            draft.ready.discard(node)
        ready = node in draft.ready
        if ready and not memory.became_ready:
            if not draft.is_desired(node):
                pass  # the process behind an endpoint, which clients know nothing of
            elif memory.reboot_of:
                restarted = f"Cache node {draft.node_id(node)} restarted"
                draft.tell_node(node, restarted, NoticeName.CACHE_NODES_REBOOTED)
            elif draft.memory.provisioned and not (memory.introduced or memory.recovering or memory.roll_of):
                _introduce(draft, node, memory.zone)
            memory.reboot_of = memory.roll_of = 0
            memory.became_ready = True
            memory.ready_at = draft.now
        if ready and memory.recovering:
            memory.recovering = False
            recovered = f"Finished recovery for cache nodes {draft.node_id(node)}"
            draft.tell_node(node, recovered, NoticeName.CACHE_NODE_REPLACE_COMPLETE)
        memory.introduced = memory.introduced or (ready and draft.memory.provisioned)
        if ready and memory.failures and draft.now - memory.ready_at >= STEADY_S:
            memory.failures, memory.failure = 0, ""
        memory.ready = ready
