"""Whom nodes let in, by seeded chance: users change while nodes die, freeze, are busy or given up, and while whoever tells them
is cut short. The planner, and what AccessVerbs says, are real; engines are a model of ACL in the world of the planners' tests.

Once a change is shown as done, no process lets in anybody but those that shall; and every change is done in the end.
"""

from __future__ import annotations

import random
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from typing import Any

import pytest
from msgspec.structs import replace

from cachefleet.engine_interfaces import EngineRefused
from cachefleet.engines import access
from cachefleet.engines.access_verbs import AccessVerbs
from cachefleet.engines.capabilities import capabilities
from cachefleet.engines.replies import Identity
from cachefleet.model.access import CLOSED, OPEN, EngineUser, fingerprint
from cachefleet.model.group import Engine as Kind
from cachefleet.model.observed import Address, Observed
from cachefleet.model.plan import Admit, Launch
from cachefleet.planning.access import is_admitted
from tests.unit.planning.groups import clustered, replicated
from tests.unit.planning.world import Engine, World

SEEDS, STEPS = 300, 60
CAN = capabilities(Kind.VALKEY, "9.1.2")
Login = tuple[str, str]  # name, digest of what is shown; "" for nothing
ALL = ("~*", "&*", "+@all")
USERS = (
    OPEN,
    CLOSED,
    replace(OPEN, user_id="own", no_password=False, sha256=("d1",)),
    *(EngineUser("app", ALL, sha256=shown, user_id="app") for shown in (("a1",), ("a2",), ("a1", "a2"))),
    EngineUser("app", ALL, enabled=False, sha256=("a1",), user_id="app"),
    EngineUser("other", ALL, sha256=("o1",), user_id="other"),
)


def logins(users: Sequence[EngineUser]) -> frozenset[Login]:
    """Read from what was asked for."""
    return frozenset(
        (user.name, shown) for user in users if user.enabled for shown in (("",) if user.no_password else user.sha256)
    )


class Acl:
    """Users of one engine, as its own commands make them."""

    def __init__(self, users: Sequence[EngineUser]) -> None:
        self.users: dict[str, list[str]] = {"default": ["on", "nopass"]}
        for name, *words in access.directives(users, "controller", "peer", CAN):
            if name == "user":
                self.set(words[0], ["reset", *words[1:]])

    def set(self, name: str, rules: Sequence[str]) -> None:
        known = self.users.setdefault(name, ["off"])
        for rule in rules:
            if rule == "reset":
                known[:] = ["off"]
            elif rule in ("on", "off"):
                known[0] = rule
            elif rule == "nopass" or rule.startswith("#"):
                known.append(rule)

    def lets_in(self) -> frozenset[Login]:
        """Those that are not ours."""
        return frozenset(
            (name, rule.removeprefix("#").replace("nopass", ""))
            for name, (switch, *rules) in self.users.items()
            if switch == "on" and not access.is_ours(name)
            for rule in rules
        )

    def run(self, command: Sequence[str]) -> Any:
        match command:
            case ["ACL", "USERS"]:
                return list(self.users)
            case ["ACL", "GETUSER", name]:
                known = self.users.get(name)
                return None if known is None else ["flags", [known[0], *(rule for rule in known if rule == "nopass")]]
            case ["ACL", "SETUSER", name, *rules]:
                self.set(name, rules)
            case ["ACL", "DELUSER", *names]:
                for name in names:
                    del self.users[name]
            case ["COMMAND", "INFO", *names]:
                return [None for _ in names]
            case ["AUTH" | "CONFIG" | "CLIENT", *_]:
                pass
            case _:
                raise AssertionError(command)
        return "OK"


class Passwords:
    def controller(self, launch: str) -> str:
        return "controller"

    def peer(self, launch: str) -> str:
        return "peer"


class Line:
    """Connections of AccessVerbs to one engine, over which so many commands come through; None: all."""

    def __init__(self, engine: Acl, left: int | None) -> None:
        self.passwords = Passwords()
        self._engine, self._left = engine, left

    def renew(self, at: Address) -> None:
        """It always is as new."""

    async def identity(self, at: Address) -> Identity:
        return Identity(Kind.VALKEY, "9.1.2", at.launch, 1, CAN, checks_tokens=True)

    async def call(self, at: Address, *commands: Sequence[str]) -> list[Any]:
        replies = []
        for command in commands:
            if self._left == 0:
                raise EngineRefused("cut short")
            self._left = None if self._left is None else self._left - 1
            replies.append(self._engine.run(list(command)))
        return replies


def done(work: Coroutine[Any, Any, None]) -> None:
    """It waits for nobody. Raises what it raises."""
    with pytest.raises(StopIteration):
        work.send(None)


class Doors(World):
    """A world whose engines know users."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        super().__init__(self.chance.choice([replicated(1), replicated(3), clustered(2, 1)]))
        self.acls: dict[str, Acl] = {}
        self.users: tuple[EngineUser, ...] = (OPEN,)
        self.since_done = [logins(self.users)]  # what was wished for since a wish was shown as done, that one first
        self.calm = False

    def wish(self) -> None:
        """Some users, each name once. Nobody can take back what is not done yet: the API refuses it (InvalidUserState)."""
        named: dict[str, EngineUser] = {}
        for user in self.chance.sample(USERS, self.chance.randint(1, 4)):
            named[user.name] = user
        named.setdefault("default", CLOSED)
        users = tuple(named.values())
        if logins(users) not in self.since_done:
            self.users = users
            self.since_done.append(logins(users))

    def observe(self) -> Observed:
        observed = super().observe()
        views = {}
        for node, view in observed.views.items():
            acl = self.acls.get(self.of(node).incarnation)
            known = view.reachable and not view.busy_reply and acl is not None
            views[node] = replace(view, access=access.seen_mark(acl.users) if known and acl is not None else None)
        return replace(observed, views=views, users=self.users)

    def _bind_all(self, engine: Engine, addresses: tuple[str, ...]) -> None:
        """Refused where another one still has an address: whoever was to leave it was not told."""
        others = [other for other in self.engines.values() if other is not engine and other.running]
        if not any(address in other.bound for other in others for address in addresses):
            engine.bound = set(addresses)

    def _launch(self, action: Launch) -> None:
        super()._launch(action)
        self.acls[action.incarnation] = Acl(action.users)

    def _admit(self, action: Admit) -> None:
        engine = self.of(action.node)
        if engine.frozen or engine.incarnation in self.busy or not engine.running:
            return
        left = None if self.calm or self.chance.random() < 0.6 else self.chance.randint(0, 12)
        line: Any = Line(self.acls[engine.incarnation], left)
        try:
            done(AccessVerbs(line).admit(Address(engine.host, 6379, engine.incarnation), action.users, action.cut))
        except EngineRefused:
            assert left is not None

    def turn(self) -> None:
        """One pass; whoever acts may end in the middle."""
        plan = self.step(apply=False)
        self.check()
        for action in plan.actions:
            if not self.calm and self.chance.random() < 0.1:
                break
            self.apply(action)
            self.check()

    def check(self) -> None:
        if is_admitted(self.memory, self.desired, fingerprint(self.users)):
            self.since_done = self.since_done[-1:]
        allowed = frozenset().union(*self.since_done)
        for engine in self.engines.values():
            if engine.running:
                strangers = self.acls[engine.incarnation].lets_in() - allowed
                assert not strangers, f"{engine.incarnation} lets in {sorted(strangers)}, and not only {sorted(allowed)}"

    def trouble(self) -> None:
        running = [engine for engine in self.engines.values() if engine.running]
        if not running:
            return
        engine = self.chance.choice(running)
        match self.chance.choice(("kill", "freeze", "thaw", "busy", "idle", "silence")):
            case "kill":
                engine.running, engine.bound = False, set()
            case "freeze":
                engine.frozen = True
            case "thaw":
                engine.frozen = False
                self.silences.pop(engine.incarnation, None)
            case "busy":
                self.busy.add(engine.incarnation)
            case "idle":
                self.busy.discard(engine.incarnation)
            case "silence" if engine.frozen:
                node = engine.incarnation.split(".")[1]
                if self.of(node) is engine:
                    self.silence(node, 60.0, stopped=True)

    def heal(self) -> None:
        self.calm = True
        for engine in self.engines.values():
            engine.frozen = False
        self.silences.clear()
        self.busy.clear()
        for _ in range(300):
            self.turn()
            healthy = [self.status.state, *(node.state for node in self.status.nodes.values())]
            if is_admitted(self.memory, self.desired, fingerprint(self.users)) and set(healthy) == {"available"}:
                return
        raise AssertionError(f"not done: {self.status}, {self.memory.admitted}")


@pytest.mark.parametrize("seed", range(SEEDS))
def test_what_is_shown_as_done_holds_everywhere(seed: int) -> None:
    doors = Doors(seed)
    for _ in range(STEPS):
        if doors.chance.random() < 0.3:
            doors.wish()
        if doors.memory.provisioned and doors.chance.random() < 0.3:
            doors.trouble()
        doors.turn()
    doors.heal()
    assert len(doors.since_done) == 1
    for node in doors.memory.nodes:
        assert doors.acls[doors.of(node).incarnation].lets_in() == logins(doors.users)


def test_who_is_cut_short_no_longer_says_that_it_has_the_users_of_before() -> None:
    """Or it would be taken for done when these are wanted again."""
    before, after = (CLOSED, *USERS[3:4], USERS[-1]), (OPEN, *USERS[4:5])
    outcomes = set()
    for left in range(20):
        acl = Acl(before)
        line: Any = Line(acl, left)
        with suppress(EngineRefused):
            done(AccessVerbs(line).admit(Address("127.40.0.1", 6379, "u.n.1"), after, ()))
        said = access.seen_mark(acl.users)
        if said == fingerprint(before):
            assert acl.lets_in() == logins(before)
        elif said:
            assert (said, acl.lets_in()) == (fingerprint(after), logins(after))
        outcomes.add(said)
    assert outcomes == {fingerprint(before), "", fingerprint(after)}
