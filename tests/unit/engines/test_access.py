"""Users in the words of engines."""

from __future__ import annotations

from collections.abc import Set

import pytest
from msgspec.structs import replace

from cachefleet.app.engine_passwords import DerivedPasswords
from cachefleet.engines import access
from cachefleet.engines.capabilities import capabilities
from cachefleet.model.access import OPEN, EngineUser, admitted_users, digest
from cachefleet.model.group import Engine

OLD, NEW = capabilities(Engine.REDIS, "6.2.14"), capabilities(Engine.VALKEY, "9.1.2")


def test_what_is_withheld_comes_after_what_a_user_was_given() -> None:
    user = EngineUser("someone", ("~*", "+@all"), sha256=("00" * 32, "11" * 32))
    rules = access.user_rules(user, NEW)
    assert rules[:6] == ("reset", "on", f"#{'00' * 32}", f"#{'11' * 32}", "~*", "+@all")
    assert {"-config", "-acl|setuser", "-cluster|setslot", "-cluster|migrateslots"} <= set(rules[6:])


def test_each_selector_is_limited_by_itself() -> None:
    last = " ".join(access.withheld(NEW))
    rules = access.limited(("~a", "+get", "(~b +@all)", "(+@admin)"), NEW)
    assert rules[2:4] == (f"(~b +@all {last})", f"(+@admin {last})")


def test_a_user_is_given_nothing_by_what_is_withheld_where_the_engine_knows_parts() -> None:
    assert not [rule for rule in access.withheld(NEW) if rule.startswith("+")]


def test_an_engine_that_knows_no_parts_is_told_what_is_left() -> None:
    rules = access.withheld(OLD)
    assert rules.index("-cluster") < rules.index("+cluster|slots")
    assert not [rule for rule in rules if rule.startswith("-") and "|" in rule]


WITH_MODULE = NEW | {access.CONFIG_MODULE}
GET, SET = "+cachefleet.config-get", "+cachefleet.config-set"


def config_of(config: str, *rules: str, able: Set[str] = WITH_MODULE) -> list[str]:
    return [rule for rule in access.limited(rules, able, config) if rule in (GET, SET)]


@pytest.mark.parametrize(
    ("rules", "parts"),
    [
        (("+@all",), [GET, SET]),
        (("allcommands",), [GET, SET]),
        (("-@all", "+@dangerous"), [GET, SET]),
        (("-@all", "+@ADMIN"), [GET, SET]),
        (("+@all", "-@dangerous"), []),
        (("+@all", "-@slow"), []),
        (("+@all", "-@dangerous", "+config|get"), [GET]),
        (("+@all", "-config|set"), [GET]),
        (("+@read", "+Config|Set"), [SET]),
        (("+config|get", "-@all"), []),
        (("+@read", "+@write", "+ping"), []),
        (("+config|getx", "+config|", "+cachefleet.config-set"), []),
        ((), []),
    ],
)
def test_of_what_a_group_gives_users_have_what_their_rules_would_give(rules: tuple[str, ...], parts: list[str]) -> None:
    assert config_of("set", "~*", *rules) == [rule for rule in rules if rule == SET] + parts
    assert config_of("get", *rules)[rules.count(SET) :] == [part for part in parts if part == GET]
    assert config_of("", *rules)[rules.count(SET) :] == []
    last = access.limited(rules, WITH_MODULE, "set")
    assert last.index("-cachefleet.config-get") > last.index("-config"), "whatever a user was given before is taken away first"


def test_a_selector_gives_what_its_own_rules_would() -> None:
    outer = access.limited(("~*", "+get", "(~a +@all)", "(~b +@read +config|get)"), WITH_MODULE, "set")
    first, second = (rule for rule in outer if rule.startswith("("))
    assert first.endswith(f"{GET} {SET})") and second.endswith(f"-cachefleet.config-set {GET})")
    assert GET not in outer and SET not in outer and "-cachefleet.config-get" in outer


def test_rules_name_the_module_s_commands_only_where_it_is() -> None:
    assert not [rule for rule in access.limited(("+@all", "(+@all)"), NEW, "set") if "cachefleet" in rule]
    assert access.told_of_config([None]) == access.told_of_config([]) == frozenset()
    assert access.told_of_config([["cachefleet.config-get", -1]]) == {access.CONFIG_MODULE}


def test_nodes_have_nothing_of_it_as_each_other() -> None:
    _, peer = access.own_users("ours", "theirs", WITH_MODULE)
    assert {"-cachefleet.config-get", "-cachefleet.config-set"} < set(peer) and not {GET, SET} & set(peer)


def test_a_user_is_another_one_to_engines_where_a_group_gives_more() -> None:
    assert access.mark((OPEN,)) != access.mark((replace(OPEN, config="get"),)) != access.mark((replace(OPEN, config="set"),))
    assert admitted_users((OPEN,)) == admitted_users((replace(OPEN, config="set"),)), "but the same one to users of the API"


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
