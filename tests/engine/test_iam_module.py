"""The IAM module in real engines: clients that show tokens, what they are refused, and what nobody but us can tell it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
from botocore.credentials import Credentials
from botocore.model import ServiceId
from botocore.session import Session
from botocore.signers import RequestSigner
from redis.backoff import NoBackoff
from redis.retry import Retry

from cachefleet.engines.iam_module import IAM_SOURCE
from cachefleet.engines.module_compiling import compiled_module
from cachefleet.model.group import Engine
from cachefleet.model.iam_rules import DayKey, IamRules, day_keys
from tests.engine.engine_processes import Client, build_of, free_address
from tests.fixtures.iam_tokens import require_compiler, token
from tests.fixtures.machine import data_folder
from tests.fixtures.service import wait_for

KEYS = Credentials("AKIDEXAMPLE0000000001", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
REGION = "eu-west-1"
OURS = "password-of-the-controller"
VERSIONS = [(Engine.VALKEY, "9.1"), (Engine.VALKEY, "8.1"), (Engine.VALKEY, "8.0")]
CONFIG = """
port {port}
bind {host}
save ""
appendonly no
loadmodule {module}
user default off -@all
user cachefleet on >{ours} ~* &* +@all
user anna on resetpass ~* &* +@all
user off off resetpass ~* &* +@all
user carl on >password ~* &* +@all
"""


class Node:
    """One engine with the module in it."""

    def __init__(self, host: str, port: int, log: Path) -> None:
        self.host, self.port, self.log = host, port, log
        self.ours = self.client("cachefleet", OURS)

    def client(self, user: str, password: str, **more: Any) -> Any:
        once = Retry(NoBackoff(), 0)
        return redis.Redis(self.host, self.port, username=user, password=password, socket_timeout=10, retry=once, **more)

    def tell(self, rules: IamRules) -> None:
        assert self.ours.execute_command("CACHEFLEET.IAM", "RULES", rules.text()) in (b"OK", "OK")

    def state(self) -> list[Any]:
        """[sum, open connections, let in, refused, ended]"""
        return list(self.ours.execute_command("CACHEFLEET.IAM", "STATE"))


def now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)


def fresh(user: str = "anna", cache: str = "shop", **more: Any) -> str:
    return token(cache, user, KEYS, now(), **more)


def rules(*, users: Sequence[str] = ("anna", "off", "ghost"), revoked: bool = False, **more: Any) -> IamRules:
    keys: tuple[DayKey, ...] = ()
    if not revoked:
        keys = day_keys(KEYS.access_key, KEYS.secret_key, REGION, ("*",), datetime.now(UTC).timestamp())
    return IamRules("shop", REGION, tuple(users), keys, **more)


def refused(node: Node, user: str, shown: str) -> bool:
    with pytest.raises(redis.AuthenticationError) as said:
        node.client(user, shown).ping()
    assert str(said.value).startswith(("invalid username-password pair", "WRONGPASS")), said.value
    return True


@contextmanager
def engine(version: tuple[Engine, str], under: Sequence[str] = (), names: str = "") -> Iterator[Node]:
    """under: a program that runs it, with its arguments. names: what the module is told at the start."""
    require_compiler()
    build = build_of(*version)
    with data_folder() as folder:
        address = free_address(6379)
        config = folder / "node.conf"
        module = compiled_module(IAM_SOURCE, folder / "modules")
        config.write_text(CONFIG.format(host=address.host, port=address.port, module=f"{module} {names}", ours=OURS))
        log = folder / "output"
        with log.open("wb") as output:
            process = subprocess.Popen([*under, build.binary, str(config)], cwd=folder, stdout=output, stderr=output)
        try:
            wait_for("it listens", lambda: b"Ready to accept" in log.read_bytes() or process.poll() is not None)
            assert process.poll() is None, log.read_text()
            yield Node(address.host, address.port, log)
            assert process.poll() is None, log.read_text()
        finally:
            process.kill()
            process.wait(10)


@pytest.fixture(scope="module", params=VERSIONS, ids=[f"{kind}-{version}" for kind, version in VERSIONS])
def running(request: pytest.FixtureRequest) -> Iterator[Node]:
    with engine(request.param) as node:
        yield node


@pytest.fixture
def node(running: Node) -> Node:
    """With rules as they are at first."""
    running.tell(rules())
    return running


class RecipeProvider(redis.CredentialProvider):
    """As AWS shows it for redis-py: a presigned address by botocore's RequestSigner."""

    def __init__(self, user: str, cache: str) -> None:
        self.user, self.cache = user, cache
        self.events = Session().get_component("event_emitter")  # a signer does not keep it
        self.signer = RequestSigner(ServiceId("elasticache"), REGION, "elasticache", "v4", KEYS, self.events)

    def get_credentials(self) -> tuple[str] | tuple[str, str]:
        url = f"https://{self.cache}/?Action=connect&User={self.user}"
        request = {"method": "GET", "url": url, "body": {}, "headers": {}, "context": {}}
        signed = self.signer.generate_presigned_url(request, operation_name="connect", expires_in=900, region_name=REGION)
        return self.user, signed.removeprefix("https://")


@pytest.mark.parametrize("protocol", [2, 3], ids=["AUTH", "HELLO"])
def test_redis_py_gets_in_as_aws_shows_it(node: Node, protocol: int) -> None:
    client = redis.Redis(node.host, node.port, credential_provider=RecipeProvider("anna", "shop"), protocol=protocol)
    assert client.acl_whoami() in ("anna", b"anna")
    client.set("greeting", "hello")
    assert client.get("greeting") == b"hello"
    assert node.state()[1] >= 1


def test_what_is_refused(node: Node) -> None:
    before = node.state()[3]
    assert refused(node, "anna", fresh(cache="shop2"))
    assert refused(node, "anna", fresh(user="carl"))
    assert refused(node, "anna", fresh(region="us-east-1"))
    assert refused(node, "anna", token("shop", "anna", KEYS, now() - timedelta(seconds=901)))
    assert refused(node, "anna", token("shop", "anna", KEYS, now() + timedelta(seconds=330)))
    assert refused(node, "anna", token("shop", "anna", Credentials(KEYS.access_key, "guessed"), now()))
    assert refused(node, "anna", "password")
    assert refused(node, "anna", "")
    assert refused(node, "anna", "\0" * 10_000)
    assert refused(node, "off", fresh(user="off")), "the engine's own word on a user counts"
    assert refused(node, "ghost", fresh(user="ghost"))
    assert node.state()[3] == before + 11
    log = node.log.read_text()
    assert "refused: token of another cache" in log and "refused: expired" in log
    assert "X-Amz-Signature" not in log and any(entry["reason"] == "auth" for entry in node.ours.acl_log())


def test_every_character_of_a_token_counts(node: Node) -> None:
    """On the wire, each of them once; every byte in every way is the business of tests/contract/test_iam_token.py."""
    shown = fresh()
    with Client(node.host, node.port) as client:
        for at in range(len(shown)):
            altered = shown[:at] + ("0" if shown[at] != "0" else "1") + shown[at + 1 :]
            client.send("AUTH", "anna", altered)
            assert client.reply().startswith("-WRONGPASS"), altered
        client.send("AUTH", "anna", shown)
        assert client.reply() == "OK"


def test_users_with_passwords_are_not_its_business(node: Node) -> None:
    assert node.client("carl", "password").ping()
    assert refused(node, "carl", "wrong")
    assert refused(node, "carl", fresh(user="carl"))


def test_a_revoked_key_lets_nobody_in_any_more(node: Node) -> None:
    shown = fresh()
    assert node.client("anna", shown).ping()
    node.tell(rules(revoked=True))
    assert refused(node, "anna", shown)


def test_a_user_that_no_longer_shows_tokens_has_no_way_in(node: Node) -> None:
    node.tell(rules(users=()))
    assert refused(node, "anna", fresh())


def test_a_connection_ends_with_its_time_unless_it_shows_another_token(node: Node) -> None:
    node.tell(rules(lifetime_s=2))
    once, again = node.client("anna", fresh()), node.client("anna", fresh())
    kept, quiet = again.connection_pool.get_connection(), once.connection_pool.get_connection()
    ended_before = node.state()[4]
    began = datetime.now(UTC)

    def is_over() -> bool:
        kept.send_command("AUTH", "anna", fresh())
        assert kept.read_response() == b"OK"
        return bool(node.state()[4] == ended_before + 1)

    wait_for("the other connection is ended", is_over)
    assert timedelta(seconds=1.5) < datetime.now(UTC) - began < timedelta(seconds=20)
    with pytest.raises(redis.ConnectionError):
        quiet.send_command("PING")
        quiet.read_response()
    kept.send_command("PING")
    assert kept.read_response() == b"PONG"
    for connection in (kept, quiet):
        with suppress(redis.RedisError):
            connection.disconnect()


@pytest.mark.parametrize("version", VERSIONS, ids=[f"{kind}-{version}" for kind, version in VERSIONS])
def test_who_comes_before_it_knows_anything_is_told_to_come_again(version: tuple[Engine, str]) -> None:
    """A node listens a moment before it can be told: a wrong password would end clients' patience."""
    with engine(version, names="anna ghost") as node:
        for protocol in (2, 3):
            with pytest.raises(redis.BusyLoadingError, match="about to be told"):
                node.client("anna", fresh(), protocol=protocol).ping()
        assert refused(node, "off", fresh(user="off"))
        assert refused(node, "carl", "wrong") and node.client("carl", "password").ping()
        node.tell(rules())
        assert node.client("anna", fresh()).ping()
        assert refused(node, "anna", "password") and refused(node, "ghost", fresh(user="ghost"))
        node.tell(rules(users=()))
        assert refused(node, "anna", fresh()), "nor does it go on with what it was told at the start"


def test_many_connections_come_and_go(node: Node) -> None:
    shown = fresh()
    wait_for("earlier ones are gone", lambda: node.state()[1] == 0)
    clients = [node.client("anna", shown, single_connection_client=True) for _ in range(50)]
    for client in clients:
        assert client.ping()
    assert node.state()[1] == 50
    clients[0].execute_command("AUTH", "carl", "password")
    assert node.state()[1] == 49, "who is somebody else by now is no longer counted"
    node.ours.client_kill_filter(user="anna")
    wait_for("all are gone", lambda: node.state()[1] == 0)
    for client in clients:
        client.close()


def test_nobody_else_can_tell_it_anything(node: Node) -> None:
    for client in (node.client("carl", "password"), node.client("anna", fresh())):
        for words in (["RULES", "cache shop\nregion r\nuser carl\n"], ["STATE"], [], ["HELP"]):
            with pytest.raises(redis.ResponseError, match="controller"):
                client.execute_command("CACHEFLEET.IAM", *words)
    assert node.state()[0].decode() == rules().fingerprint()


def test_rules_that_cannot_be_read_change_nothing(node: Node) -> None:
    for text in (b"", b"nonsense", b"cache shop\nregion r\nkey A B C\n", b"\xff" * 1000):
        with pytest.raises(redis.ResponseError, match="cannot be read"):
            node.ours.execute_command("CACHEFLEET.IAM", "RULES", text)
    for words in (["RULES"], ["RULES", "a", "b"], ["STATE", "x"], ["OTHER"], []):
        with pytest.raises(redis.ResponseError):
            node.ours.execute_command("CACHEFLEET.IAM", *words)
    assert node.state()[0].decode() == rules().fingerprint()
    assert node.client("anna", fresh()).ping()


def test_keys_are_shown_nowhere(node: Node) -> None:
    node.ours.config_set("slowlog-log-slower-than", 0)
    with node.ours.monitor() as monitor:
        node.tell(rules())
        node.ours.ping()
        seen: list[str] = []
        while not seen or "PING" not in seen[-1].upper():
            seen.append(str(monitor.next_command()["command"]))
    shown = " ".join(seen) + str(node.ours.slowlog_get(100)) + node.log.read_text()
    assert all(key.key.hex() not in shown for key in rules().keys)
    node.ours.config_set("slowlog-log-slower-than", 10000)


def test_it_cannot_be_taken_out(node: Node) -> None:
    with pytest.raises(redis.ResponseError):
        node.ours.execute_command("MODULE", "UNLOAD", "cachefleet-iam")
    assert node.client("anna", fresh()).ping()


def test_an_engine_without_the_callback_does_not_start_with_it() -> None:
    with pytest.raises(AssertionError, match=r"cachefleet-iam|failed|aborting"), engine((Engine.REDIS, "7.0")):
        pass


@pytest.mark.skipif(shutil.which("valgrind") is None, reason="valgrind is not installed")
def test_no_byte_is_read_or_written_where_there_is_none(tmp_path: Path) -> None:
    """Every access of the module in its engine is watched: connections that come, end by themselves, are ended, or are left."""
    report = tmp_path / "valgrind"
    with engine(
        (Engine.VALKEY, "9.1"), ("valgrind", "--leak-check=full", "--num-callers=30", f"--log-file={report}"), "anna b"
    ) as node:
        kept = []
        with pytest.raises(redis.BusyLoadingError):
            node.client("anna", fresh()).ping()
        for lifetime_s in (1, 43200, 2):
            node.tell(rules(lifetime_s=lifetime_s))
            shown = fresh()
            clients = [node.client("anna", shown, single_connection_client=True) for _ in range(10)]
            assert all(client.ping() for client in clients)
            kept += clients
            for client in clients[:3]:
                client.execute_command("AUTH", "anna", shown)
            clients[3].execute_command("AUTH", "carl", "password")
            for client in clients[4:6]:
                client.close()
            for wrong in ("", "shop/?", shown[:-1], shown + "0", shown.replace("%2F", "%2")):
                assert refused(node, "anna", wrong)
        node.tell(rules(revoked=True))
        assert refused(node, "anna", fresh())
        wait_for("the last connections are ended for their time", lambda: node.state()[4] >= 12)
        node.ours.execute_command("ACL", "DELUSER", "anna")
        wait_for("all are gone", lambda: node.state()[1] == 0)
        faults = [
            line for line in report.read_text().splitlines() if "==" in line and ("Invalid" in line or "ninitialised" in line)
        ]
        assert faults == [], report.read_text()[-4000:]
