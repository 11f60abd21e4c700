"""Users in the words of engines."""

from __future__ import annotations

from cachefleet.app.engine_passwords import DerivedPasswords
from cachefleet.engines import access
from cachefleet.engines.capabilities import capabilities
from cachefleet.model.access import OPEN, EngineUser, digest
from cachefleet.model.group import Engine

OLD, NEW = capabilities(Engine.REDIS, "6.2.14"), capabilities(Engine.VALKEY, "9.1.2")


def test_what_is_withheld_comes_after_what_a_user_was_given() -> None:
    user = EngineUser("someone", ("~*", "+@all"), sha256=("00" * 32, "11" * 32))
    rules = access.user_rules(user, NEW)
    assert rules[:6] == ("reset", "on", f"#{'00' * 32}", f"#{'11' * 32}", "~*", "+@all")
    assert {"-config", "-acl|setuser", "-cluster|setslot", "-cluster|migrateslots"} <= set(rules[6:])


def test_a_user_is_given_nothing_by_what_is_withheld_where_the_engine_knows_parts() -> None:
    assert not [rule for rule in access.withheld(NEW) if rule.startswith("+")]


def test_an_engine_that_knows_no_parts_is_told_what_is_left() -> None:
    rules = access.withheld(OLD)
    assert rules.index("-cluster") < rules.index("+cluster|slots")
    assert not [rule for rule in rules if rule.startswith("-") and "|" in rule]


def test_the_configuration_holds_digests_and_the_peers_password_only() -> None:
    lines = list(access.directives((OPEN,), "ours", "theirs", NEW))
    words = [word for line in lines for word in line]
    assert "ours" not in words
    assert [line for line in lines if "theirs" in line] == [("masterauth", "theirs")]
    assert f"#{digest('ours')}" in words


def test_a_mark_that_is_not_alone_says_nothing() -> None:
    mark, other = access.mark((OPEN,)), access.mark((EngineUser("x"),))
    assert access.seen_mark(["default", mark, "x"])
    assert access.seen_mark(["default"]) == access.seen_mark([mark, other]) == ""


def test_each_launch_has_another_password_and_a_group_one_for_its_nodes() -> None:
    passwords, others = DerivedPasswords(b"key"), DerivedPasswords(b"another")
    assert len({passwords.controller("u.n-001.1"), passwords.controller("u.n-001.2"), others.controller("u.n-001.1")}) == 3
    assert passwords.peer("u.n-001.1") == passwords.peer("u.n-002.7") != passwords.peer("v.n-001.1")
    assert passwords.peer("u.n-001.1") != passwords.controller("u.n-001.1")
