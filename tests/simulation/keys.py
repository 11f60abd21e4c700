"""Who may connect with IAM tokens, by the seed's chance: access keys, their owners' policies, tags of the engine's users.

What is permitted is reckoned here from what was chosen, not from the documents. An engine's module is what it was told: it lets
in whoever signs with a key of the day that is in its rules. Once a control plane could have told a node of a change, the node
must go by it, and so must every later launch, whoever leads or has died meanwhile.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from random import Random
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import replace

from cachefleet.app.access_keys import AccessKeys
from cachefleet.control.seams import Holders
from cachefleet.interfaces import Store
from cachefleet.model.group import Engine as EngineName
from cachefleet.model.group import incarnation
from cachefleet.model.iam import AccessKey, IamUserDesired, iam_scope, user_arn
from cachefleet.model.resource import Kind, Scope
from cachefleet.model.row import IamUserRow, UserGroupRow, UserRow
from cachefleet.model.signing import signing_key
from cachefleet.model.user import Authentication, UserDesired, UserEngine, UserGroupDesired
from cachefleet.policies.credential import Credential
from tests.fakes.catalogue import BUILDS, StaticCatalogue
from tests.simulation.resp import OK
from tests.simulation.store import LATENCY_S

if TYPE_CHECKING:
    from tests.simulation.engine import Engine
    from tests.simulation.world import World

TEAM = "team"
MODULE = "/modules/iam.so"
BOUND_S = 20.0  # two looks of at most 5 s each at what changed, a pass, and an answer that is waited for
LOOK_S = 0.25
USERS = ("anna", "bert")
ROOT = Credential("ROOT", "secret of ROOT", "000000000000", user_arn("000000000000", "/", "root"), "000000000000", is_root=True)
_OWNERS = ("ann", "ben", "cy")
_CONNECT = {"Effect": "Allow", "Action": "elasticache:Connect"}


class Policy(msgspec.Struct, frozen=True):
    """permits: told a user's id and stage."""

    statements: tuple[dict[str, Any], ...]
    permits: Callable[[str, str], bool]


def _policies(scope: Scope) -> tuple[Policy, ...]:
    cache, any_user = scope.arn("replicationgroup", "*"), scope.arn("user", "*")
    anna, bert = (scope.arn("user", user) for user in USERS)
    deny = {"Effect": "Deny", "Action": "elasticache:*", "Resource": bert}
    live = {"StringEquals": {"aws:ResourceTag/stage": "live"}}
    return (
        Policy((), lambda user, stage: False),
        Policy(({**_CONNECT, "Resource": "*"},), lambda user, stage: True),
        Policy(({**_CONNECT, "Resource": [cache, anna]},), lambda user, stage: user == "anna"),
        Policy(({**_CONNECT, "Resource": "*"}, deny), lambda user, stage: user != "bert"),
        Policy(({**_CONNECT, "NotResource": anna},), lambda user, stage: user != "anna"),
        Policy(({**_CONNECT, "Resource": any_user},), lambda user, stage: False),
        Policy(
            ({**_CONNECT, "Resource": cache}, {**_CONNECT, "Resource": any_user, "Condition": live}),
            lambda user, stage: stage == "live",
        ),
    )


def catalogue() -> StaticCatalogue:
    """Of engines that ask modules whom to let in."""
    valkeys = [build for build in BUILDS if build.engine is EngineName.VALKEY]
    return StaticCatalogue([replace(build, capabilities=build.capabilities | {"auth-callback"}) for build in valkeys])


class PlainSealer:
    def seal(self, text: str, purpose: str) -> str:
        return text

    def open(self, sealed: str, purpose: str) -> str:
        return sealed


class _Owner(msgspec.Struct):
    row: IamUserRow
    policy: Policy


def asked(engine: Engine, by: str, words: list[str]) -> Any:
    """CACHEFLEET.IAM, as engines/iam_module/module.c has it."""
    if words[0] == "RULES":
        engine.iam_rules = words[1]
        return OK
    return [hashlib.sha256(engine.iam_rules.encode()).hexdigest() if engine.iam_rules else "", 0, 0, 0, 0]


class Keys:
    """A pair is an access key and a user. changed_s: since when it is permitted, or not; known_s: since when they must know."""

    def __init__(self, world: World, scope: Scope, chance: Random) -> None:
        self._world, self._chance, self._scope = world, chance, scope
        self._policies = _policies(scope)
        self._owners: dict[str, _Owner] = {}
        self._users: dict[str, UserRow] = {}
        self._made = 0
        self._truth: dict[tuple[str, str], bool] = {}
        self._changed_s: dict[tuple[str, str], float] = {}
        self._known_s: dict[tuple[str, str], float] = {}
        self._trouble_s = -1e9
        self._jump_s = 0.0
        self._troubles_s: dict[str, float] = {}  # of engines, since when nothing is between them and control planes
        self._due: dict[str, set[tuple[str, str]]] = {}  # pairs that the engine has to refuse from now on
        self._seen_s: dict[str, float] = {}
        self._told: set[str] = set()

    def holders(self, store: Store) -> Holders:
        return AccessKeys(ROOT, store, PlainSealer(), self._world.clock)

    async def begin(self) -> None:
        """Users, their group, and owners of keys; from then on it looks."""
        for name in USERS:
            user = UserDesired(
                user_name=name, engine=UserEngine.VALKEY, access_string="on ~* +@all", authentication=Authentication.IAM
            )
            row = UserRow(key=self._scope.key(Kind.USER, name), desired=user, tags={"stage": "live"})
            self._users[name] = await self._insert(row)
        group = UserGroupDesired(engine=UserEngine.VALKEY, user_ids=USERS)
        await self._insert(UserGroupRow(key=self._scope.key(Kind.USER_GROUP, TEAM), desired=group))
        for name in _OWNERS:
            owner = IamUserDesired(name, "/", f"AIDA{name}", self._world.clock.now(), (self._new_key(), self._new_key()))
            policy = self._chance.choice(self._policies)
            made = IamUserRow(key=iam_scope(ROOT.account).key(Kind.IAM_USER, name), desired=_with(owner, policy))
            self._owners[name] = _Owner(await self._insert(made, made.desired.key_ids), policy)
        self._note_truth()
        self._look()

    def _new_key(self) -> AccessKey:
        self._made += 1
        return AccessKey(f"KEY{self._made}", _secret(f"KEY{self._made}"), self._world.clock.now())

    async def _insert(self, row: Any, members: tuple[str, ...] = ()) -> Any:
        return await self._world.database.change(lambda transaction: transaction.insert(row, members))

    # --- what changes ---

    async def change(self) -> None:
        """Something, as the API writes it."""
        if self._chance.random() < 0.2:
            await self._tag(self._chance.choice(USERS))
        else:
            await self._change(self._owners[self._chance.choice(_OWNERS)])
        self._note_truth()

    async def _tag(self, name: str) -> None:
        stage = self._chance.choice(("live", "test"))
        row = replace(self._users[name], tags={"stage": stage})
        self._users[name] = await self._world.database.change(lambda transaction: transaction.update(row))
        self._world.trace.note(f"keys     {name} is {stage}")

    async def _change(self, owner: _Owner) -> None:
        user = owner.row.desired
        match self._chance.choice(("switch", "switch", "replace", "policy", "policy")):
            case "switch":
                chosen = self._chance.choice(user.keys)
                keys = tuple(replace(key, active=key.active ^ (key is chosen)) for key in user.keys)
                user = replace(user, keys=keys)
            case "replace":
                user = replace(user, keys=(user.keys[1], self._new_key()))
            case _:
                owner.policy = self._chance.choice(self._policies)
                user = _with(user, owner.policy)
        row = replace(owner.row, desired=user)
        owner.row = await self._world.database.change(lambda transaction: transaction.update(row, user.key_ids))
        switched = " ".join(f"{key.key_id}{'' if key.active else ' (off)'}" for key in user.keys)
        self._world.trace.note(f"keys     {user.name} has {switched}, {user.policies}")

    def _note_truth(self) -> None:
        now_s = self._world.loop.time()
        truth = {(f"KEY{number + 1}", user): False for number in range(self._made) for user in USERS}
        for owner in self._owners.values():
            for key in owner.row.desired.keys:
                for user, row in self._users.items():
                    truth[key.key_id, user] = key.active and owner.policy.permits(user, row.tags["stage"])
        truth.update({(ROOT.access_key_id, user): True for user in USERS})
        for pair, permitted in truth.items():
            if self._truth.get(pair) is not permitted:
                self._changed_s[pair] = now_s
                self._known_s.pop(pair, None)
                for due in self._due.values():
                    due.discard(pair)
        self._truth = truth

    # --- what has to be ---

    def _look(self) -> None:
        now_s = self._world.loop.time()
        calm_since_s = self._calm_since_s(now_s)
        if calm_since_s + BOUND_S <= now_s:
            for pair, changed_s in self._changed_s.items():
                if changed_s + BOUND_S <= now_s:
                    self._known_s.setdefault(pair, now_s)
        for engine in self._engines():
            self._look_at(engine, calm_since_s, now_s)
        self._world.loop.after(LOOK_S, self._look)

    def _calm_since_s(self, now_s: float) -> float:
        """Since when nothing hinders control planes."""
        database, planes = self._world.database, [plane for plane in self._world.planes if plane.alive]
        troubled = database.away or database.failing or database.forgetful or database.latency_s > LATENCY_S
        jump_s, self._jump_s = self._jump_s, self._world.clock.jump_s  # another day has other keys
        if troubled or not planes or any(plane.stalled for plane in planes) or jump_s != self._jump_s:
            self._trouble_s = now_s
        return max(self._trouble_s, database.trouble_s, *(plane.trouble_s for plane in self._world.planes))

    def _engines(self) -> Iterator[Engine]:
        """Of present launches."""
        for uid, row in self._world.checkers.rows.items():
            for name, node in row.memory.nodes.items():
                engine = self._world.engines.get(incarnation(uid, name, node.launches))
                if engine is not None and engine.process.running:
                    yield engine

    def _look_at(self, engine: Engine, calm_since_s: float, now_s: float) -> None:
        launch, away_s = engine.process.incarnation, now_s - self._world.network.quiet_s(engine.host, "plane-")
        seen_s = self._seen_s.setdefault(launch, now_s)
        if engine.process.still or engine.script_since_s or engine.replication.state == "loading":
            self._troubles_s[launch] = now_s
        since_s = max(calm_since_s, seen_s, away_s, self._troubles_s.get(launch, seen_s))
        due = self._due.setdefault(launch, set())
        for pair, permitted in self._truth.items():
            told = max(since_s, self._changed_s[pair]) + BOUND_S <= now_s
            if permitted and told and not self._lets_in(engine, *pair):
                self._tell("kept out", f"{launch} does not let {' in as '.join(pair)}")
            if not permitted and (told or self._known_s.get(pair, now_s) < seen_s):
                due.add(pair)
            if pair in due and self._lets_in(engine, *pair):
                self._tell("let in", f"{launch} lets {' in as '.join(pair)}")

    def _tell(self, rule: str, what: str) -> None:
        """Once."""
        if what not in self._told:
            self._told.add(what)
            self._world.trace.violation(rule, what)

    def _lets_in(self, engine: Engine, key_id: str, user: str) -> bool:
        """Who signs with that key at this instant."""
        now_s = self._world.clock.now()
        day = datetime.fromtimestamp(now_s, UTC).strftime("%Y%m%d")
        signing = signing_key(_secret(key_id), day, self._scope.region, "elasticache").hex()
        lines = [line.split(" ") for line in engine.iam_rules.splitlines()]
        return ["user", user] in lines and any(
            words[1:4] == [key_id, day, signing] and int(words[4]) > now_s and {user, "*"} & set(words[6].split(","))
            for words in lines
            if words[0] == "key"
        )


def _secret(key_id: str) -> str:
    return f"secret of {key_id}"


def _with(user: IamUserDesired, policy: Policy) -> IamUserDesired:
    document = json.dumps({"Version": "2012-10-17", "Statement": list(policy.statements)})
    return replace(user, policies={"connects": document} if policy.statements else {})
