"""Access strings: what nobody may write, and the form in which they are kept."""

from __future__ import annotations

import pytest

from cachefleet.access_interfaces import AccessRefused
from cachefleet.engines import access
from cachefleet.engines.access_strings import questions, read_words, refusal
from cachefleet.engines.capabilities import capabilities
from cachefleet.model.group import Engine

OLD, NEW = capabilities(Engine.REDIS, "6.2.14"), capabilities(Engine.VALKEY, "9.1.2")


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("on ~app::* -@all +@read", "on ~app::* -@all +@read"),
        ("~objects:*", "off ~objects:* -@all"),
        ("on +GET ~a off", "off ~a -@all +get"),
        ("on allkeys allchannels allcommands", "on ~* &* +@all"),
        ("on &news +get ~a", "on ~a &news -@all +get"),
        ("on ~a resetkeys ~b &x resetchannels &y +get", "on ~b resetchannels &y -@all +get"),
        ("on (~a +get) clearselectors (~b +set)", "on -@all (~b -@all +set)"),
        ("on ~a  (  allkeys   +@READ )\n-@all", "on ~a -@all (~* -@all +@read)"),
        ("on ~a db=1 +get sanitize-payload", "on ~a db=1 -@all +get"),
        ("on ~* +@all -@dangerous", "on ~* +@all -@dangerous"),
        ("on ~a ~a +get", "on ~a -@all +get"),
    ],
)
def test_what_is_kept_means_the_same_and_is_kept_again(written: str, kept: str) -> None:
    assert read_words(written).text == kept
    assert read_words(kept).text == kept


@pytest.mark.parametrize(
    ("written", "why"),
    [
        (" ", "blank"),
        ("on ~* >a-password", "passwords"),
        ("on ~* <a-password", "passwords"),
        ("on ~* #" + "0" * 64, "passwords"),
        ("on ~* !" + "0" * 64, "passwords"),
        ("on (~* +get >a-password)", "passwords"),
        ("on ~* NOPASS", "nopass"),
        ("resetpass", "resetpass"),
        ("reset", "reset"),
        ("skip-sanitize-payload", "broken payloads"),
        ("+config", "kept from all"),
        ("+CONFIG|REWRITE", "kept from all"),
        ("-config|resetstat", "kept from all"),
        ("+Cachefleet.CONFIG-set", "kept from all"),
        ("-debug", "kept from all"),
        ("+cluster|setslot", "kept from all"),
        ("+cluster|migrateslots", "kept from all"),
        ("+acl|deluser", "kept from all"),
        ("(~a +shutdown)", "kept from all"),
        ("~" + "a" * 20_000, "at most"),
        ("~a\x00", "cannot be printed"),
        ("~a\u202e", "cannot be printed"),
    ],
)
def test_what_nobody_may_write(written: str, why: str) -> None:
    with pytest.raises(AccessRefused, match=why) as refused:
        read_words(written)
    assert "a-password" not in str(refused.value)


def test_parts_that_all_may_have_can_be_named() -> None:
    for rule in ("+acl|whoami", "+cluster|slots", "+acl", "+cluster", "-acl", "+client|list", "+config|get", "-config|set"):
        assert rule in read_words(f"on {rule}").rules


def test_a_selector_without_an_end_is_for_the_engine_to_refuse() -> None:
    assert read_words("on (~a +get").rules == ("-@all", "(~a +get")


def test_an_engine_is_asked_for_the_rules_alone_and_with_what_is_withheld() -> None:
    alone, limited = questions(read_words("on ~a &c +get (~b +set)"), NEW)
    assert alone == ("ACL", "SETUSER", "probe", "reset", "resetchannels", "~a", "&c", "-@all", "+get", "(~b -@all +set)")
    assert {"-config", "-acl|setuser"} <= set(limited)
    assert any(str(word).startswith("(~b -@all +set -") and str(word).endswith(")") for word in limited)


def test_why_an_engine_does_not_take_it() -> None:
    assert refusal(["ERR Error in ACL SETUSER modifier '+nosuch': Unknown command"]) == "'+nosuch': Unknown command"


def test_selectors_are_limited_by_themselves() -> None:
    (selector,) = [rule for rule in access.limited(("~a", "( ~* +@all )"), NEW) if rule.startswith("(")]
    assert selector.startswith("(~* +@all -")
    assert "-config" in selector.strip("()").split()


@pytest.mark.parametrize(
    ("rules", "given"),
    [
        (("+@all",), {"+acl|list", "+cluster|slots"}),
        (("-@all", "+get"), set()),
        (("+@all", "-@dangerous"), set()),
        (("-@all", "+acl|whoami"), {"+acl|whoami"}),
        (("-@all", "+acl"), {"+acl|list", "+acl|whoami"}),
        (("+@admin", "-acl"), {"+cluster|slots"}),
    ],
)
def test_an_older_engine_gives_back_only_what_the_rules_give(rules: tuple[str, ...], given: set[str]) -> None:
    last = access.withheld(OLD, rules)
    assert {rule for rule in ("+acl|list", "+acl|whoami", "+cluster|slots") if rule in last} >= given
    if not given:
        assert not [rule for rule in last if rule.startswith("+")]
    if rules == ("-@all", "+acl|whoami"):
        assert [rule for rule in last if rule.startswith("+")] == ["+acl|whoami"]
